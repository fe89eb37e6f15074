"What a process of test_distributed.py does: python ranks.py TASK OUT"
import os
import signal
import sys

import torch
from small import make

from plasticish.brain import PlasticBrain, ReadoutConfig, TriarchicBrain, VoteConfig
from plasticish.checkpoint import list_checkpoints
from plasticish.distributed import all_rows, bytes_received, my_slice, process_group, ranks

KINDS = {'triarchic': lambda: TriarchicBrain(32, 256, 6, 8), 'triarchic, published': lambda: TriarchicBrain(32, 256, 6, 8, published=True),
         'plastic': lambda: PlasticBrain(32, 64, 8, 2, 900, 10, 6, readout=ReadoutConfig(n_neurons=64)), 'plastic, published': lambda: PlasticBrain(32, 64, 8, 2, 900, 10, 6, published=True),
         'plastic, hebbian': lambda: PlasticBrain(32, 64, 8, 2, 900, 10, None, readout=ReadoutConfig(n_neurons=64, hebbian=True)),
         'plastic, small memory': lambda: PlasticBrain(32, 64, 8, 2, 300, 10, 6, readout=ReadoutConfig(n_neurons=64), vote=VoteConfig(memory=dict(policy='balanced', storage='int8')))}

def batches():
    "Two worlds in batches of many sizes, down to fewer rows than processes, a storm, and a return"
    g = torch.Generator().manual_seed(0)
    means = torch.randn(6, 32, generator=g)
    def batch(n, classes, storm=False):
        y = torch.tensor(classes)[torch.randint(len(classes), (n,), generator=g)]
        x = (means[y] + .8*torch.randn(n, 32, generator=g)).relu()
        return (x.flip(1) if storm else x), y
    return [batch(n, (0, 1, 2)) for n in (64, 64, 33, 1, 64)] + [batch(64, (3, 4, 5)) for _ in range(20)] + [batch(64, (0, 1, 2), True) for _ in range(10)] + [batch(3, (0, 1)) for _ in range(3)], batch(101, range(6))

def live(brain, stream, asked):
    "Take a brain through the stream, each process with its share of every batch; what came of it"
    x, y = asked
    m, out = my_slice(len(y)), dict(accuracy=[])
    for i, (a, b) in enumerate(stream):
        share = my_slice(len(b))
        if i % 5 == 2: out['accuracy'].append(brain.teach(brain.defer(a[share]), b[share])) # labels that come late
        elif isinstance(brain, TriarchicBrain): out['accuracy'].append(brain.update_batch(a[share], b[share]))
        else:
            mode = 'plastic' if brain.published else 'auto'
            out['accuracy'].append(brain.train_step(a[share], b[share], mode=mode, phase='odd' if i % 2 else 'even'))
            if i == 20: brain.add_layer()
    if isinstance(brain, PlasticBrain):
        brain.consolidate()
        out['shares'] = all_rows(brain(x[m]))[0]
        out['forgotten'] = brain.forget(phase='odd')
        out['percent'] = brain.evaluate([asked])
    out['labels'] = all_rows(brain.predict(x[m]))[0]
    out['observed'] = [observed(brain, n, far) for far in (0., 3., 0.) for n in (64, 33, 1, 200, 200)]
    return out | dict(state={k: v.clone() for k, v in brain.state_dict().items()})

def observed(brain, n, far):
    "Shares of inputs without labels that have moved by `far`, and whether that raised an alarm"
    g = torch.Generator().manual_seed(n + 5) # rows of no ties, which rounding would decide
    means = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    x = (means[torch.randint(6, (n,), generator=g)] + .8*torch.randn(n, 32, generator=g)).relu() + far*torch.rand(32, generator=torch.Generator().manual_seed(1))
    return all_rows(brain.observe(x[my_slice(n)]))[0], brain.inputs.alarm

def brains(out):
    "Every kind of brain lives, is saved, and lives on in another"
    stream, asked = batches()
    lives = {}
    for kind, build in KINDS.items():
        brain, other = build(), build()
        lives[kind] = live(brain, stream, asked)
        other.load_state_dict(lives[kind]['state'])
        m = my_slice(len(asked[1]))
        assert torch.equal(all_rows(other.predict(asked[0][m]))[0], lives[kind]['labels']), kind
    if not ranks()[0]: torch.save((lives, dict(bytes_received)), out)

def run(out, stop=10**9):
    "A run of the trainer with checkpoints; the rank of the largest number dies at step `stop`"
    for kind in 'plastic', 'triarchic':
        cls, args, kwargs = make(kind, epochs=2, save_every=5)
        folder = f'{out}/{kind}'
        trainer = cls.resume(folder, *args, **kwargs) if list_checkpoints(folder) else cls(*args, checkpoint_dir=folder, **kwargs)
        def die(t, info):
            if info['step'] == int(stop) and ranks()[0] == ranks()[1] - 1: os.kill(os.getpid(), signal.SIGKILL)
        trainer.on('step_end', die).train(verbose=False)

if __name__ == '__main__':
    torch.set_num_threads(1)
    with process_group(seconds=60): globals()[sys.argv[1]](*sys.argv[2:])
