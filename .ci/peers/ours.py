"""Every cell of the results pages: `python .ci/peers/ours.py DATA OUT` writes OUT/many_classes.jsonl, OUT/drift.jsonl and OUT/by_row/drift.jsonl.
DATA is the folder that `plasticish.sets` reads. A cell that is there is not computed again, so a killed run goes on,
and after a change of a learner only its cells are computed. The streams are written to OUT/streams for the peers."""
import argparse
import json
import re
import time
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import SGDClassifier

from plasticish import sets
from plasticish.common import digest
from plasticish.estimator import PlasticClassifier
from plasticish.experiments import (
    Arena,
    Cells,
    Plastic,
    Triarchic,
    alternating_storms,
    code_key,
    domains_in_turn,
    lesson,
    prequential,
    rival_grids,
    rivals,
    split_classes,
    subsample,
    through_blur,
    tune_stream,
    two_worlds,
)
from plasticish.experiments import (
    stream as in_order,
)
from plasticish.eyes import FeatureDataset, ImageArray, PretrainedEyes, cache_features, cifar10_features, split_off
from plasticish.rivals import Learner, Neighbours, RanPAC, Ridge, SamKNN, Scaled, Softmax, StreamingLDA

BRAINS = {'Plastic Brain': Plastic, 'Triarchic Brain': Triarchic}
LESSON = ['class mean', 'kNN', 'streaming LDA', 'streaming QDA', 'FeCAM', 'KLDA', 'RanDumb', 'RanPAC', 'RanPAC, own search',
          'naive softmax', 'replay 5000', 'joint softmax']

GAMMAS = [.03, .1, .3, 1., 3.]
GRIDS = rival_grids | {'RanPAC': dict(ridge=[1., 10., 1e2, 1e3, 1e4, 1e5, 1e6]),  # features of any scale
                       'KLDA': dict(gamma=GAMMAS, shrinkage=[1e-3, 1e-2, .1]), 'RanDumb': dict(gamma=GAMMAS)}


class Estimator(Learner):
    "`PlasticClassifier` with its defaults"
    name = 'PlasticClassifier'
    def __init__(self, in_dim, n_classes, seed=0):
        super().__init__(in_dim, n_classes, seed)
        self.model = PlasticClassifier(random_state=seed)
    def learn(self, x, y): self.model.partial_fit(x.numpy(), y.numpy(), classes=range(self.n_classes))
    def answer(self, x): return torch.from_numpy(np.asarray(self.model.predict(x.numpy()), dtype=np.int64))


class SGD(Learner):
    "Logistic regression by scikit-learn's `SGDClassifier`, at a constant rate"
    name = 'SGD (scikit-learn)'
    def __init__(self, in_dim, n_classes, seed=0, eta0=.01):
        super().__init__(in_dim, n_classes, seed)
        self.model = SGDClassifier(loss='log_loss', learning_rate='constant', eta0=eta0, random_state=seed)
    def learn(self, x, y): self.model.partial_fit(x.numpy(), y.numpy(), classes=np.arange(self.n_classes))
    def answer(self, x): return torch.from_numpy(self.model.predict(x.numpy()).astype(np.int64))


LRS = dict(lr=[1e-3, 3e-3, 1e-2, 3e-2])
SCALED = lambda make, **kw: partial(Scaled, make=make, **kw)
STREAM_RIVALS = {  # label: (learner, grid)
    'online logistic regression': (Softmax, LRS), 'SGD (scikit-learn)': (SCALED(SGD), dict(eta0=[1e-3, 1e-2, .1])),
    'streaming LDA': (SCALED(StreamingLDA), rival_grids['streaming LDA']),
    'ridge': (SCALED(Ridge), rival_grids['ridge']), 'kNN, all rows': (SCALED(Neighbours), dict(k=[5, 50])),
    'RanPAC 500': (SCALED(RanPAC, M=500, dtype=torch.float64), dict(ridge=[.1, 1., 10., 1e2, 1e3])), 'SAM-kNN': (SamKNN, dict(k=[5]))}
