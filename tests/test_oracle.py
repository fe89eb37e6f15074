"Random lives of small Plastic Brains, compared with a brute-force model in NumPy and float64"
import copy
import random
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from plasticish.brain import PlasticBrain, ReadoutConfig, VoteConfig

D, K, ROWS, CLASSES, SIZE = 8, 5, 300, 5, 40
POOL = torch.randn(ROWS, D, generator=torch.Generator().manual_seed(5))
POOL[0] = 0                                              # a row of zeros is an input like any other
QUERIES = torch.randn(6, D, generator=torch.Generator().manual_seed(6))

def unit(x): return x/np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
def relu(x): return np.maximum(x, 0)

@dataclass(eq=False)
class Item:
    "One input that the brain has learned from"
    row: int
    label: int
    storm: bool
    layers: tuple = ()                                   # numbers of those that were there
    id: int = -1
    phase: str = ''
    priority: float = 0.
    x: np.ndarray = field(default=None, repr=False)

class Oracle:
    "What a Plastic Brain holds, kept as lists of items and computed anew at every question"
    def __init__(self, power, policy):
        self.power, self.policy = power, policy
        self.layers, self.encoders = [], []                       # numbers of the stack; directions by number
        self.moved = Counter()                                    # inputs added or subtracted since sums were zero, by (layer, storm)
        self.stored, self.read, self.measured = [], [], []       # in memory, by the readouts, by the metric
        self.next_id, self.evicted, self.fitted = 0, 0, 0
        self.mean, self.inverse = np.zeros(D), np.eye(D)

    def add(self, at, layer):
        self.layers.insert(at, len(self.encoders))
        self.encoders.append(layer.encoder.double().numpy())

    def sense(self, x): return np.sign(x)*np.abs(x)**self.power

    def learn(self, rows, labels, storm, memorize, phase):
        items = [Item(r, y, storm, tuple(self.layers), x=unit(self.sense(POOL[r].double().numpy()))) for r, y in zip(rows, labels)]
        if memorize:
            known = {(i.row, i.label) for i in self.stored if storm or not i.storm}
            items = [i for n, i in enumerate(items) if (i.row, i.label) not in known | {(j.row, j.label) for j in items[:n]}]
            self.store(items, storm, phase)
        self.read += items
        self.moved.update((l, storm) for i in items for l in i.layers)

    def store(self, items, storm, phase):
        if not items: return
        g = torch.Generator().manual_seed(1_000_003*self.next_id)
        for i, p in zip(items, torch.rand(len(items), generator=g).tolist()):
            i.id, i.phase, i.priority = self.next_id, phase, p
            self.next_id += 1
        if not storm: self.measured += items
        both = self.stored + items
        self.stored = self.survivors(both)
        self.evicted += len(both) - len(self.stored)
        n, m = len(self.measured), self.fitted
        if n != m and not m/1.5 < n < m*1.5: self.fit_metric()

    def survivors(self, items):
        if self.policy == 'ring': return sorted(items, key=lambda i: i.id)[-SIZE:]
        kinds = {}
        for i in sorted(items, key=lambda i: -i.priority): kinds.setdefault((i.label, i.storm), []).append(i)
        stay = []
        while len(stay) < SIZE and any(kinds.values()):   # one place for each kind in turn
            for k in sorted(kinds):
                if kinds[k] and len(stay) < SIZE: stay.append(kinds[k].pop(0))
        return stay

    def fit_metric(self):
        self.fitted = n = len(self.measured)
        X, y = np.array([i.x for i in self.measured]).reshape(n, D), np.array([i.label for i in self.measured])
        self.mean = X.mean(0) if n else np.zeros(D)
        if n < 2: self.inverse = np.eye(D); return
        for c in set(y.tolist()): X[y == c] -= X[y == c].mean(0)
        cov, a = X.T @ X/n, max(.01, D/(D + n))
        self.inverse = np.linalg.inv((1 - a)*cov + a*max(np.trace(cov)/D, 1e-8)*np.eye(D))

    def forget(self, which):
        gone = [i for i in self.stored if which(i)]
        anew = [self.evicted or self.worn([i for i in gone if i.storm == storm], storm) for storm in (False, True)]
        self.stored = [i for i in self.stored if i not in gone]
        if self.evicted:                                  # what is no longer stored cannot be taken out: all anew
            for i in self.stored: i.layers = tuple(self.layers)
            self.measured = [i for i in self.stored if not i.storm]
        else: self.measured = [i for i in self.measured if i not in gone]
        for storm in (False, True):
            if anew[storm]:
                self.read = [i for i in self.read if i.storm != storm] + [i for i in self.stored if i.storm == storm]
                for l in self.layers: self.moved[l, storm] = self.seen(l, storm, self.read)
            else:
                self.read = [i for i in self.read if i.storm != storm or i not in gone]
                for l in self.layers: self.moved[l, storm] = (self.moved[l, storm] + self.seen(l, storm, gone))*bool(self.seen(l, storm, self.read))
        self.fit_metric()
        return len(gone)

    def seen(self, layer, storm, items): return sum(i.storm == storm and layer in i.layers for i in items)

    def worn(self, gone, storm):
        "Would subtracting leave sums of so few inputs, or of so many fewer than before, that they are made anew from the memory?"
        rows, out = ([self.seen(l, storm, items) for l in self.layers] for items in (self.read, gone))
        if any(0 < 32*(n - g) < self.moved[l, storm] + g for l, n, g in zip(self.layers, rows, out)): return True
        all_stored = all(self.seen(l, storm, self.stored) == n for l, n in zip(self.layers, rows))
        return all_stored and sum(i.storm == storm for i in self.stored) < 2*len(gone)

    def similar(self, q):
        "Similarity of each query to each stored item [Q,N]"
        q = unit(self.sense(q)) - self.mean
        X = np.array([i.x for i in self.stored]) - self.mean
        size = lambda v: np.sqrt(np.maximum(np.einsum('nd,de,ne->n', v, self.inverse, v), 0))
        floor = 1e-5*np.sqrt(np.trace(self.inverse))      # nearer to the mean there is no direction
        cos = q @ self.inverse @ X.T/np.maximum(size(q), floor)[:, None]/np.maximum(size(X), floor)
        return cos*np.where([i.storm for i in self.stored], .74, 1.)

    def vote(self, q, classes, ids):
        "Class shares [Q,C], and how stormy queries are [Q]; `ids` of the neighbours [Q,k], for two may be equally near"
        S = self.similar(q)
        out, storm = np.zeros((len(q), classes)), np.zeros(len(q))
        for n, s in enumerate(S):
            best = [i for i, item in enumerate(self.stored) if item.id in ids[n]]
            w = np.exp((s[best] - s[best].max())/.07)
            for i, v in zip(best, w/w.sum()):
                out[n, self.stored[i].label] += v
                storm[n] += v*self.stored[i].storm
        n = sum(i.storm for i in self.stored)
        calm = len(self.stored) - n or n
        return out, storm*calm/(storm*calm + (1 - storm)*n) if n else storm

    def blended(self, u): return unit(u + unit(np.sign(u)*np.abs(u)**(1/self.power)))

    def activity(self, items):
        "[N,R]: zero where a layer was not there"
        X = np.array([i.x for i in items]).reshape(-1, D)
        return np.concatenate([relu(self.blended(X) @ self.encoders[l].T)*np.array([l in i.layers for i in items]).reshape(-1, 1) for l in self.layers], 1)

    def sums(self, storm, classes):
        items = [i for i in self.read if i.storm == storm]
        if not self.layers: return np.zeros((0, 0)), np.zeros((0, classes))
        H = self.activity(items)
        return H.T @ H, H.T @ np.eye(classes)[[i.label for i in items]]

    def weights(self, storm, classes, ridge, toward=0., among_rows=None):
        "Drawn to `toward`; where rows wait also to zero, whichever predicts better what is left out, or is `among_rows` if both do"
        A, b = self.sums(storm, classes)
        if not A.any(): return b*0
        penalty = ridge*np.trace(A)/len(A)
        drawn = [np.linalg.solve(A + penalty*np.eye(len(A)), b + penalty*w) for w in ([toward] if among_rows is None else [0., toward])]
        errors = [self.left_out_error(W, A, storm, classes, penalty) for W in drawn]
        good = [W for W, e in zip(drawn, errors) if e <= 1.02*min(errors)] # nearer, and rounding decides
        return good[0] if len(good) == 1 else min(good, key=lambda W: np.abs(W - among_rows).max())

    def left_out_error(self, W, A, storm, classes, penalty):
        items = [i for i in self.read if i.storm == storm]
        H, Y = self.activity(items), np.eye(classes)[[i.label for i in items]]
        lever = np.einsum('nr,rn->n', H, np.linalg.solve(A + penalty*np.eye(len(A)), H.T))[:, None]
        return np.square((H @ W - Y)/(1 - lever)).sum()

