"Ctrl-C, or any other exception, at the lines of every method that changes a brain or a bank: afterwards it is as before the call or as after it"
import copy
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from small import difference

import plasticish
from plasticish.brain import PlasticBrain, ReadoutConfig, TriarchicBrain
from plasticish.common import Uninterrupted
from plasticish.estimator import PlasticClassifier
from plasticish.memory import BankConfig, EpisodicMemoryBank, PlasticMetric

D, C = 8, 4
HOME = str(Path(plasticish.__file__).parent)

class Broken(MemoryError): "What is raised in the middle of a call"

def ctrl_c(): signal.raise_signal(signal.SIGINT)
def failure(): raise Broken('in the middle')

def stopped_by(event, call, at):
    "Call, with an event at line number `at` that is run in this package, but for those that hold Ctrl-C back; lines run, and whether the call was stopped"
    n = 0
    def trace(frame, kind, arg):
        nonlocal n
        if not frame.f_code.co_filename.startswith(HOME) or isinstance(frame.f_locals.get('self'), Uninterrupted): return None
        if kind == 'line':
            n += 1
            if n == at: event()
        return trace
    was = sys.gettrace()
    sys.settrace(trace)
    try: call(); stopped = False
    except (KeyboardInterrupt, Broken): stopped = True
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

def watching(make, far=None):
    "A brain that knows what is usual and, if `far` is given, has observed inputs that moved so far"
    b = make()
    for i in range(5): (b.update_batch if isinstance(b, TriarchicBrain) else b.train_step)(*data(20, i))
    if far: b.observe(data(60)[0] + far)
    assert b.inputs.alarm == bool(far) and b._usual_distances() is not None
    return b

WATCHED = {'plastic': lambda: PlasticBrain(D, 16, 4, 2, 200, 5, None, readout=ReadoutConfig(n_neurons=32)), 'triarchic': lambda: TriarchicBrain(D, 32, C, 4)}

def test_what_is_usual_is_forgotten():
    "Distances of forgotten rows are in no state that is saved"
    b = watching(WATCHED['plastic'])
    b.forget(label=1)
    assert not len(b.state_dict()['shift.usual']) and not len(b.state_dict()['shift.home'])
    assert b.observe(data(5)[0]).shape[0] == 5

def bank(**kw):
    b = EpisodicMemoryBank(D, 30, 5, None, metric=PlasticMetric(D), **kw)
    b.update(*data(20), 'p0'); b.update(*data(6, 1), 'p1', temporary=True); b.contains(*data(4))
    return b

def classifier():
    c = PlasticClassifier(hidden_dim=16, memory_size=30, k_neighbors=5, mode='auto')
    for i in range(2): c.partial_fit(*(t.numpy() for t in data(14, i)))
    return c

def another(o):
    "A state of the same architecture that `o` can load"
    other = copy.deepcopy(o)
    (other.update if isinstance(o, EpisodicMemoryBank) else other.update_batch if isinstance(o, TriarchicBrain) else other.train_step)(*data(7, 5))
    return {k: v.clone() for k, v in other.state_dict().items()}

