"Calls that cannot be right: one clear error that names the argument, and nothing has moved"
import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import cloud, difference
from torch import nn

from plasticish.base import ReadoutConfig, TriarchicConfig, VoteConfig
from plasticish.brain import NeuromodulatedBlock, PlasticBrain, TriarchicBrain
from plasticish.dashboard import Dashboard
from plasticish.eyes import FeatureDataset, PretrainedEyes, cache_features, cifar10_splits, folder_splits, image_files
from plasticish.history import TrainingHistory
from plasticish.memory import BankConfig, EpisodicMemoryBank, PlasticMetric
from plasticish.sparse_layer import PrototypeProjection
from plasticish.training import PhaseConfig, PlasticTrainer, TriarchicTrainer
from plasticish.visualization import PlasticVisualizer

D, C, B = 8, 5, 6
good_x, good_y = torch.randn(B, D, generator=torch.Generator().manual_seed(1)), torch.arange(B) % C

def with_value(row, value):
    x = good_x.clone()
    x[row, 3] = value
    return x

BAD_X = {  # what is wrong with it -> features
    'None': None, 'a list': good_x.tolist(), 'an array': good_x.numpy(), 'a string': 'x', 'integers': good_x.long(), 'booleans': good_x > 0,
    'complex': good_x + 0j, 'a scalar': torch.tensor(1.), 'one row without a batch': good_x[0], 'three axes': good_x[None], 'five axes': good_x[None, None, None],
    'too narrow': good_x[:, 1:], 'too wide': torch.cat([good_x, good_x], 1), 'no width': good_x[:, :0], 'no rows': good_x[:0],
    'NaN first': with_value(0, np.nan), 'NaN last': with_value(B - 1, np.nan), 'infinity': with_value(2, np.inf), 'minus infinity': with_value(2, -np.inf),
    'infinities that cancel': torch.cat([with_value(0, np.inf), with_value(0, -np.inf)]), 'beyond float32': with_value(1, 0).double() + 1e300,
    'infinite half': with_value(4, np.inf).half(), 'sparse': good_x.to_sparse(), 'without values': torch.empty(B, D, device='meta')}
BAD_Y = {
    'None': None, 'a list': good_y.tolist(), 'an array': good_y.numpy(), 'a number': 3, 'a string': 'y', 'floats': good_y.float(), 'booleans': good_y > 0,
    'complex': good_y + 0j, 'a scalar': torch.tensor(1), 'a column': good_y[:, None], 'one-hot': nn.functional.one_hot(good_y, C), 'one short': good_y[1:],
    'one over': torch.cat([good_y, good_y[:1]]), 'empty': good_y[:0], 'negative': torch.where(good_y == 2, -1, good_y), 'beyond the classes': good_y + 1,
    'far beyond': good_y + 10**12, 'without values': torch.empty(B, dtype=torch.int64, device='meta')}
images = torch.rand(B, 3, 4, 4)
BAD_IMAGES = {'grey': images[:, :1], 'uint8': (images*255).byte(), 'none': images[:0], 'NaN': images*np.nan, 'transparent': torch.rand(B, 4, 4, 4)}
BAD_MODES = [None, '', 'Plastic', 'PANIC', 7, ['plastic'], b'panic', True]

class Eyes(nn.Module):
    "Images to features as `PretrainedEyes` checks them, in no time"
    out_dim, forward = D, PretrainedEyes.forward
    def __init__(self): super().__init__(); self.fast = nn.Sequential(nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(), nn.Linear(12, D))
    @property
    def device(self): return torch.device('cpu')

def plastic(**kwargs): return PlasticBrain(D, 24, 4, num_layers=2, memory_size=20, k_neighbors=3, num_classes=C, eyes=Eyes(), **kwargs)
def triarchic(**kwargs): return TriarchicBrain(D, 48, C, sparsity_k=4, eyes=Eyes(), **kwargs)
def bank(**kwargs): return EpisodicMemoryBank(D, 20, 3, C, **kwargs)
def trained(brain, n=60):
    learn = getattr(brain, 'train_step', None) or getattr(brain, 'update_batch', None) or brain.update
    for x, y in cloud_of(n).split(B): learn(x, y)
    return brain