def compare(brain, model, settled):
    "Stored, neighbours, readout sums; once metric and readouts are fitted also the answer"
    m, classes = brain.memory, CLASSES
    have = [(int(i), int(y), m.phase_names[p], bool(t)) for i, y, p, t in zip(m.ids[:len(m)], m.labels, m.phases, m.temporary)]
    assert sorted(have) == sorted((i.id, i.label, i.phase, i.storm) for i in model.stored), 'what is stored'
    keys = dict(zip(m.ids.tolist(), m.values(slice(0, len(m))).numpy()))
    for i in model.stored: np.testing.assert_allclose(keys[i.id], i.x, atol=1e-6, err_msg='keys')
    q = QUERIES.double().numpy()
    if model.stored:
        sim, slots = m.search(brain.features(QUERIES))
        true, ids, neighbours = model.similar(q), [i.id for i in model.stored], m.ids[slots].tolist()
        np.testing.assert_allclose(sim, -np.sort(-true, 1)[:, :K], atol=.01, err_msg='similarities')
        off = np.array([np.abs(true[n][[ids.index(i) for i in row]] - sim[n].numpy()).max() for n, row in enumerate(neighbours)])
        assert off.max() <= .01, 'neighbours' # rounding is magnified where a query is near the mean
        assert float(sim.max()) <= 1
    waiting = brain.storm_readout.young
    brain.flush()
    for storm, r in ((False, brain.readout), (True, brain.storm_readout)):
        A, b = model.sums(storm, classes)
        count = lambda items: np.bincount([i.label for i in items if i.storm == storm], minlength=classes)
        known = np.pad(r.known[0], (0, classes - r.known.shape[1]))
        reached = [i for i in model.read if i.id >= 0 or set(i.layers) & set(model.layers)]
        assert (count(reached) <= known).all() and (known <= count(model.read)).all(), 'inputs counted for each class'
        if not len(r.lateral): assert not A.any(), 'sums that were never made'; continue
        lower = r.lateral.tril().numpy()
        np.testing.assert_allclose(lower, np.tril(A), atol=1e-4, err_msg=f'lateral sums, storm {storm}')
        np.testing.assert_allclose(np.pad(r.target, ((0, 0), (0, classes - r.target.shape[1]))), b, atol=1e-4, err_msg=f'target sums, storm {storm}')
        seen = np.repeat([any(i.storm == storm and l in i.layers for i in model.read) for l in model.layers], [len(model.encoders[l]) for l in model.layers])
        assert not lower[~seen].any() and not lower[:, ~seen].any() and not r.target[~seen].any(), 'sums that should be empty are exactly zero'
    if settled and model.stored: answers(brain, model, q, neighbours, off, waiting)

