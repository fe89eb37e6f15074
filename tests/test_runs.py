"The folder of a run: what a user made is never lost, and its parts never mix with those of another run"
import json
import shutil
import subprocess
import sys

import pytest
from test_command_line import call, digits

from plasticish.brain import PlasticBrain, ReadoutConfig
from plasticish.checkpoint import CheckpointError, list_checkpoints, run_files
from plasticish.cli import load_run, predict_images, run, save_run


@pytest.fixture(scope='module', autouse=True)
def small_brains():
    "Brains whose checkpoints are quickly written"
    def make(in_dim, num_classes, device, precision): return PlasticBrain(in_dim, 32, 4, 1, 300, 5, num_classes, device=device, readout=ReadoutConfig(n_neurons=64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('plasticish.cli.PlasticBrain', make)
        yield

@pytest.fixture(scope='module')
def begun(tmp_path_factory):
    "A finished run on a few photos of two classes, and the arguments it was begun with"
    tmp = tmp_path_factory.mktemp('runs')
    digits(tmp/'photos', classes=2, n=12)
    args = dict(data='folder', data_root=tmp/'photos', batch_size=8, cache_dir=tmp/'cache', verbose=False)
    save_run(run(**args, out=tmp/'run'), tmp/'run')
    return tmp, args

@pytest.fixture
def copied(begun, tmp_path):
    "The same, in a folder of one's own"
    tmp, args = begun
    for name in ('run', 'photos'): shutil.copytree(tmp/name, tmp_path/name)
    return tmp_path, args | dict(data_root=tmp_path/'photos')

def contents(folder): return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != '.lock'}

def test_a_run_is_never_overwritten_unless_asked(copied):
    tmp, args = copied
    before = contents(tmp/'run')
    for name in (None, *before):  # all files, and each alone
        place = tmp/f'only {name}' if name else tmp/'run'
        if name: place.mkdir(); (place/name).write_bytes(before[name])
        held = contents(place)
        with pytest.raises(ValueError, match='go on with it .--resume.*another folder .--brain.*--overwrite'): run(**args, out=place)
        assert contents(place) == held
    old = json.loads(before['config.json'])
    run(**args, out=tmp/'run', seed=5, overwrite=True)
    new = json.loads((tmp/'run'/'config.json').read_text())
    assert new['run'] != old['run'] and new['seed'] == 5
    assert not {p.name for p in run_files(tmp/'run')} & {'report.txt', 'life.png'}, 'no report of the old run stays'
    print(f'{len(before) + 1} folders refused')

@pytest.mark.parametrize('bad, said', [(dict(data_root='nowhere'), 'expected a folder'), (dict(phases='a=7'), "got '7'"),
                                       (dict(mode='loud'), 'mode'), (dict(epochs=0), 'epochs'), (dict(batch_size=0), 'batch_size'), (dict(save_every=0), 'save_every'),
                                       (dict(weights='none.pth'), 'weights'), (dict(precision='int8'), 'precision')])
def test_nothing_is_written_before_everything_is_known_good(copied, bad, said):
    tmp, args = copied
    before = contents(tmp/'run')
    for out in ('run', 'new'):
        with pytest.raises((ValueError, OSError), match=said): run(**args | bad, out=tmp/out, overwrite=True)
    assert contents(tmp/'run') == before and not (tmp/'new').exists()

def test_parts_of_two_runs_are_refused(copied):
    tmp, args = copied
    run(**args, out=tmp/'other')
    image = tmp/'photos'/'0'/'0.png'
    newest = list_checkpoints(tmp/'other')[0]
    mixed = 0
    for names in (['config.json'], ['data.json'], ['config.json', 'data.json'], [newest.name, newest.with_suffix('.safetensors').name]):
        shutil.rmtree(tmp/'mixed', ignore_errors=True); shutil.copytree(tmp/'run', tmp/'mixed')
        for n in names: shutil.copy(tmp/'other'/n, tmp/'mixed'/n)
        if names != ['data.json']:
            with pytest.raises((ValueError, CheckpointError), match='different runs'): predict_images(tmp/'mixed', [image])
        with pytest.raises((ValueError, CheckpointError), match='another run|different runs'): run(**args, out=tmp/'mixed', resume=True)
        mixed += 1
    print(f'{mixed} mixtures refused')

def test_a_folder_of_version_0_3_answers_and_a_mixture_does_not(copied):
    "It has no ids and no data.json"
    tmp, args = copied
    image, folder = tmp/'photos'/'1'/'3.png', tmp/'run'
    want = predict_images(folder, [image])
    from plasticish.checkpoint import _checksum
    new = {p: p.read_text() for p in list_checkpoints(folder)}
    told = json.loads((folder/'config.json').read_text())
    (folder/'data.json').unlink()
    (folder/'config.json').write_text(json.dumps({k: v for k, v in told.items() if k not in ('run', 'storm_mode', 'precision')}))
    with pytest.raises(ValueError, match='different runs'): load_run(folder)
    for p, text in new.items():
        doc = {k: v for k, v in json.loads(text).items() if k != 'run'}
        p.write_text(json.dumps({**doc, 'seal': _checksum(doc)}))
    assert predict_images(folder, [image]) == want
    run(**args, out=folder, resume=True)
    assert predict_images(folder, [image]) == want

def test_what_changed_in_the_data_is_named_and_refused(copied):
    tmp, args = copied
    before, photos = contents(tmp/'run'), tmp/'photos'
    def changes():
        yield (lambda: (photos/'0').rename(photos/'x')), 'classes: expected ..0., .1.., .* got ..1., .x..'
        yield (lambda: shutil.copy(photos/'0'/'1.png', photos/'0'/'a new one.png')), r'got 1 new \(0/a new one.png\);'
        yield (lambda: (photos/'1'/'2.png').unlink()), r'got 1 missing \(1/2.png\);'
        yield (lambda: shutil.copytree(photos/'0', photos/'a')), 'classes: expected'
        yield (lambda: (photos/'0'/'1.png').rename(photos/'1'/'moved.png')), r'1 missing \(0/1.png\), 1 new \(1/moved.png\);'
        yield (lambda: shutil.copy(photos/'0'/'3.png', photos/'1'/'3.png')), r'got 1 changed \(1/3.png\);'
    tried = 0
    for change, said in changes():
        shutil.copytree(photos, tmp/'kept')
        change()
        with pytest.raises(ValueError, match=said): run(**args, out=tmp/'run', resume=True)
        shutil.rmtree(photos); (tmp/'kept').rename(photos)
        tried += 1
    with pytest.raises(ValueError, match='seed: expected 0, with which'): run(**args | dict(seed=1), out=tmp/'run', resume=True)
    with pytest.raises(ValueError, match='either resume or overwrite'): run(**args, out=tmp/'run', resume=True, overwrite=True)
    assert contents(tmp/'run') == before
    run(**args, out=tmp/'run', resume=True)
    print(f'{tried} changes named')

def test_the_exit_status_tells_what_was_not_saved(copied):
    "A full disk, a report that cannot be written, a locale without the characters"
    import resource
    import signal
    tmp, args = copied
    def full(): signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    given = ('--data', 'folder', '--data_root', tmp/'photos', '--batch_size', 8, '--cache_dir', args['cache_dir'])
    code, out, err = call('plasticish_run', *given, '--out', tmp/'full', preexec_fn=full)
    assert code == 1 and 'the last checkpoint (could not write' in err and 'ACC' in out, err
    assert (tmp/'full'/'report.txt').exists() and not list_checkpoints(tmp/'full')
    (tmp/'new'/'report.txt'/'mine').mkdir(parents=True)
    env = dict(PYTHONIOENCODING='ascii', LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')
    code, out, err = call('plasticish_run', *given, '--overwrite', '--out', tmp/'new', env=env)
    assert code == 1 and err.strip().splitlines()[-1].startswith('plasticish_run: out: could not write') and 'report.txt' in err, err
    assert 'ACC' in out and (tmp/'new'/'report.html').stat().st_size and (tmp/'new'/'report.txt'/'mine').exists()

WINDOWS = """
import os, stat, sys, warnings
warnings.filterwarnings('error', category=EncodingWarning, module='plasticish')  # a text file in the locale's encoding
sync, opened = os.fsync, os.open
def fsync(fd):
    import fcntl
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY: raise OSError(9, 'Bad file descriptor')
    sync(fd)
def open_(path, flags, *args, **kwargs):
    if os.path.isdir(path) and not flags & os.O_DIRECTORY: raise PermissionError(13, 'Permission denied')
    return opened(path, flags, *args, **kwargs)
os.fsync, os.open = fsync, open_
del os.posix_fallocate
from plasticish.cli import predict_images, run, save_run
photos, cache, out = sys.argv[1:]
args = dict(data='folder', data_root=photos, phases='a–b=動物;c=1', batch_size=8, cache_dir=cache, out=out, verbose=False)
save_run(run(**args), out)
run(**args, resume=True)
print(ascii(predict_images(out, [os.path.join(photos, '1', '0.png')])[0]['label']))
"""

def test_as_on_windows(copied):
    "Read-only descriptors and folders cannot be synced, and the locale's encoding lacks the characters"
    tmp, args = copied
    (tmp/'photos'/'0').rename(tmp/'photos'/'動物')
    code = subprocess.run([sys.executable, '-X', 'warn_default_encoding', '-c', WINDOWS, tmp/'photos', tmp/'cache', tmp/'out'], capture_output=True, text=True)
    assert code.returncode == 0 and code.stdout == "'1'\n", code.stderr
    assert list_checkpoints(tmp/'out') and '動物' in json.loads((tmp/'out'/'config.json').read_text(encoding='utf-8'))['classes']
    assert 'a–b' in (tmp/'out'/'report.txt').read_text(encoding='utf-8') and 'a–b' in (tmp/'out'/'history.csv').read_text(encoding='utf-8')