class cloud_of:
    def __init__(self, n): self.x, self.y = torch.randn(n, D, generator=torch.Generator().manual_seed(n)), torch.arange(n) % C
    def split(self, b): return zip(self.x.split(b), self.y.split(b))

KINDS = {'plastic': plastic, 'plastic, published': lambda: plastic(published=True), 'plastic, any label': lambda: PlasticBrain(D, 24, 4, num_layers=2, memory_size=20, num_classes=None),
         'triarchic': triarchic, 'triarchic, published': lambda: triarchic(published=True),
         'bank': bank, 'bank, balanced': lambda: bank(policy='balanced'), 'bank, int8': lambda: bank(policy='balanced', store=BankConfig(storage='int8'))}
OPEN = 'plastic, any label'
MADE = {}
def subject(kind):
    "A trained one of its kind; tests leave it as it is, which is what they test"
    if kind not in MADE: MADE[kind] = trained(KINDS[kind]())
    return MADE[kind]

def picture(o):
    "Everything that `o` could remember, to the bit"
    plain = lambda v: isinstance(v, (int, float, str, bool, type(None), list, dict, tuple)) 
    return {n: ({k: v.clone() for k, v in m._buffers.items() if v is not None}, copy.deepcopy({k: v for k, v in vars(m).items() if plain(v) and not k.startswith('_')}))
            for n, m in o.named_modules()} | {'draws': torch.get_rng_state()}

TRIED = []
def fault(o, call, names, kinds):
    "What is wrong with how `call` fails; None if it is a documented error that names one of `names`, and `o` stays as it was"
    before = picture(o)
    try: call()
    except kinds as e: said = str(e)
    except Exception as e: return f'{type(e).__name__}: {e}'
    else: return 'no error'
    if not said.startswith(tuple(n + s for n in names for s in (':', ' should', '['))) or len(said) > 400: return f'unclear: {said[:200]}'
    moved = difference(before, picture(o))
    return moved and f'moved {moved}'

@pytest.fixture
def refused():
    "refused(what, o, call, *names): to be called for every bad call; the test fails at its end with all that went wrong"
    wrong, n = [], []
    def judge(what, o, call, *names, kinds=(ValueError, TypeError)):
        n.append(what)
        if problem := fault(o, call, names, kinds): wrong.append(f'{what}: {problem}')
    yield judge
    TRIED.extend(n)
    assert not wrong, f'{len(wrong)} of {len(n)} bad calls:\n' + '\n'.join(wrong)

def takes_x(o):
    "Everything of `o` that takes features"
    if isinstance(o, EpisodicMemoryBank): return {'forward': o, 'search': o.search, 'explain': o.explain, 'recall': o.recall, 'update': lambda x: o.update(x, good_y)}
    if isinstance(o, TriarchicBrain): return {'forward': o, 'predict': o.predict, 'encode': o.encode, 'get_sparse_h': o.get_sparse_h, 'features': o.features,
                                              'update_batch': lambda x: o.update_batch(x, good_y), 'get_memory_accuracy': lambda x: o.get_memory_accuracy(x, good_y)}
    return {'forward': o, 'predict': o.predict, 'features': o.features, 'explain': o.explain, 'panic': lambda x: o(x, 'panic'), 'train_step': lambda x: o.train_step(x, good_y),
            'watching': lambda x: o.train_step(x, good_y, 'inference', memorize=False)}

def takes_y(o):
    "Everything of `o` that takes labels"
    if isinstance(o, EpisodicMemoryBank): return {'update': lambda y: o.update(good_x, y), 'temporary': lambda y: o.update(good_x, y, 'storm', True)}
    if isinstance(o, TriarchicBrain): return {m: lambda y, m=m: o.update_batch(good_x, y, m) for m in ('plastic', 'panic')} | {'get_memory_accuracy': lambda y: o.get_memory_accuracy(good_x, y)}
    return {m: lambda y, m=m: o.train_step(good_x, y, m) for m in ('plastic', 'panic', 'auto', 'inference')} | {'evaluate': lambda y: o.evaluate([(good_x, y)])}