STREAM_OURS = {'PlasticClassifier': Estimator, 'Plastic Brain': SCALED(Plastic), 'Triarchic Brain': SCALED(Triarchic)}


def as_sets(parts): return {k: FeatureDataset(torch.from_numpy(x), y) for k, (x, y) in parts.items()}


@cache
def cifar100(root):
    "CIFAR-100 through the bundled eyes; 5 000 of the training images for validation"
    eyes = PretrainedEyes(weights='bundled')
    parts, names = sets.read_cifar100(root)
    images = {k: ImageArray(torch.from_numpy(x), y, names, eyes.transform) for k, (x, y) in parts.items()}
    seen = {k: cache_features(eyes, d, progress=False) for k, d in images.items()}
    train, valid = split_off(seen['train'], 5000)
    return dict(train=train, valid=valid, test=seen['test'])


@cache
def cifar10(root): return cifar10_features(root, progress=False)
def clean_cifar10(root): return {k: v for k, v in cifar10(root).items() if 'storm' not in k}


def classes(n, per): return lambda i: split_classes(sets.class_orders(n, 5)[i], per, f'order {i}')


def domains(groups): return lambda i: domains_in_turn(sets.domain_orders(['photo', 'art_painting', 'cartoon', 'sketch'])[i], groups)


NLU = dict(name='nlu_hwu', test=['9', '10'])
LESSONS = {  # set: (features of a data folder, curriculum of an order); the four orders of PACS are all there are
    'PACS, domains': (lambda r: as_sets(sets.read_domains(r)), domains([tuple(range(7))])),
    'PACS, domains and classes': (lambda r: as_sets(sets.read_domains(r)), domains([(0, 1, 2, 3), (4, 5, 6)])),
    'banking77': (lambda r: as_sets(sets.read_text(r)), classes(77, 7)),
    'NLU': (lambda r: as_sets(sets.read_text(r, **NLU)), classes(64, 8)),
    'banking77, TF-IDF': (lambda r: as_sets(sets.read_tfidf(r)), classes(77, 7)),
    'NLU, TF-IDF': (lambda r: as_sets(sets.read_tfidf(r, **NLU)), classes(64, 8)),
    'CIFAR-10': (clean_cifar10, lambda i: two_worlds('vehicles') if i == 0 else classes(10, 2)(i)),
    'CIFAR-10, a storm': (cifar10, lambda i: two_worlds(storm=True)),
    'CIFAR-10, five storms': (lambda r: subsample(cifar10(r), 2000, 1000), lambda i: alternating_storms(5)),
    'CIFAR-10, 5 000 rows': (lambda r: subsample(clean_cifar10(r), 5000, 10_000), classes(10, 2)),
    **{f'CIFAR-100, {k}': (cifar100, classes(100, v)) for k, v in sets.CIFAR100_SIZES.items()},
    'CIFAR-100, i-Blurry 50-10': (cifar100, classes(100, 10))}
SAME = {'streaming QDA', 'FeCAM'}  # costly, and they end the same in every order: the first only


def learners(name):
    "Label -> what builds a learner for this set. On banking77 by TF-IDF the sums of KLDA's widest kernel cannot be solved in single precision after the first stage"
    made = {**{k: rivals[k] for k in LESSON}, **BRAINS}
    return made | {'KLDA': partial(rivals['KLDA'], dtype=torch.float64)} if name == 'banking77, TF-IDF' else made


def once(label, name):
    "Is this learner run on the first order only? The search of RanPAC costs minutes an order on all of CIFAR"
    return label in SAME or label == 'RanPAC, own search' and name.startswith('CIFAR') and not re.search('five storms|5 000', name)


