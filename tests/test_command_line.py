"The commands as a person calls them: in a process of their own"
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image


def start(command, *args, **kwargs):
    "Start a console script as its entry point does"
    code = f'import sys; sys.argv[0] = {command!r}; from plasticish.cli import {command}; sys.exit({command}())'
    return subprocess.Popen([sys.executable, '-W', 'ignore', '-c', code, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)

def call(command, *args, env=None, **kwargs):
    p = start(command, *args, env=os.environ | (env or {}), **kwargs)
    out, err = p.communicate(timeout=240)
    return p.returncode, out, err

def test_what_a_person_can_mend_is_one_line(tmp_path):
    for args, code, said in ((('--speed', 3), 2, 'unrecognized arguments: --speed'),
                             (('--data', 'folder', '--data_root', tmp_path/'nowhere', '--out', tmp_path/'out'), 1, 'nowhere')):
        returned, _, err = call('plasticish_run', *args)
        assert returned == code and said in err and len(err.strip().splitlines()) == 1, err

def accuracies(out): return [line.split()[:6] for line in (out/'report.txt').read_text().splitlines() if line.startswith(('low', 'high', 'storm'))]

def as_script(*args):
    "What the console script does, in a process that has imported everything already"
    from plasticish.cli import plasticish_run
    sys.argv = ['plasticish_run', *map(str, args)]
    plasticish_run()

def kill_when(processes, out, pattern, *args):
    "Start the command and kill it as soon as `out` holds a file like `pattern`"
    p = processes.Process(target=as_script, args=('--out', out, *args))
    p.start()
    while p.exitcode is None and not list(out.glob(pattern)): time.sleep(.01)
    os.kill(p.pid, signal.SIGKILL)
    p.join()
    assert p.exitcode == -signal.SIGKILL
    assert not (out/'report.txt').exists()

def digits(folder, classes=4, n=50):
    "Small pictures of the first few digits, a folder per class"
    from PIL import Image
    from sklearn.datasets import load_digits
    images, labels = load_digits().images*15, load_digits().target
    for c in range(classes):
        (folder/str(c)).mkdir(parents=True)
        for i, image in enumerate(images[labels == c][:n]): Image.fromarray(image.astype('uint8')).save(folder/str(c)/f'{i}.png')
    return folder

def test_a_killed_run_resumes_to_the_same_table(processes, tmp_path):
    cache, killed = ('--cache_dir', tmp_path/'cache'), tmp_path/'killed'
    begin = ('--data', 'folder', '--data_root', digits(tmp_path/'digits'), '--phases', 'low=0,1;high=2,3', '--batch_size', 10, '--mode', 'auto', '--storm_mode', 'auto')
    code, said, err = call('plasticish_run', *begin, *cache, '--out', tmp_path/'whole')
    assert code == 0, err
    assert 'forgetting' in said and len(accuracies(tmp_path/'whole')) == 3
    kill_when(processes, killed, 'config.json', *begin, *cache)
    kill_when(processes, killed, 'checkpoint-*.json', '--resume', '--save_every', 2, *cache)
    last = processes.Process(target=as_script, args=('--resume', '--out', killed, *cache))
    last.start(); last.join()
    assert last.exitcode == 0
    assert accuracies(killed) == accuracies(tmp_path/'whole')
    assert {r['alarm'] for r in csv.DictReader((killed/'history.csv').open())} <= {'True', 'False'}

def test_learn_leaves_test_pictures_out_and_says_so(tmp_path, capsys, monkeypatch):
    from plasticish.cli import forget_items, plasticish_learn, plasticish_run
    monkeypatch.chdir(tmp_path)
    digits(tmp_path/'digits', 2, 20)
    plasticish_run(data='folder', data_root='digits', out='brain', cache_dir='cache', quiet=True)
    files = json.loads((tmp_path/'brain'/'data.json').read_text())['files']
    test, train = (next(f for f, (_, _, split) in files.items() if split == s) for s in ('test', 'train'))
    held = {p.name: p.read_bytes() for p in (tmp_path/'brain').iterdir()}
    (tmp_path/'elsewhere').mkdir()
    for place in (tmp_path, tmp_path/'elsewhere'):  # the run was told a relative path
        monkeypatch.chdir(place)
        capsys.readouterr()
        plasticish_learn([tmp_path/'digits'/test], brain=tmp_path/'brain', label='x')
        said = capsys.readouterr().out.splitlines()
        assert said == [f"left out, test pictures of the run, which it never learns: {tmp_path/'digits'/test}", 'nothing new: the brain is as it was']
        plasticish_learn([tmp_path/'digits'], brain=tmp_path/'brain')
        assert '7 more' in capsys.readouterr().out
        assert {p.name: p.read_bytes() for p in (tmp_path/'brain').iterdir()} == held
    plasticish_learn([tmp_path/'digits'/train], brain=tmp_path/'brain', label='x')
    assert 'phase: learned' in capsys.readouterr().out
    assert forget_items(tmp_path/'brain', label='x') == 1
    held = {p.name: p.read_bytes() for p in (tmp_path/'brain').iterdir()}
    shutil.copytree(tmp_path/'digits', tmp_path/'copy')
    for where in ('copy', 'moved'):  # by their bytes; where the folder is gone, by size and place
        if where == 'moved': (tmp_path/'digits').rename(tmp_path/'moved')
        plasticish_learn([tmp_path/where], brain=tmp_path/'brain')
        assert '7 more' in capsys.readouterr().out
    (tmp_path/'moved').rename(tmp_path/'digits')
    other = bytearray((tmp_path/'digits'/test).read_bytes())
    (tmp_path/'copy'/test).write_bytes(other[::-1])  # another file of that name and size is new
    with pytest.raises(ValueError, match='cannot'): plasticish_learn([tmp_path/'copy'/test], brain=tmp_path/'brain', label='x')

def test_copies_are_learned_once_and_in_one_class(tmp_path, capsys):
    from plasticish.cli import learn_images, plasticish_run
    digits(tmp_path/'digits', 2, 20)
    plasticish_run(data='folder', data_root=tmp_path/'digits', out=tmp_path/'brain', cache_dir=tmp_path/'cache', quiet=True)
    new = Image.new('RGB', (8, 8), (9, 200, 30))
    (tmp_path/'more'/'green').mkdir(parents=True)
    for i in range(15): new.save(tmp_path/'more'/'green'/f'{i}.png')
    assert learn_images(tmp_path/'brain', [tmp_path/'more'])['classes'] == {'green': dict(learned=1, corrected=0, known=14)}
    assert learn_images(tmp_path/'brain', [tmp_path/'more'])['classes'] == {'green': dict(learned=0, corrected=0, known=15)}
    held = {p.name: p.read_bytes() for p in (tmp_path/'brain').iterdir()}
    (tmp_path/'more'/'leaf').mkdir()
    new.save(tmp_path/'more'/'leaf'/'same.png')
    with pytest.raises(ValueError, match='images: expected one class for a picture, got (green|leaf) for .*png and (green|leaf) for .*png, which are the same picture'):
        learn_images(tmp_path/'brain', [tmp_path/'more'])
    assert {p.name: p.read_bytes() for p in (tmp_path/'brain').iterdir()} == held
