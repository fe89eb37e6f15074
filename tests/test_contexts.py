"Inference mode, autocast, another default dtype or device around a call leave no trace in what a brain is"
from contextlib import contextmanager, nullcontext

import pytest
import torch
from small import difference

from plasticish.brain import PlasticBrain, ReadoutConfig, TriarchicBrain
from plasticish.memory import BankConfig, EpisodicMemoryBank, PlasticMetric

D, C = 16, 4

@contextmanager
def float64():
    torch.set_default_dtype(torch.float64)
    try: yield
    finally: torch.set_default_dtype(torch.float32)

AROUND = {'inference mode': torch.inference_mode, 'autocast': lambda: torch.autocast('cpu'), 'gradients': torch.enable_grad,
          'no gradients': torch.no_grad, 'float64': float64, 'another device': lambda: torch.device('meta')}
MAKE = {'plastic': lambda: PlasticBrain(D, 32, 4, 2, 60, 5, None, readout=ReadoutConfig(n_neurons=64)), 'bfloat16': lambda: PlasticBrain(D, 32, 4, 2, 60, 5, C, precision='bfloat16', readout=ReadoutConfig(n_neurons=64)),
        'published': lambda: PlasticBrain(D, 32, 4, 2, 60, 5, C, published=True), 'hebbian': lambda: PlasticBrain(D, 32, 4, 1, 60, 5, C, readout=ReadoutConfig(n_neurons=64, hebbian=True)),
        'triarchic': lambda: TriarchicBrain(D, 64, C, 4), 'published triarchic': lambda: TriarchicBrain(D, 64, C, 4, published=True),
        'bank': lambda: EpisodicMemoryBank(D, 60, 5, None, metric=PlasticMetric(D), policy='balanced'), 'int8 bank': lambda: EpisodicMemoryBank(D, 60, 5, C, metric=PlasticMetric(D), store=BankConfig(storage='int8'))}

def live(kind, around, started=nullcontext):
    "The state after a life, every second call of it within `around`"
    g = torch.Generator().manual_seed(0)
    means, y = torch.randn(C, D, generator=g), torch.arange(240) % C
    x = means[y] + .5*torch.randn(240, D, generator=g)
    with started(): o = MAKE[kind]()
    for i, (a, b) in enumerate(zip(x.split(24), y.split(24))):
        with around() if i % 2 else nullcontext():
            a = a.clone()
            if kind == 'bank' or kind == 'int8 bank': o.update(a, b, f'p{i}', temporary=i % 5 == 3); o(a); o.contains(a, b)
            elif 'triarchic' in kind: o.update_batch(a, b, 'panic' if i % 5 == 3 and 'published' not in kind else 'plastic'); o(a); o.predict(a)
            else: o.train_step(a, b, 'panic' if i % 5 == 3 else 'auto', phase=f'p{i}'); o(a); o.explain(a[:1])
            if i == 5 and hasattr(o, 'forget'): o.forget(phase='p2')
            if i in (5, 6) and hasattr(o, 'add_layer'): o.add_layer(); o.consolidate()
            if i == 7: o.load_state_dict({k: v.clone() for k, v in o.state_dict().items()})
    out = o(x[:9])
    return o, out[0] if isinstance(out, tuple) else out

@pytest.mark.parametrize('around', AROUND)
@pytest.mark.parametrize('kind', MAKE)
def test_what_is_around_a_call(kind, around):
    "The state is the same to the bit, of ordinary tensors, and so is the answer outside"
    want, said = live(kind, nullcontext)
    for started in (nullcontext, AROUND[around]):
        got, answer = live(kind, AROUND[around], started)
        assert difference(dict(want.state_dict()), dict(got.state_dict())) is None
        assert torch.equal(said, answer)
        for name, t in [*got.named_buffers(), ('answer', answer)]: assert not t.is_inference() and not t.requires_grad and t.device.type == 'cpu', name
