"A step waits for a GPU a known number of times: what is counted here is explained on the page `speed`"
import pytest
import torch
from waits import Waits

from plasticish import PlasticBrain, TriarchicBrain
from plasticish.bench import toy_features


@pytest.mark.parametrize('make, step, answer', [(lambda: PlasticBrain(64, 1024, 32), 45, 5), (lambda: TriarchicBrain(64, 1024), 35, 1)])
def test_waits_of_a_step(make, step, answer):
    brain, (x, y) = make(), toy_features(2560, 64)
    learn = getattr(brain, 'train_step', None) or brain.update_batch
    *before, last = zip(x.split(64), y.split(64))
    for b in before: learn(*b)
    with Waits(brain) as learning: learn(*last)
    with Waits(brain) as asking: brain.predict(x[:64])
    assert 0 < sum(learning.found.values()) <= step, learning.found
    assert 0 < sum(asking.found.values()) <= answer, asking.found

def test_what_counts_as_waiting():
    module = torch.nn.Module()
    module.host_buffers = ('counters',)
    module.register_buffer('counters', torch.ones(3, dtype=torch.int64))
    x = torch.ones(4)
    for wait, n in ((lambda: x.sum().item(), 1), (lambda: x[x > 0], 1), (lambda: x.nonzero(), 1), (lambda: bool((x > 0).all()), 1), (lambda: x.cpu(), 1),
                    (lambda: x + 1, 0), (lambda: int(module.counters[0]), 0), (lambda: (module.counters + 1).tolist(), 0)):
        with Waits(module) as w: wait()
        assert sum(w.found.values()) == n