X, Y = data(12, 7)
CALLS = {
    'plastic': (plastic, {'train_step': lambda o: o.train_step(X, Y, phase='new'), 'panic': lambda o: o.train_step(X, Y, 'panic'), 'forget': lambda o: o.forget(label=1),
        'defer': lambda o: o.defer(X), 'discard': lambda o: o.discard(), 'teach': lambda o: o.teach(torch.tensor([4, 0, 2]), Y[:3]),
        'forget phase': lambda o: o.forget(phase='p2'), 'add_layer': lambda o: o.add_layer(0), 'remove_layer': lambda o: o.remove_layer(0), 'replace_layer': lambda o: o.replace_layer(1),
        'freeze_layer': lambda o: o.freeze_layer(0), 'consolidate': lambda o: o.consolidate(), 'flush': lambda o: o.flush(), 'set_neurogenesis': lambda o: o.set_neurogenesis(False),
        'load_state_dict': lambda o, s: o.load_state_dict(s), 'a state that does not fit': lambda o, s: o.load_state_dict({**s, 'readout.rows': s['readout.rows']*0 - 1})}),
    'published': (lambda: plastic(published=True), {'train_step': lambda o: o.train_step(X, Y), 'consolidate': lambda o: o.consolidate()}),
    'triarchic': (triarchic, {'update_batch': lambda o: o.update_batch(X, Y), 'panic': lambda o: o.update_batch(X, Y, 'panic'), 'defer': lambda o: o.defer(X), 'discard': lambda o: o.discard(), 'teach': lambda o: o.teach(torch.tensor([4, 0, 2]), Y[:3]), 'load_state_dict': lambda o, s: o.load_state_dict(s)}),
    'published triarchic': (lambda: triarchic(published=True), {'update_batch': lambda o: o.update_batch(X, Y)}),
    **{f'watching {k}': (lambda make=make: watching(make), {'the alarm rises': lambda o: o.observe(5 - X.repeat(5, 1)), 'calm': lambda o: o.observe(X)}) for k, make in WATCHED.items()},
    **{f'{k} that follows': (lambda make=make: watching(make, 5.), {'goes on': lambda o: o.observe(X + 5), 'calm comes back': lambda o: o.observe(X.repeat(30, 1))}) for k, make in WATCHED.items()},
    'ring': (bank, {'update': lambda o: o.update(X, Y, 'new'), 'forget': lambda o: o.forget(label=1), 'clear': lambda o: o.clear(), 'refresh': lambda o: o.refresh()}),
    'indexed': (lambda: bank(store=BankConfig(index='flat')), {'update': lambda o: (o(X), o.update(X, Y, 'new')), 'forget': lambda o: (o(X), o.forget(label=1)), 'reindex': lambda o: o.reindex()}),
    'classifier': (classifier, {'partial_fit': lambda o: o.partial_fit(5*X.numpy() - 3, Y.numpy()), 'fit': lambda o: o.fit(X.numpy(), Y.numpy() + 7)}),
    'new classifier': (lambda: PlasticClassifier(hidden_dim=16, memory_size=30), {'partial_fit': lambda o: o.partial_fit(X.numpy(), Y.numpy())}),
    'balanced int8': (lambda: bank(policy='balanced', store=BankConfig(storage='int8')), {'update': lambda o: o.update(X, Y, 'new'), 'load_state_dict': lambda o, s: o.load_state_dict(s)}),
}

def all_of(o):
    "State, and what is derived from it: an answer, and what is known"
    x, y = data(9, 4)
    if isinstance(o, PlasticClassifier):
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(o).items() if k not in ('brain_', '_turns')}
        return {**all_of(o.brain_), **plain, 'answer': o.predict_proba(x.numpy()).tolist()} if hasattr(o, 'brain_') else plain
    x = torch.nn.functional.pad(x, (0, getattr(o, 'in_dim', D) - D))
    out = o(x)
    bank = o if isinstance(o, EpisodicMemoryBank) else getattr(o, 'memory', None)
    return {**{k: v.clone() for k, v in o.state_dict().items()}, 'answer': out[0] if isinstance(out, tuple) else out, 'known': None if bank is None or bank.input_dim > D else bank.contains(*data(20)).tolist()}

def test_what_is_tried_is_what_it_is_called():
    "In these calls of `observe` the alarm rises, stays, and ends"
    for kind, name, before, after in [(f'watching {k}', 'the alarm rises', False, True) for k in WATCHED] + [(f'watching {k}', 'calm', False, False) for k in WATCHED] \
            + [(f'{k} that follows', 'goes on', True, True) for k in WATCHED] + [(f'{k} that follows', 'calm comes back', True, False) for k in WATCHED]:
        make, calls = CALLS[kind]
        o = make()
        assert o.inputs.alarm == before
        calls[name](o)
        assert o.inputs.alarm == after, (kind, name)
        assert after == bool(o.shift.count.any()), (kind, name)

