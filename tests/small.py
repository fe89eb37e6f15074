"A run small enough to be killed often: two worlds and a noisy storm, in features"
import time

import torch

from plasticish.brain import PlasticBrain, TriarchicBrain
from plasticish.eyes import FeatureDataset
from plasticish.training import PhaseConfig, PlasticTrainer, TriarchicTrainer

D = 16
def cloud(classes, n, means=torch.randn(10, D, generator=torch.Generator().manual_seed(0))):
    y = torch.tensor(classes)[torch.arange(n) % len(classes)]
    return FeatureDataset(means[y] + .5*torch.randn(n, D, generator=torch.Generator().manual_seed(n)), y)

def noisy(x): return x + .5*torch.randn_like(x)

def make(kind='plastic', epochs=5, **kwargs):
    "Constructor and arguments of a trainer; the same data and the same brain at every call"
    low, high = cloud([0, 1, 2], 160).loader(8, shuffle=True), cloud([3, 4, 5], 161).loader(8, shuffle=True)
    sleep, switch = (dict(consolidate_after=True), dict(neurogenesis=True, mode='auto')) if kind == 'plastic' else ({}, {})
    phases = [PhaseConfig('low', epochs, low, **sleep), PhaseConfig('high', epochs, high, **switch),
              PhaseConfig('storm', epochs, low, mode='panic', transform_fn=noisy)]
    tasks = dict(low=cloud([0, 1, 2], 50).loader(), high=cloud([3, 4, 5], 51).loader())
    common = dict(eval_loaders=tasks, eval_interval=7, seed=3, **kwargs)
    if kind == 'plastic': return PlasticTrainer, (PlasticBrain(D, 32, 4, num_layers=2, memory_size=300, k_neighbors=5), phases), common
    return TriarchicTrainer, (TriarchicBrain(D, 64, 10, sparsity_k=4), None, phases), dict(memory_test_loader=tasks['low'], **common)

def outcome(state):
    "What two runs must share: everything but the clock"
    log = [{k: v for k, v in p.items() if k != 'seconds'} for p in state['phase_log']]
    return {k: v for k, v in state.items() if k != 'eye_seconds'} | {'phase_log': log}

def difference(a, b, path='state'):
    "Where two nests of plain data and tensors first differ, to the last bit; None if nowhere"
    if type(a) is not type(b): return f'{path}: {type(a).__name__} and {type(b).__name__}'
    if isinstance(a, torch.Tensor): return None if a.dtype == b.dtype and torch.equal(a, b) else path
    if isinstance(a, dict):
        if a.keys() != b.keys(): return f'{path}: keys {sorted(map(str, a.keys() ^ b.keys()))}'
        return next((d for k in a if (d := difference(a[k], b[k], f'{path}.{k}'))), None)
    if isinstance(a, (list, tuple)):
        if len(a) != len(b): return f'{path}: {len(a)} and {len(b)} entries'
        return next((d for i, (u, v) in enumerate(zip(a, b)) if (d := difference(u, v, f'{path}.{i}'))), None)
    return None if a == b else f'{path}: {a!r} and {b!r}'

def tell(pipe, what):
    "From a process that is to be killed: say where it is, and wait until it may go on"
    pipe.send(what)
    pipe.recv()

def kill_somewhere(processes, target, args, n, pause):
    "Start `target(*args, pipe)`, let it go on `n` times, and kill it within `pause` seconds; what it last told, and its exit code"
    here, there = processes.Pipe()
    p = processes.Process(target=target, args=(*args, there))
    p.start(); there.close()
    told = None
    try:
        for _ in range(n):
            told = here.recv()
            here.send(None)
        time.sleep(pause)
    except (EOFError, OSError): pass  # it has ended by itself
    p.kill(); p.join()
    return told, p.exitcode