@pytest.mark.parametrize('kind', KINDS)
def test_features(kind, refused):
    o = subject(kind)
    for name, call in takes_x(o).items():
        for what, x in BAD_X.items(): refused(f'{name}, {what}', o, lambda: call(x), 'x', 'q')

@pytest.mark.parametrize('kind', KINDS)
def test_labels(kind, refused):
    o = subject(kind)
    for name, call in takes_y(o).items():
        for what, y in BAD_Y.items():
            if kind != OPEN or what != 'beyond the classes': refused(f'{name}, {what}', o, lambda: call(y), 'y')

@pytest.mark.parametrize('kind', ['plastic', 'plastic, published', 'triarchic', 'triarchic, published'])
def test_images(kind, refused):
    o = subject(kind)
    for name, call in takes_x(o).items():
        for what, x in BAD_IMAGES.items(): refused(f'{name}, {what}', o, lambda: call(x), 'x')

@pytest.mark.parametrize('kind', ['plastic', 'plastic, published', OPEN, 'triarchic', 'triarchic, published'])
def test_modes(kind, refused):
    o = subject(kind)
    calls = {'learn': lambda m: o.update_batch(good_x, good_y, m)} if isinstance(o, TriarchicBrain) else {
        'learn': lambda m: o.train_step(good_x, good_y, m), 'forward': lambda m: o(good_x, m)}
    for name, call in calls.items():
        for m in [*BAD_MODES, 'auto' if name == 'forward' or isinstance(o, TriarchicBrain) else 'sleep']: refused(f'{name}, {m!r}', o, lambda: call(m), 'mode')

@pytest.mark.parametrize('kind', ['plastic', 'plastic, published', OPEN, 'bank', 'bank, balanced', 'bank, int8'])
def test_memory(kind, refused):
    o = subject(kind)
    m = getattr(o, 'memory', o)
    for k in (0, -1, 1.5, '3', True, [3]):
        for name, call in {'search': m.search, 'recall': m.recall, 'explain': o.explain}.items(): refused(f'{name}, k={k!r}', o, lambda: call(good_x, k), 'k')
    learn = o.update if m is o else lambda x, y, phase: o.train_step(x, y, phase=phase)
    for phase in (5, b'x', ['a'], True, 1.): refused(f'learn, phase={phase!r}', o, lambda: learn(good_x, good_y, phase), 'phase')
    for forget in {o.forget, m.forget, m.select}:
        for what in ({}, dict(ids=[1], label=1), dict(label=1, phase='a'), dict(ids=[0], label=0, phase='a')): refused(f'forget {what}', o, lambda: forget(**what), 'ids, label, phase')
        for ids in ([1.5], ['a'], 'all', torch.tensor([.5]), torch.tensor([True]), object()): refused(f'forget ids={ids!r}', o, lambda: forget(ids=ids), 'ids')
        for label in (1.5, '1', True, [1]): refused(f'forget label={label!r}', o, lambda: forget(label=label), 'label')
        for phase in ('never', '', 3, ['a']): refused(f'forget phase={phase!r}', o, lambda: forget(phase=phase), 'phase')

BAD_COUNTS = [0, -1, 1.5, '3', True, [3], float('nan')]
@pytest.mark.parametrize('kind', ['plastic', 'plastic, published', OPEN])
def test_surgery(kind, refused):
    o = subject(kind)
    for i in (2, -3, 10**6): refused(f'layer {i}', o, lambda: o.remove_layer(i), 'i')
    for name, call, arg in (('remove', o.remove_layer, 'i'), ('replace', o.replace_layer, 'i'), ('freeze', o.freeze_layer, 'i'), ('unfreeze', o.unfreeze_layer, 'i'), ('add', o.add_layer, 'index')):
        for i in (5, -7, 1., '0', True, [0], torch.tensor(0)): refused(f'{name} {i!r}', o, lambda: call(i), arg)
    for arg in ('hidden_dim', 'sparsity_k'):
        for n in BAD_COUNTS: refused(f'add {arg}={n!r}', o, lambda: o.add_layer(**{arg: n}), arg)
    refused('add a small layer', o, lambda: o.add_layer(hidden_dim=2, sparsity_k=3), 'sparsity_k')
    for lr in (-1, float('nan'), 'x', 1.5): refused(f'add lr={lr!r}', o, lambda: o.add_layer(lr=lr), 'lr')
    for new in (3, nn.Linear(D, D), NeuromodulatedBlock(D + 1, 8, 2), o.brain[0]): refused(f'replace by {new!r}', o, lambda: o.replace_layer(0, new), 'new')