def answers(brain, model, q, neighbours, off, waiting):
    "Vote and scores together, as the brain weighs them"
    C = CLASSES
    shares, storm = model.vote(q, C, neighbours)
    score = np.zeros_like(shares)
    if model.layers and any(i.layers for i in model.read):
        u = model.blended(unit(model.sense(q)))
        H = np.concatenate([relu(u @ model.encoders[l].T) for l in model.layers], 1)
        W = model.weights(False, C, float(brain.readout.ridge))
        r = brain.storm_readout
        got = np.pad(r.weight, ((0, 0), (0, C - r.weight.shape[1]))) if waiting and len(r.weight) else None
        calm, stormy = H @ W, H @ model.weights(True, C, float(r.ridge), W, got)
        share = np.sqrt(storm)[:, None]
        score = (1 - share)*calm + share*stormy
    f = brain.features(QUERIES)
    parts = brain._evidence(torch.nn.functional.normalize(f, dim=1), brain._encode(f, 'inference')[1])[0].numpy()
    C = parts.shape[1]                                    # open labels: classes that have not come yet have no column
    np.testing.assert_allclose(parts[..., 2], score[:, :C], atol=1e-3, err_msg='scores')
    slack = 1e-5 + np.expm1(2*off/.07)[:, None]           # by how much similarities so far off can move a share
    for votes in parts[..., :2].transpose(2, 0, 1):       # K neighbours are as many as the near vote has
        assert (np.abs(np.exp(votes) - .01 - shares[:, :C]) <= slack).all(), 'votes'
    # weights and logarithms magnify rounding, so the pool takes the votes and scores that were compared above
    far, near, read, logs = brain.lasting.weight.tolist()
    pool = np.exp(far*parts[..., 0] + near*parts[..., 1] + read*parts[..., 2] + logs*np.log(np.maximum(parts[..., 2], 0) + .01))
    got = brain._scores(f, 'inference')[2][..., 0].numpy()
    np.testing.assert_allclose(got, pool/pool.sum(1, keepdims=True), atol=1e-4, err_msg='lasting answers')
    np.testing.assert_allclose(brain(QUERIES).sum(1), 1, atol=1e-5, err_msg='shares')

