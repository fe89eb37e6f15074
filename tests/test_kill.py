"A run that is killed, again and again, ends as if nothing had happened"
import json
import os
import random
import signal
import time

import pytest
import torch
from small import D, difference, kill_somewhere, make, outcome, tell

from plasticish import checkpoint
from plasticish.checkpoint import list_checkpoints, read_checkpoint


def go_on(kind, folder, pipe):
    "Resume from `folder`, or begin, and tell every step; tensors above 1 kB are kept in parts"
    torch.set_num_threads(1)
    checkpoint.PART = 2**10
    cls, args, kwargs = make(kind, save_every=2)
    trainer = cls.resume(folder, *args, **kwargs) if list_checkpoints(folder) else cls(*args, checkpoint_dir=folder, **kwargs)
    if pipe: trainer.on('step_end', lambda t, info: tell(pipe, info['step']))
    trainer.train(verbose=False)

@pytest.mark.parametrize('kind, kills, steps', [('plastic', 20, 14), ('triarchic', 10, 28)])
def test_killed_runs_end_bit_identical(processes, tmp_path, kind, kills, steps):
    "Up to `steps` steps between two kills, which is never enough to reach the end before the last"
    cls, args, kwargs = make(kind)
    whole = cls(*args, **kwargs)
    whole.train(verbose=False)
    rng = random.Random(time.time_ns())
    assert kills*steps < len(whole.history.step)
    reached = []
    for _ in range(kills):
        n = rng.randrange(steps)
        step, code = kill_somewhere(processes, go_on, (kind, tmp_path), n, rng.uniform(0, .006 if n else .05))
        assert code == -signal.SIGKILL
        reached.append(step)
    last = processes.Process(target=go_on, args=(kind, tmp_path, None))
    last.start(); last.join()
    assert last.exitcode == 0
    state = read_checkpoint(list_checkpoints(tmp_path)[0])
    print(f'{kind}: killed {kills} times, at steps {reached}; ended at step {state["at"]["step"]}')
    assert difference(outcome(state), outcome(whole.state())) is None
    assert not list(tmp_path.glob('.*.tmp')), 'leftovers of killed writers should be tidied away'
    (last,) = list_checkpoints(tmp_path)
    parts = {f'part-{name}' for name in checkpoint._part_names(json.loads(last.read_text()))}
    assert {p.stem for p in tmp_path.glob('part-*')} == parts and len(parts) > 3

@pytest.mark.parametrize('sig', [signal.SIGINT, signal.SIGTERM])
def test_a_polite_signal_saves_and_says_how_to_go_on(processes, tmp_path, sig):
    here, there = processes.Pipe()
    p = processes.Process(target=stop_politely, args=(tmp_path, there))
    p.start()
    there.close()
    while here.recv() < 31: here.send(None)
    os.kill(p.pid, sig)
    here.send(None)
    said = [m for m in iter(lambda: receive(here), None) if isinstance(m, str)]
    p.join()
    assert p.exitcode == (0 if sig == signal.SIGINT else -sig)
    cls, args, kwargs = make()
    later = cls.resume(tmp_path, *args, **kwargs)
    assert later.at['step'] >= 32
    if sig == signal.SIGINT: assert f'stopped after step {later.at["step"]}' in said[0] and 'PlasticTrainer.resume(' in said[0]
    later.train(verbose=False)
    whole = cls(*make()[1], **kwargs)
    whole.train(verbose=False)
    assert difference(outcome(later.state()), outcome(whole.state())) is None

def receive(pipe):
    "What a process says, which may go on if it tells a step; None when it has ended"
    try:
        said = pipe.recv()
        if isinstance(said, int): pipe.send(None)
        return said
    except (EOFError, OSError): return None

def stop_politely(folder, pipe):
    import contextlib
    import io
    torch.set_num_threads(1)
    cls, args, kwargs = make(checkpoint_dir=folder)
    trainer = cls(*args, **kwargs).on('step_end', lambda t, info: tell(pipe, info['step']))
    trainer._bar = lambda phase, verbose: type(trainer)._bar(trainer, phase, False)
    out = io.StringIO()
    with contextlib.redirect_stdout(out): trainer.train(verbose=True)
    pipe.send(out.getvalue())

def change(folder, what, pipe):
    "Teach or forget, and tell when the brain is loaded and when it is about to be saved"
    torch.set_num_threads(1)
    from plasticish import cli
    from plasticish.brain import PlasticBrain
    if pipe:
        load, save = cli.load_run, PlasticBrain.save
        cli.load_run = lambda *args: (load(*args), tell(pipe, 0))[0]
        PlasticBrain.save = lambda *args, **kwargs: (tell(pipe, 1), save(*args, **kwargs), tell(pipe, 2))[1]
    if what == 'learn':
        with cli.changing(folder) as (brain, _):
            cli.teach(brain, torch.arange(48.).view(3, D) % 7, ['new']*3, phase='more')
            cli.note(brain, 'learned 3')
    else: cli.forget_items(folder, label='b')

@pytest.mark.parametrize('what', ['learn', 'forget'])
def test_a_change_that_is_killed_is_whole_or_not_there(processes, tmp_path, what):
    from plasticish.brain import PlasticBrain, ReadoutConfig
    brain = PlasticBrain(D, 32, 4, num_classes=None, memory_size=300, k_neighbors=5, readout=ReadoutConfig(n_neurons=32))
    brain.classes = ['a', 'b']
    y = torch.arange(60) % 2
    brain.train_step(torch.randn(60, D, generator=torch.Generator().manual_seed(0)) + y[:, None], y)
    before, rng, seen = {k: v.clone() for k, v in brain.state_dict().items()}, random.Random(time.time_ns()), []
    folders = [tmp_path/str(i) for i in range(9)]
    for f in folders: brain.save(f)
    change(folders[0], what, None)
    after = PlasticBrain.load(folders[0]).state_dict()
    for f in folders[1:]:
        kill_somewhere(processes, change, (f, what), rng.randrange(3), rng.uniform(0, .05))
        state = PlasticBrain.load(f).state_dict()
        seen.append('after' if difference(dict(state), dict(after)) is None else 'before')
        assert seen[-1] == 'after' or difference(dict(state), before) is None
    print(f'{what}: {seen}')