def test_a_layer_alone(refused):
    o = NeuromodulatedBlock(D, 24, 4)
    for what, x in BAD_X.items(): refused(what, o, lambda: o(x, 'plastic'), 'x')
    for m in [*BAD_MODES, 'auto']: refused(f'mode {m!r}', o, lambda: o(good_x, m), 'mode')
    refused('no forward yet', o, lambda: o.plasticity_step(torch.ones(B)), 'plasticity_step')
    o(good_x, 'plastic')
    for what, r in {'None': None, 'a number': 1., 'short': torch.ones(B - 1), 'a column': torch.ones(B, 1), 'empty': torch.ones(0), 'NaN': torch.full((B,), np.nan),
                    'infinite': torch.full((B,), np.inf), 'complex': torch.ones(B) + 0j, 'a list': [1.]*B}.items():
        refused(f'reward {what}', o, lambda: o.plasticity_step(r), 'reward')
    o.plasticity_step(torch.ones(B))

def test_constructors(refused):
    nothing = nn.Identity()
    def bad(cls, good, **values):
        for name, vs in values.items():
            for v in vs: refused(f'{cls.__name__} {name}={v!r}', nothing, lambda: cls(**{**good, name: v}), name, kinds=(ValueError, TypeError))
    shares = [float('nan'), 'x', -1., [1]]
    bad(EpisodicMemoryBank, dict(input_dim=D), input_dim=BAD_COUNTS, memory_size=BAD_COUNTS, k_neighbors=BAD_COUNTS, num_classes=BAD_COUNTS, temperature=[0, *shares], policy=['x', None, ['ring']],
        storage=['x', None, torch.float32], index=['x', None], storm_penalty=[1.5, *shares], device=['nowhere'], metric=['cosine'])
    bad(NeuromodulatedBlock, dict(in_dim=D), in_dim=BAD_COUNTS, hidden_dim=BAD_COUNTS, sparsity_k=[*BAD_COUNTS, 4097], lr=[1.5, *shares], gate=[float('nan'), 'x'], n_readout_neurons=BAD_COUNTS[1:], device=['nowhere'])
    bad(PlasticBrain, dict(in_dim=D, hidden_dim=8, sparsity_k=2, memory_size=9), in_dim=BAD_COUNTS, hidden_dim=BAD_COUNTS, sparsity_k=[*BAD_COUNTS, 9], num_layers=BAD_COUNTS[1:], memory_size=BAD_COUNTS,
        k_neighbors=BAD_COUNTS, num_classes=BAD_COUNTS, lr_brain=[1.5, *shares], power=[0, *shares], temperature=[0, *shares], shrinkage=[1.5, *shares], readout=shares, n_readout_neurons=BAD_COUNTS, eval_batch=BAD_COUNTS,
        device=['nowhere'], eyes=[3])
    small = dict(in_dim=D, hidden_dim=8, sparsity_k=2, memory_size=9)
    for v in (3, 'x', ['x'], dict(colour=3)): refused(f'memory={v!r}', nothing, lambda: PlasticBrain(**small, vote=VoteConfig(memory=v)), 'memory')
    refused('path', nothing, lambda: PlasticBrain(**small, vote=VoteConfig(memory=dict(path=3))), 'path')
    refused('repeats', nothing, lambda: PlasticBrain(**small, vote=VoteConfig(repeats='x')), 'repeats')
    refused('hebbian', nothing, lambda: PlasticBrain(**small, readout=ReadoutConfig(hebbian='x')), 'hebbian')
    refused('core', nothing, lambda: TriarchicBrain(D, 16, C, 2, parts=TriarchicConfig(core=3)), 'core')
    bad(TriarchicBrain, dict(in_size=D, hidden_size=16, sparsity_k=2), in_size=BAD_COUNTS, hidden_size=BAD_COUNTS, out_size=BAD_COUNTS, sparsity_k=[*BAD_COUNTS, 17], power=[0, *shares], device=['nowhere'], eyes=[3])

