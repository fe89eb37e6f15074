"Ctrl-C at the lines of every method that changes a brain or a bank (at most 200 a method): afterwards it is as before the call or as after it"
import copy
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
from small import difference

import plasticish
from plasticish.brain import PlasticBrain, ReadoutConfig, TriarchicBrain
from plasticish.memory import BankConfig, EpisodicMemoryBank, PlasticMetric

D, C = 8, 4
HOME = str(Path(plasticish.__file__).parent)

def interrupted(call, at):
    "Call, with a Ctrl-C at line number `at` that is run in this package; lines run, and whether it was interrupted"
    n = 0
    def trace(frame, event, arg):
        nonlocal n
        if not frame.f_code.co_filename.startswith(HOME): return None
        if event == 'line':
            n += 1
            if n == at: signal.raise_signal(signal.SIGINT)
        return trace
    was = sys.gettrace()
    sys.settrace(trace)
    try: call(); stopped = False
    except KeyboardInterrupt: stopped = True
    finally: sys.settrace(was)
    return n, stopped

def data(n, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % C
    return torch.randn(C, D, generator=torch.Generator().manual_seed(1))[y] + .3*torch.randn(n, D, generator=g), y

def plastic(**kw):
    b = PlasticBrain(D, 16, 4, 2, 30, 5, None, readout=ReadoutConfig(n_neurons=32), **kw)
    for i, mode in enumerate(('plastic', 'plastic', 'panic')): b.train_step(*data(14, i), mode, phase=f'p{i}')
    b.consolidate(); b.train_step(*data(5, 9)); b.defer(data(6, 3)[0])
    return b

def triarchic(**kw):
    b = TriarchicBrain(D, 32, C, 4, **kw)
    for i in range(3): b.update_batch(*data(14, i))
    b.defer(data(6, 3)[0])
    return b

def bank(**kw):
    b = EpisodicMemoryBank(D, 30, 5, None, metric=PlasticMetric(D), **kw)
    b.update(*data(20), 'p0'); b.update(*data(6, 1), 'p1', temporary=True); b.contains(*data(4))
    return b

def another(o):
    "A state of the same architecture that `o` can load"
    other = copy.deepcopy(o)
    (other.update if isinstance(o, EpisodicMemoryBank) else other.update_batch if isinstance(o, TriarchicBrain) else other.train_step)(*data(7, 5))
    return {k: v.clone() for k, v in other.state_dict().items()}

X, Y = data(12, 7)
CALLS = {
    'plastic': (plastic, {'train_step': lambda o: o.train_step(X, Y, phase='new'), 'panic': lambda o: o.train_step(X, Y, 'panic'), 'forget': lambda o: o.forget(label=1),
        'defer': lambda o: o.defer(X), 'teach': lambda o: o.teach(torch.tensor([4, 0, 2]), Y[:3]),
        'forget phase': lambda o: o.forget(phase='p2'), 'add_layer': lambda o: o.add_layer(0), 'remove_layer': lambda o: o.remove_layer(0), 'replace_layer': lambda o: o.replace_layer(1),
        'freeze_layer': lambda o: o.freeze_layer(0), 'consolidate': lambda o: o.consolidate(), 'flush': lambda o: o.flush(), 'set_neurogenesis': lambda o: o.set_neurogenesis(False),
        'load_state_dict': lambda o, s: o.load_state_dict(s), 'a state that does not fit': lambda o, s: o.load_state_dict({**s, 'readout.rows': s['readout.rows']*0 - 1})}),
    'published': (lambda: plastic(published=True), {'train_step': lambda o: o.train_step(X, Y), 'consolidate': lambda o: o.consolidate()}),
    'triarchic': (triarchic, {'update_batch': lambda o: o.update_batch(X, Y), 'panic': lambda o: o.update_batch(X, Y, 'panic'), 'defer': lambda o: o.defer(X), 'teach': lambda o: o.teach(torch.tensor([4, 0, 2]), Y[:3]), 'load_state_dict': lambda o, s: o.load_state_dict(s)}),
    'published triarchic': (lambda: triarchic(published=True), {'update_batch': lambda o: o.update_batch(X, Y)}),
    'ring': (bank, {'update': lambda o: o.update(X, Y, 'new'), 'forget': lambda o: o.forget(label=1), 'clear': lambda o: o.clear(), 'refresh': lambda o: o.refresh()}),
    'balanced int8': (lambda: bank(policy='balanced', store=BankConfig(storage='int8')), {'update': lambda o: o.update(X, Y, 'new'), 'load_state_dict': lambda o, s: o.load_state_dict(s)}),
}

def all_of(o):
    "State, and what is derived from it: an answer, and what is known"
    x, y = data(9, 4)
    out = o(x)
    bank = o if isinstance(o, EpisodicMemoryBank) else getattr(o, 'memory', None)
    return {**{k: v.clone() for k, v in o.state_dict().items()}, 'answer': out[0] if isinstance(out, tuple) else out, 'known': None if bank is None else bank.contains(*data(20)).tolist()}

@pytest.mark.skipif(sys.gettrace() is not None, reason='another trace is running')
@pytest.mark.parametrize('kind, name', [(k, n) for k, (_, calls) in CALLS.items() for n in calls])
def test_ctrl_c_at_every_line(kind, name):
    make, call = CALLS[kind][0], CALLS[kind][1][name]
    first = make()
    given = (another(first),) if call.__code__.co_argcount == 2 else ()
    def run(o):
        try: call(o, *given)
        except ValueError as e: assert 'does not fit' in name, e
    before, done = all_of(first), copy.deepcopy(first)
    lines, _ = interrupted(lambda: run(done), 0)
    after, seen = all_of(done), {'before': 0, 'after': 0}
    for at in range(1, lines + 1, max(1, lines//100)):
        o = copy.deepcopy(first)
        _, stopped = interrupted(lambda: run(o), at)
        now = all_of(o)
        is_as = next((w for w, s in (('before', before), ('after', after)) if difference(now, s) is None), None)
        assert stopped and is_as, f'line {at} of {lines}: {difference(now, before)} is not as before, {difference(now, after)} not as after'
        seen[is_as] += 1
        free = []
        t = threading.Thread(target=lambda: free.append(o._turns.lock.acquire(timeout=5))); t.start(); t.join()
        assert free == [True] and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print(f'{kind}, {name}: {lines} lines, {sum(seen.values())} interrupted; as before {seen["before"]}, as after {seen["after"]}')
