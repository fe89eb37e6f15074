"The commands as a person calls them: in a process of their own"
import os, signal, subprocess, sys, time
from pathlib import Path
import pytest

def start(command, *args, **kwargs):
    "Start a console script as its entry point does"
    code = f'import sys; sys.argv[0] = {command!r}; from plasticish.experiments import {command}; sys.exit({command}())'
    return subprocess.Popen([sys.executable, '-W', 'ignore', '-c', code, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)

def call(command, *args):
    p = start(command, *args)
    out, err = p.communicate(timeout=240)
    return p.returncode, out, err

def test_what_a_person_can_mend_is_one_line(tmp_path):
    for args, code, said in ((('--speed', 3), 2, 'unrecognized arguments: --speed'),
                             (('--data', 'folder', '--data_root', tmp_path/'nowhere', '--out', tmp_path/'out'), 1, 'nowhere')):
        returned, _, err = call('plasticish_run', *args)
        assert returned == code and said in err and len(err.strip().splitlines()) == 1, err

def accuracies(out): return [line.split()[:6] for line in (out/'report.txt').read_text().splitlines() if line.startswith(('low', 'high', 'storm'))]

def test_a_killed_run_resumes_to_the_same_table(tmp_path):
    common = '--data', 'digits', '--cache_dir', tmp_path/'cache'
    code, said, err = call('plasticish_run', *common, '--out', tmp_path/'whole')
    assert code == 0, err
    assert 'forgetting' in said and len(accuracies(tmp_path/'whole')) == 3
    p = start('plasticish_run', *common, '--out', tmp_path/'killed', '--save_every', 2)
    while p.poll() is None and not list((tmp_path/'killed').glob('checkpoint-*.json')): time.sleep(.01)
    os.kill(p.pid, signal.SIGKILL)
    assert p.wait() == -signal.SIGKILL
    assert not (tmp_path/'killed'/'report.txt').exists()
    code, _, err = call('plasticish_run', '--resume', '--out', tmp_path/'killed', '--cache_dir', tmp_path/'cache')
    assert code == 0, err
    assert accuracies(tmp_path/'killed') == accuracies(tmp_path/'whole')