def test_feature_sets(refused, tmp_path):
    nothing = nn.Identity()
    for what, f in {'None': None, 'a list': good_x.tolist(), 'an array': good_x.numpy(), 'integers': good_x.long(), 'one axis': good_x[0]}.items():
        refused(f'features {what}', nothing, lambda: FeatureDataset(f, good_y), 'features')
    for what, y in {'None': None, 'floats': good_y.float(), 'booleans': good_y > 1, 'short': good_y[1:], 'a column': good_y[:, None], 'negative': good_y - 1, 'a string': 'abcdef'}.items():
        refused(f'labels {what}', nothing, lambda: FeatureDataset(good_x, y), 'labels')
    for kw in ({}, dict(classes=[0], index=[0])): refused('subset', nothing, lambda: FeatureDataset(good_x, good_y).subset(**kw), 'subset')
    eyes = Eyes()
    pictures = torch.utils.data.TensorDataset(images, good_y)
    for what, data in {'None': None, 'a list of nothing': [], 'an iterator': iter([]), 'a number': 3}.items(): refused(f'data {what}', nothing, lambda: cache_features(eyes, data, cache_dir=tmp_path), 'data')
    for n in BAD_COUNTS: refused(f'batch_size {n!r}', nothing, lambda: cache_features(eyes, pictures, cache_dir=tmp_path, batch_size=n), 'batch_size')
    for e in (None, 3): refused(f'eyes {e!r}', nothing, lambda: cache_features(e, pictures, cache_dir=tmp_path), 'eyes')
    for name, bad in dict(cache_dir=3, transform_fn=3, num_workers='x').items():
        refused(f'{name}={bad!r}', nothing, lambda: cache_features(eyes, pictures, **{**dict(cache_dir=tmp_path), name: bad}), name)
    (tmp_path/'file').write_text('')
    refused('a file as folder', nothing, lambda: cache_features(eyes, pictures, cache_dir=tmp_path/'file'), 'cache_dir', kinds=(OSError,))
    assert not [p for p in tmp_path.iterdir() if p.name != 'file' and not p.name.endswith('.lock')]
    for y in (good_y.float(), good_y/2, good_y > 1, good_y[:, None], good_y - 1):
        for data in (torch.utils.data.TensorDataset(images, y), list(zip(images, y))):
            with pytest.raises((ValueError, TypeError), match='^labels: expected'): cache_features(eyes, data, cache_dir=tmp_path, progress=False)
    for f in (folder_splits, image_files, cifar10_splits): refused(f.__name__, nothing, lambda: f(3), 'data_root', 'root')
    refused('weights', nothing, lambda: PretrainedEyes(weights=3), 'weights')

class Broken(torch.utils.data.IterableDataset):
    "Good batches, then something else"
    def __init__(self, end, n=3): self.end, self.n = end, n
    def __iter__(self):
        for x, y in cloud_of(self.n*B).split(B): yield x, y
        yield self.end() if callable(self.end) else self.end

class Ever(torch.utils.data.IterableDataset):
    "The same batch for ever"
    def __iter__(self):
        while True: yield good_x, good_y

class Unplugged(Exception): pass
def unplug(): raise Unplugged('the camera is gone')