def at_end(label, name):
    "Is it asked once, after the last stage? Where a question costs as much as learning"
    return label in SAME or label == 'RanPAC, own search' or label == 'RanPAC' and 'PACS' not in name


TUNED_ON = {'CIFAR-10, a storm': 'CIFAR-10', **{s: 'CIFAR-100, 10 × 10' for s in LESSONS if 'CIFAR-100' in s}}  # the same rows in another order, or more


def opened(a, name):
    "Features of a set"
    features = LESSONS[name][0](a.data)
    return subsample(features, a.rows, a.rows) if a.rows else features


def many_classes(a, out):
    "Class- and domain-incremental lessons, and i-Blurry"
    cells, chosen = Cells(out/'many_classes.jsonl'), Cells(out/'tuning.jsonl')
    for name, (_, curriculum) in LESSONS.items():
        if not re.search(a.sets, name): continue
        try: features = opened(a, name)
        except FileNotFoundError as e: print(f'{name}: skipped, {e}'); continue
        arenas = [Arena(features, curriculum(i)) for i in range(min(a.orders, 4) if 'PACS' in name else a.orders)]
        blurry, tuned_on = 'i-Blurry' in name, TUNED_ON.get(name, name)
        if not blurry: write_lesson(arenas[0], features, out/'lessons'/f'{name}.npz')
        for label, make in learners(name).items():
            if not re.search(a.learners, label) or blurry and 'own search' in label: continue  # nobody tells it where a task ends
            def tuned(make=make, label=label):
                if label in BRAINS or label not in GRIDS: return make
                arena = arenas[0] if tuned_on == name else Arena(opened(a, tuned_on), LESSONS[tuned_on][1](0))
                key = dict(set=tuned_on, learner=label, rows=a.rows, code=arena.key(make, 0, 'valid'), grid=repr(GRIDS[label]))
                return partial(make, **cell(chosen, key, lambda: dict(settings=settings(arena, make, label)))['settings'])
            for i, arena in enumerate(arenas[:1] if once(label, name) else arenas):
                key = dict(set=name, learner=label, seed=i, rows=a.rows, grid=repr(GRIDS.get(label)), code=arena.key(make, i, 'test'))
                def parts(i=i): return sets.i_blurry(features['train'].labels.numpy(), 5, seed=i)
                def one(i=i, arena=arena, make=make, label=label, tuned=tuned, parts=parts):
                    if blurry: row = through_blur(tuned(), features, parts(), i, batch=256, every=5000)
                    else: row = lesson(arena, tuned(), i, along=not at_end(label, name))
                    return row | dict(made_by=code_key(make))
                cell(cells, key, one)


SAME = json.loads((Path(__file__).parents[2]/'nbs/results/cells/same_answers.json').read_text())  # digest of older code -> that of newer code with the same answers, and what was compared


def newest(made_by): return newest(SAME[made_by]['is']) if made_by in SAME else made_by


def of_today(cells):
    "Which rows of a table of many_classes are of the code as it is, or of code with the same answers. The features are not asked for: they differ in their last bits from one kind of processor to the next"
    now = {name: {label: code_key(make) for label, make in learners(name).items()} for name in LESSONS}
    return (cells.made_by.map(newest) == [now[s].get(label) for s, label in zip(cells['set'], cells.learner)]) & (cells.grid == cells.learner.map(lambda label: repr(GRIDS.get(label))))


def write_lesson(arena, features, file):
    "The rows of the first order as they come, where its stages end, and the test rows of its tasks: what the peers read"
    stages = [torch.cat(s) for s in in_order(arena.parts, 0, arena.batch_size, blur=arena.curriculum.blur)]
    x, y = arena.rows(torch.cat(stages))
    tests = [features[t.key('test')].subset(classes=t.classes)[:] for t in arena.curriculum.tasks()]  # as `Splits.judge` has them
    test_x, test_y = (torch.cat(t) for t in zip(*tests))
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, x=x, y=y, ends=np.cumsum([len(s) for s in stages]), test_x=test_x.float(), test_y=test_y)


