"Numbers at the edge: nothing, all the same, one class, a thousand, one feature, four thousand, half precision; and the same again"
import pytest
import torch
from small import difference

from plasticish.brain import PlasticBrain, ReadoutConfig, TriarchicBrain, TriarchicConfig, VoteConfig
from plasticish.memory import EpisodicMemoryBank, PlasticMetric


def drawn(n, D, C, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % C
    return torch.randn(C, D, generator=g)[y] + .3*torch.randn(n, D, generator=g), y

def brains(D, C):
    yield PlasticBrain(D, 32, 4, 2, 200, 5, C, readout=ReadoutConfig(n_neurons=64))
    yield PlasticBrain(D, 32, 4, 2, 200, 5, C, published=True)
    yield PlasticBrain(D, 32, 4, 1, 200, 5, None, readout=ReadoutConfig(n_neurons=32))
    yield TriarchicBrain(D, 64, C, 4)
    yield TriarchicBrain(D, 64, C, 4, published=True)

def lives(brain, x, y, batch=32, modes=('plastic', 'panic')):
    "Learn everything twice, calm and in panic; whatever comes, what is inside and what is said stays finite"
    for mode in modes:
        for a, b in zip(x.split(batch), y.split(batch)):
            acc = brain.update_batch(a, b, mode) if isinstance(brain, TriarchicBrain) else brain.train_step(a, b, mode)
            assert 0 <= acc <= 1
    if hasattr(brain, 'consolidate'): brain.consolidate()
    out = brain(x[:20])
    for t in (*(out if isinstance(out, tuple) else (out,)), *(v for v in brain.state_dict().values() if v.is_floating_point())): assert torch.isfinite(t).all()
    return brain

EDGES = {
    'zeros': lambda x, y: (torch.zeros_like(x), y), 'one zero among others': lambda x, y: (x*(torch.arange(len(x)) % 7 > 0)[:, None], y), 'duplicates': lambda x, y: (x[:1].expand(len(x), -1), y),
    'duplicates of each class': lambda x, y: (x[y], y), 'constant features': lambda x, y: (torch.cat([x[:, :2], torch.ones_like(x[:, 2:])], 1), y), 'one class': lambda x, y: (x, torch.zeros_like(y)),
    'the last class alone': lambda x, y: (x, torch.full_like(y, int(y.max()))), 'tiny': lambda x, y: (x*1e-30, y), 'denormal': lambda x, y: (x*1e-42, y), 'huge': lambda x, y: (x.sign()*1e16, y), 'mixed scales': lambda x, y: (x*10.**(torch.arange(len(x)) % 48 - 30)[:, None], y),
    'opposites': lambda x, y: (torch.where((torch.arange(len(x)) % 2 > 0)[:, None], x[:1], -x[:1]), y), 'sorted by class': lambda x, y: (x[y.argsort()], y.sort().values)}

def test_features_too_large_for_a_length():
    "A row whose length overflows would be a key of length 0; it is refused by name, and nothing is learned"
    x, y = drawn(6, 6, 3)
    bank = EpisodicMemoryBank(6, 20, 3, 3)
    calls = [bank.update, bank.contains, lambda x, y: bank(x)]
    for b in (*brains(6, 3), PlasticBrain(6, 32, 4, 1, vote=VoteConfig(power=2.)), TriarchicBrain(6, 64, 3, 4, parts=TriarchicConfig(power=2.))):
        calls += [b.update_batch if isinstance(b, TriarchicBrain) else b.train_step, lambda x, y, b=b: b(x)]
    for call in calls:
        for size in (3e38, 1e19):
            bad = x.clone(); bad[4] = bad[4].sign()*size
            with pytest.raises(ValueError, match=r'^[xq]: expected rows of a length below 1.8e19, got .* in row 4'): call(bad, y)
    assert not len(bank)
    for b in (calls[-4], calls[-2]):                       # squared, so 1e12 is too much
        with pytest.raises(ValueError, match='length below'): b(x*1e12, y)

@pytest.mark.parametrize('edge', EDGES)
def test_edges(edge):
    x, y = EDGES[edge](*drawn(96, 6, 4))
    for brain in brains(6, 4): lives(brain, x, y)

@pytest.mark.parametrize('D, C, n', [(1, 2, 64), (2, 1, 64), (6, 1000, 1500), (4096, 3, 24)])
def test_sizes(D, C, n):
    x, y = drawn(n, D, C)
    for brain in (PlasticBrain(D, 32, 4, 1, 50, 5, C, readout=ReadoutConfig(n_neurons=32)), TriarchicBrain(D, 64, C, 4)) if D == 4096 else brains(D, C):
        lives(brain, x, y, 256, modes=('plastic',))
    if C == 1000:
        b = EpisodicMemoryBank(D, n, 5, C, metric=PlasticMetric(D, C), policy='balanced')
        b.update(x, y)
        assert (b(x).argmax(1) == y).float().mean() > .5

@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    "Features of another precision are those numbers in float32, no more and no less"
    x, y = drawn(60, 6, 4)
    for a, b in zip(brains(6, 4), brains(6, 4)):
        lives(a, x.to(dtype), y); lives(b, x.to(dtype).float(), y)
        assert difference(dict(a.state_dict()), dict(b.state_dict())) is None

def test_the_same_again():
    "Two brains that live through the same are the same, to the last bit, whatever was drawn before"
    x, y = drawn(200, 6, 4)
    def run(seed):
        torch.manual_seed(seed)
        out = []
        for b in brains(6, 4):
            lives(b, x, y)
            if isinstance(b, PlasticBrain): b.add_layer(); b.forget(label=1); lives(b, x, y)
            out.append(dict(b.state_dict()))
        return out
    assert difference(run(0), run(1)) is None

def test_batches_of_one_and_of_all():
    for brain in brains(6, 4): lives(brain, *drawn(60, 6, 4), batch=1)
    for brain in brains(6, 4): lives(brain, *drawn(3000, 6, 4), batch=3000, modes=('plastic',))