@pytest.mark.parametrize('kind', ['plastic', 'triarchic'])
def test_loaders_that_break(kind):
    "A run that ends in the middle has learned and recorded what came before, and nothing of what was wrong"
    ends = {'raises': unplug, 'no pair': (good_x,), 'three': (good_x, good_y, good_y), 'None': None, **{f'x {k}': (BAD_X[k], good_y) for k in ('None', 'a string', 'integers', 'too narrow', 'no rows', 'NaN last', 'without values')},
            **{f'y {k}': (good_x, BAD_Y[k]) for k in ('None', 'floats', 'a column', 'one short', 'negative', 'beyond the classes', 'without values')}}
    for what, end in ends.items():
        torch.manual_seed(0)
        brain, twin = KINDS[kind](), KINDS[kind]()
        phase = PhaseConfig('short', 1, Broken(end))
        trainer = PlasticTrainer(brain, [phase]) if kind == 'plastic' else TriarchicTrainer(brain, None, [phase])
        with pytest.raises(Unplugged if what == 'raises' else (ValueError, TypeError)): trainer.train(verbose=False)
        for x, y in cloud_of(3*B).split(B): twin.train_step(x, y, phase='short') if kind == 'plastic' else twin.update_batch(x, y)
        assert difference(picture(twin)[''], picture(brain)['']) is None, what
        assert difference(dict(twin.state_dict()), dict(brain.state_dict())) is None, what
        assert trainer.at['step'] == trainer.history.n_rows == 3 == len(trainer.history.task_acc), what
    TRIED.extend(ends)

def test_trainers(refused):
    o, loader = subject('plastic'), cloud(range(C), 20).loader()
    phase = PhaseConfig('a', 1, loader)
    def bad(name, values):
        for v in values: refused(f'{name}={v!r}', o, lambda: PlasticTrainer(**{**dict(brain=o, phases=[phase]), name: v}), name)
    bad('phases', [None, 3, [], [3], 'a', [phase, 'b'], phase])
    endless = torch.utils.data.DataLoader(Broken(None), batch_size=None)
    bad('eval_loaders', [3, [loader], {'a': 3}, {'a': iter([])}, {'a': endless}])
    refused('evaluate on nothing', o, lambda: o.evaluate([]), 'loader')
    for trainer in (PlasticTrainer, lambda b, ps: TriarchicTrainer(subject('triarchic'), None, ps)):
        with pytest.raises(ValueError, match="^phase 'a': data_loader gave no batch"): trainer(o, [PhaseConfig('a', 1, [])]).train(verbose=False)
    ever = PlasticTrainer(plastic(), [PhaseConfig('a', 2, torch.utils.data.DataLoader(Ever(), batch_size=None), max_steps=4)])
    assert ever.train(verbose=False).n_rows == 8
    for name, values in dict(eval_interval=BAD_COUNTS, eval_samples=BAD_COUNTS, save_every=BAD_COUNTS, save_minutes=[-1, float('nan'), 'x'], seed=[1.5, 'x', None], device=['nowhere'], eyes=[3],
                             checkpoint_dir=[3, b'x', ['x']], cache_dir=[3]).items(): bad(name, values)
    for call in (o.save, PlasticBrain.load, PlasticTrainer(o, [phase]).save): refused('a folder', o, lambda: call(3), 'folder')
    for call in (TrainingHistory().to_csv, TrainingHistory().to_json, TrainingHistory.from_json): refused('a file', o, lambda: call(3), 'path')
    for cls in (PlasticVisualizer, Dashboard): refused(cls.__name__, o, lambda: cls(3), 'brain', 'trainer')
    refused('evaluate 3', o, lambda: o.evaluate(3), 'loader')

def test_phases(refused):
    loader, nothing = cloud(range(C), 20).loader(), nn.Identity()
    for name, values in dict(name=[None, 3, '', ' '], n_epochs=BAD_COUNTS, data_loader=[None, 3], mode=['x', '', 3], memorize=[1, None, 'no'], transform_fn=[3, 'x'], consolidate_after=[1, None],
                             neurogenesis=['x', 3], max_steps=BAD_COUNTS, cache=[1, None], description=[3], task=[3]).items():
        for v in values: refused(f'{name}={v!r}', nothing, lambda: PhaseConfig(**{**dict(name='a', n_epochs=1, data_loader=loader), name: v}), f'PhaseConfig {v!r}' if name == 'name' else "PhaseConfig 'a'")