def settings(arena, make, label): return {k: v for k, v in arena.tune(make, GRIDS[label])[0].keywords.items() if k in GRIDS[label]}


GENERATORS = (partial(sets.sea, noise=.1), sets.sine, sets.agrawal, sets.moving_rbf, sets.hyperplane,
              lambda seed: sets.swap_labels(sets.moving_rbf(classes=4, speed=0., seed=seed)))


def from_river(folder, name, seed):
    "A stream that river_streams.py wrote"
    file = folder/f'{name} (River){f"~{seed}"*bool(seed)}.npz'
    if not file.is_file(): raise FileNotFoundError(f'no {file.name}: run river_streams.py in an environment that has River')
    with np.load(file, allow_pickle=False) as f: return sets.Stream(f'{name} (River)', f['x'], f['y'], tuple(f['changes'].tolist()))


def by_row(a, out):
    "Streams again, a row at a time, and those of River's generators; three seeds at most"
    a, out = argparse.Namespace(**vars(a) | dict(orders=min(a.orders, 3))), out/'by_row'
    drift(a, out, 5000, 1, [partial(from_river, out/'streams', n) for n in ('SEA', 'sine', 'Agrawal', 'moving RBF')])


def drift(a, out, rows=20000, batch=32, others=()):
    "Test-then-train over real streams, whose seeds are the learner's, and over generators, whose seeds are also their own"
    cells = Cells(out/'drift.jsonl')
    real = [lambda seed, n=n: sets.read_stream(a.data, n) for n in sets.STREAMS]
    for read, seed in [(r, s) for r in (*real, *GENERATORS, *others) for s in range(a.orders)]:
        try: stream = read(seed=seed)
        except FileNotFoundError as e:
            if not seed: print(f'skipped, {e}')
            continue
        if not re.search(a.sets, stream.name): continue
        stream = stream.head(rows)
        if read in GENERATORS or not seed: write_stream(stream, seed, out/'streams')
        for label, make in {**{k: v[0] for k, v in STREAM_RIVALS.items()}, **STREAM_OURS}.items():
            if not re.search(a.learners, label): continue
            grid = STREAM_RIVALS[label][1] if label in STREAM_RIVALS else {}
            key = dict(set=stream.name, learner=label, seed=seed, rows=rows, batch=batch, code=digest(code_key(make), repr(grid), stream.x, stream.y))
            cell(cells, key, lambda: prequential(partial(make, **tune_stream(make, grid, stream.head(max(2*batch, len(stream)//10)), batch)),
                                                 stream, seed, batch))


def write_stream(stream, seed, folder):
    "What the peers read; the seed stands after a tilde"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder/f'{stream.name}{f"~{seed}"*bool(seed)}.npz', x=stream.x, y=stream.y, changes=np.array(stream.changes, int))


def cell(cells, key, compute):
    "One cell, and a line about it"
    t = time.time()
    row = cells.get(key, compute)
    said = f"{row['accuracy']:.2f}" if row.get('accuracy') is not None else row.get('settings')
    if time.time() - t > .1: print(f"{key['set']} | {key['learner']} | {key.get('seed')}: {said} ({time.time() - t:.0f} s)", flush=True)
    return row


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('data'); p.add_argument('out', type=Path)
    p.add_argument('--only', choices=['many_classes', 'drift', 'by_row'])
    p.add_argument('--rows', type=int, default=0, help='at most so many rows of a training set; 0: all')
    p.add_argument('--orders', type=int, default=5, help='orders of classes or domains, seeds of learners')
    p.add_argument('--sets', default='', help='a pattern'); p.add_argument('--learners', default='', help='a pattern')
    a = p.parse_args()
    torch.set_num_threads(1)
    for what in (drift, by_row, many_classes):
        if a.only in (None, what.__name__): what(a, a.out)