def check_free(o):
    "No lock is held, and Ctrl-C works as before"
    free = [] if hasattr(o, '_turns') else [True]
    t = threading.Thread(target=lambda: hasattr(o, '_turns') and free.append(o._turns.lock.acquire(timeout=5))); t.start(); t.join()
    assert free[0] and signal.getsignal(signal.SIGINT) is signal.default_int_handler

@pytest.fixture(autouse=True)
def heard():
    "A process that was started in the background ignores Ctrl-C"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)

EVERY = int(os.environ.get('EVERY_LINE', 0))
@pytest.mark.skipif(sys.gettrace() is not None, reason='another trace is running')
@pytest.mark.parametrize('event', [ctrl_c, failure])
@pytest.mark.parametrize('kind, name', [(k, n) for k, (_, calls) in CALLS.items() for n in calls])
def test_stopped_at_every_line(kind, name, event):
    "At about 20 lines a call, spread over it; EVERY_LINE=1 tries them all"
    make, call = CALLS[kind][0], CALLS[kind][1][name]
    first = make()
    given = (another(first),) if call.__code__.co_argcount == 2 else ()
    def run(o):
        try: call(o, *given)
        except ValueError as e: assert 'does not fit' in name, e
    before, done = all_of(first), copy.deepcopy(first)
    lines, _ = stopped_by(event, lambda: run(done), 0)
    after, seen = all_of(done), {'before': 0, 'after': 0}
    for at in range(1, lines + 1, 1 if EVERY else max(1, lines//20)):
        o = copy.deepcopy(first)
        _, stopped = stopped_by(event, lambda: run(o), at)
        now = all_of(o)
        is_as = next((w for w, s in (('before', before), ('after', after)) if difference(now, s) is None), None)
        assert stopped and is_as, f'line {at} of {lines}: {difference(now, before)} is not as before, {difference(now, after)} not as after'
        if is_as == 'before':
            run(o)
            assert difference(all_of(o), after) is None, f'line {at} of {lines}: called again, it ends elsewhere'
        seen[is_as] += 1
        check_free(o)
    print(f'{kind}, {name}, {event.__name__}: {lines} lines, {sum(seen.values())} tried; as before {seen["before"]}, as after {seen["after"]}')

@pytest.mark.skipif(sys.gettrace() is not None, reason='another trace is running')
@pytest.mark.parametrize('name', ['update', 'forget'])
def test_a_file_of_keys(name, tmp_path):
    "File and bank agree after a failure at any line: as before, and a state saved before is still read whole"
    call, path = CALLS['ring'][1][name], tmp_path/'keys'
    first = bank(store=BankConfig(path=str(path)))
    state, file = {k: v.clone() for k, v in first.state_dict().items()}, path.read_bytes()
    def again():
        path.write_bytes(file)
        o = EpisodicMemoryBank(D, 30, 5, None, metric=PlasticMetric(D), store=BankConfig(path=str(path)))
        o.load_state_dict(state)
        return o, all_of(o) | {'keys': o.keys.clone(), 'owners': o.owners.clone()}
    done, _ = again()
    lines, _ = stopped_by(failure, lambda: call(done), 0)
    after = all_of(done) | {'keys': done.keys.clone(), 'owners': done.owners.clone()}
    for at in range(1, lines + 1, 1 if EVERY else max(1, lines//20)):
        o, before = again()
        _, stopped = stopped_by(failure, lambda: call(o), at)
        now = all_of(o) | {'keys': o.keys, 'owners': o.owners}
        assert stopped and None in (difference(before, now), difference(after, now)), f'line {at} of {lines}: {difference(before, now)}'