EDGE = st.sampled_from(['x', 'y', 'mode'])
@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(kind=st.sampled_from(list(KINDS)), rows=st.integers(1, 9), dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]), where=st.tuples(st.integers(0, 8), st.integers(0, D - 1)),
       value=st.sampled_from([np.nan, np.inf, -np.inf]), wrong=st.sampled_from(['value', 'width', 'label', 'length', 'mode']), off=st.integers(1, 10**9), call=st.integers(0, 9), strided=st.booleans(), grad=st.booleans())
def test_generated(kind, rows, dtype, where, value, wrong, off, call, strided, grad):
    "Whatever else is unusual about a bad call, it moves nothing"
    o = subject(kind)
    x, y = torch.ones(2*rows, D)[::2 if strided else 1][:rows].clone().to(dtype), torch.arange(rows) % C
    if wrong == 'value': x[where[0] % rows, where[1]] = value
    if wrong == 'width': x = x[:, :where[1]]
    if wrong == 'label': y[where[0] % rows] = -off if off % 2 or kind == OPEN else C - 1 + off
    if wrong == 'length': y = y[1:] if off % 2 else torch.cat([y, y])
    x.requires_grad_(grad)
    learn = {'bank': lambda: o.update(x, y, 'a' if wrong != 'mode' else 5), 'plastic': lambda: o.train_step(x, y, ['plastic', 'panic', 'auto', 'inference'][call % 4] if wrong != 'mode' else str(off)),
             'triarchic': lambda: o.update_batch(x, y, ['plastic', 'panic'][call % 2] if wrong != 'mode' else str(off))}[kind.split(',')[0]]
    ask = list(takes_x(o).values())[call % 3]
    problem = fault(o, (lambda: ask(x)) if wrong in ('value', 'width') and call > 4 else learn, ('x', 'y', 'q', 'mode', 'phase'), (ValueError, TypeError))
    assert problem is None, problem
    TRIED.append('generated')

def test_what_is_unusual_but_right():
    "A batch of one, half precision, strides, gradients and small integers for labels are all as good as the plain thing"
    big = torch.stack([good_x, good_x], 2)
    for kind in KINDS:
        for x, y in ((good_x[:1], good_y[:1]), (good_x.bfloat16().float().half(), good_y.to(torch.int8)), (big[:, :, 0], good_y.to(torch.uint8)), (good_x.clone().requires_grad_(), good_y.int()), (good_x.double(), good_y)):
            a, b = trained(KINDS[kind](), 20), trained(KINDS[kind](), 20)
            for o, u, v in ((a, x, y), (b, x.detach().float().contiguous().clone(), y.long().clone())):
                (o.update if 'bank' in kind else getattr(o, 'train_step', None) or o.update_batch)(u, v)
            assert difference(dict(a.state_dict()), dict(b.state_dict())) is None, kind
            assert not any(t.requires_grad for t in a.state_dict().values())

@pytest.mark.parametrize('kind', KINDS)
def test_types_stay(kind, refused):
    "Buffers keep their types, whatever moves: sums in 64 bits lose their digits in 32, and a brain half converted cannot answer"
    o = subject(kind)
    changes = {'half': o.half, 'double': o.double, 'bfloat16': lambda: o.to(torch.bfloat16), 'type': lambda: o.type(torch.float16),
               'device and type': lambda: o.to('meta', torch.float64), 'like': lambda: o.to(good_x.double())} | ({} if 'bank' in kind else {'float': o.float})
    for what, change in changes.items(): refused(what, o, change, 'dtype')
    before = picture(o)
    assert o.to('cpu').to(torch.device('cpu')).cpu() is o and difference(before, picture(o)) is None
    moved = copy.deepcopy(o).to('meta')
    assert {k: b.dtype for k, b in moved.named_buffers()} == {k: b.dtype for k, b in o.named_buffers()}
    assert {b.device.type for b in moved.buffers()} == {'cpu', 'meta'}