def newborn(settings):
    power, policy, layers, open_set = settings
    return PlasticBrain(D, 32, 4, layers, SIZE, K, None if open_set else CLASSES, precision='float32', vote=VoteConfig(power=power, memory=dict(policy=policy, storage='float32')), readout=ReadoutConfig(n_neurons=32*max(1, layers)))

OPS = ['learn']*6 + ['storm']*2 + ['unkept', 'watch', 'forget', 'forget id', 'forget phase', 'add', 'remove', 'replace', 'sleep', 'save', 'load', 'copy']

def live(seed, done, steps=16):
    rng = random.Random(seed)
    settings = rng.choice([.5, .5, .3, 1.]), rng.choice(['balanced', 'balanced', 'ring']), rng.choice([0, 1, 1, 2]), rng.random() < .3
    brain, waits = newborn(settings), seed % 2 # in half of the lives rows wait until something sums them, for comparing flushes
    model, saved = Oracle(*settings[:2]), None
    for i, l in enumerate(brain.brain): model.add(i, l)
    for _ in range(steps):
        op, n = rng.choice(OPS), rng.choice([1, 2, 5, 12, 30])
        done.append((op, n))
        rows = [rng.randrange(ROWS if rng.random() < .8 else 12) for _ in range(n)]
        labels, phase = [rng.randrange(CLASSES) if rng.random() < .1 else r % CLASSES for r in rows], f'p{rng.randrange(3)}'
        if op in ('learn', 'storm', 'unkept'):
            brain.train_step(POOL[rows], torch.tensor(labels), 'panic' if op == 'storm' else 'plastic', memorize=op != 'unkept', phase=phase)
            model.learn(rows, labels, op == 'storm', op != 'unkept', phase)
        elif op == 'watch': brain.train_step(POOL[rows], torch.tensor(labels), 'inference', memorize=False)
        elif op == 'forget': assert brain.forget(label=labels[0]) == model.forget(lambda i: i.label == labels[0])
        elif op == 'forget id':
            some = rng.sample([i.id for i in model.stored], rng.randint(0, len(model.stored)))
            assert brain.forget(ids=some) == model.forget(lambda i: i.id in some)
        elif op == 'forget phase' and phase in brain.memory.phase_names: assert brain.forget(phase=phase) == model.forget(lambda i: i.phase == phase)
        elif op == 'add' and brain.num_layers < 3: model.add(at := brain.add_layer(rng.randint(0, brain.num_layers)), brain.brain[at])
        elif op in ('remove', 'replace') and brain.num_layers:
            at = rng.randrange(brain.num_layers)
            getattr(brain, f'{op}_layer')(at); model.layers.pop(at)
            if op == 'replace': model.add(at, brain.brain[at])
        elif op == 'sleep': brain.consolidate(); model.fit_metric()
        elif op == 'save': saved = {k: v.clone() for k, v in brain.state_dict().items()}, copy.deepcopy(model), brain(QUERIES)
        elif op == 'load' and saved:
            brain, model = newborn(settings), copy.deepcopy(saved[1])
            brain.load_state_dict(saved[0])
            assert torch.equal(brain(QUERIES), saved[2]), 'it answers as when it was saved'
        elif op == 'copy': was, brain = brain, copy.deepcopy(brain); assert torch.equal(brain(QUERIES), was(QUERIES))
        compare(copy.deepcopy(brain) if waits else brain, model, op == 'sleep')
    brain.consolidate(); model.fit_metric()
    compare(brain, model, True)

@pytest.mark.parametrize('first', range(0, 200, 25))
def test_lives_are_those_of_the_model(first):
    for seed in range(first, first + 25):
        done = []
        try: live(seed, done)
        except Exception as e: raise AssertionError(f'life {seed} went wrong after {done}') from e
