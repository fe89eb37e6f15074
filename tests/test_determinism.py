"The same seed gives the same run, in another process and with loaders that work in processes"
import random

import numpy as np
import torch
from small import D, cloud, difference, make, outcome
from torch.utils.data import DataLoader, Dataset

from plasticish.training import PhaseConfig


def run(pipe, noise):
    torch.set_num_threads(1)
    torch.manual_seed(noise)  # what came before must not matter
    cls, args, kwargs = make(epochs=1)
    trainer = cls(*args, **kwargs)
    trainer.train(verbose=False)
    state = outcome(trainer.state())
    pipe.send({k: (v.double() if v.is_floating_point() else v).numpy() for k, v in state['brain'].items()} | {'history': state['history'], 'accuracies': state['accuracies']})

def test_two_processes_agree(processes):
    results = []
    for noise in (1, 2):
        here, there = processes.Pipe(duplex=False)
        p = processes.Process(target=run, args=(there, noise))
        p.start(); there.close()
        results.append(here.recv()); p.join()
    a, b = ({k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in r.items()} for r in results)
    assert difference(a, b) is None

class Augmented(Dataset):
    "Features that every library's generator disturbs"
    def __init__(self): self.base = cloud([0, 1, 2], 48)
    def __len__(self): return len(self.base)
    def __getitem__(self, i):
        x, y = self.base[i]
        return x + .1*torch.randn(D) + .1*random.random() + .1*np.random.rand(), y

def test_workers_are_seeded_and_a_run_resumes_among_them(tmp_path):
    def trainer(**more):
        loader = DataLoader(Augmented(), 8, shuffle=True, num_workers=2)
        cls, (brain, _), kwargs = make('triarchic')[0], make('triarchic')[1][:2], make('triarchic')[2]
        return cls, (brain, None, [PhaseConfig('seen', 2, loader)]), kwargs | more
    def whole():
        cls, args, kwargs = trainer()
        t = cls(*args, **kwargs)
        t.train(verbose=False)
        return outcome(t.state())
    first = whole()
    assert difference(first, whole()) is None
    cls, args, kwargs = trainer(checkpoint_dir=tmp_path)
    cls(*args, **kwargs).on('step_end', lambda t, info: t.stop() if info['step'] == 8 else None).train(verbose=False)
    cls, args, kwargs = trainer()
    t = cls.resume(tmp_path, *args, **kwargs)
    assert t.at['batch'] == 3
    t.train(verbose=False)
    assert difference(outcome(t.state()), first) is None