@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('kind', KINDS)
def test_mixed_devices(kind):
    "Features and labels may come from another device than the one the brain is on"
    here, there = trained(KINDS[kind](), 20), trained(KINDS[kind](), 20)
    def learn(o, x, y): (o.update if 'bank' in kind else getattr(o, 'train_step', None) or o.update_batch)(x, y)
    learn(here, good_x, good_y); learn(there, good_x.cuda(), good_y.cuda())
    assert difference(dict(here.state_dict()), dict(there.state_dict())) is None

def test_how_many():
    print(f'{len(TRIED)} bad calls were tried')

NOW = {  # arguments of the constructors of 0.3 -> what the error names
    PlasticBrain: dict(hebbian='readout=ReadoutConfig(hebbian=…)', power='vote=VoteConfig(power=…)', temperature='vote=VoteConfig(temperature=…)', shrinkage='vote=VoteConfig(shrinkage=…)',
                       readers='readout=ReadoutConfig(n_neurons=…)', probe='readout=ReadoutConfig(eval_batch=…)', memory_settings='vote=VoteConfig(memory=…)', repeats='vote=VoteConfig(repeats=…)',
                       reward='removed', readout='ReadoutConfig', storm='no such argument'),
    EpisodicMemoryBank: dict(timid='store=BankConfig(storm_penalty=…)', **{k: f'store=BankConfig({k}=…)' for k in ('storage', 'index', 'path', 'seed', 'target')}),
    TriarchicBrain: {k: f'parts=TriarchicConfig({k}=…)' for k in ('core', 'base', 'power')}, NeuromodulatedBlock: dict(readers='n_readout_neurons=…'),
    PrototypeProjection: dict(timid='storm_penalty=…', tired='removed')}

@pytest.mark.parametrize('kind', NOW)
def test_arguments_of_0_3(kind):
    "Each is refused by an error that names it and its new place"
    for name, place in NOW[kind].items():
        with pytest.raises(TypeError) as e: kind(**{name: 2})
        assert str(e.value).startswith(f'{name}: ') and place in str(e.value), str(e.value)

@pytest.mark.parametrize('kind', ['plastic', 'triarchic', 'published'])
def test_images_for_a_brain_without_eyes(kind, refused, monkeypatch, tmp_path):
    "No download starts within a step: the error says how to give it eyes"
    o = TriarchicBrain(D, 48, C, 4) if kind == 'triarchic' else PlasticBrain(D, 24, 4, 2, 20, 3, C, published=kind == 'published')
    def download(*a, **k): raise AssertionError('a download was started')
    monkeypatch.setattr(torch.hub, 'load_state_dict_from_url', download)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    calls = {n: c for n, c in takes_x(o).items() if n not in ('explain',)}
    for name, call in calls.items(): refused(name, o, lambda: call(images), 'x')

def test_labels_far_above_those_known(refused):
    "An open label set is numbered without large gaps; 99 999 after five classes would make 100 000 columns"
    o, m = subject(OPEN), trained(EpisodicMemoryBank(D, 20, 3, None, metric=PlasticMetric(D)))
    for y in (99_999, 5000, C + 1000):
        for mode in ('plastic', 'panic', 'auto', 'inference'): refused(f'{mode}, {y}', o, lambda: o.train_step(good_x, good_y + y, mode), 'y')
        refused(f'bank, {y}', m, lambda: m.update(good_x, good_y + y), 'y')
    new = copy.deepcopy(o)
    new.train_step(good_x, good_y + 900)
    assert new(good_x).shape[1] == 905


def test_sets_of_classes_where_a_class_has_just_come():
    "The sums of the readout have not met it yet: its rows wait"
    gen = torch.Generator().manual_seed(1)
    y = torch.arange(3000) % 3
    x = torch.randn(3000, 16, generator=gen) + 4*torch.eye(16)[y]
    brain = PlasticBrain(16, num_classes=None)
    for i in range(0, 3000, 60): brain.train_step(x[i:i + 60], y[i:i + 60])
    brain.train_step(torch.randn(1, 16, generator=gen), torch.tensor([3]))
    assert brain.predict_set(x[:3])[torch.arange(3), y[:3]].all()
