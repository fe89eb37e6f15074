"Checkpoints that are damaged, foreign, too new, too large for the disk, or somebody else's"
import json
import random
import resource
import zlib

import pytest
import torch
from small import difference, make, outcome

from plasticish import PlasticBrain, TriarchicBrain
from plasticish.checkpoint import CheckpointError, _checksum, list_checkpoints, read_checkpoint, write_checkpoint


@pytest.fixture
def saved(tmp_path):
    "A folder with two checkpoints, and the state of the newer one"
    cls, args, kwargs = make(epochs=1, checkpoint_dir=tmp_path)
    trainer = cls(*args, **kwargs).on('step_end', lambda t, info: t.stop() if info['step'] == 25 else None)
    trainer.train(verbose=False)
    return tmp_path, trainer.state()

def resume(folder, **more):
    cls, args, kwargs = make(epochs=1)
    return cls.resume(folder, *args, **kwargs, **more)

def fingerprint(folder): return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != '.lock'}

def test_every_flipped_bit_and_every_cut_is_found(saved):
    folder, state = saved
    rng, tried = random.Random(0), 0
    newest = list_checkpoints(folder)[0]
    for path in (newest, newest.with_suffix('.safetensors')):
        good = path.read_bytes()
        spots = [*range(0, 64), *(rng.randrange(len(good)) for _ in range(60))]
        cuts = [good[:n] for n in (0, 1, 7, len(good)//2, len(good) - 1)]
        flips = [good[:i] + bytes([good[i] ^ 1 << rng.randrange(8)]) + good[i + 1:] for i in spots]
        for bad in [*cuts, *flips]:
            path.write_bytes(bad)
            tried += 1
            try: assert difference(outcome(read_checkpoint(newest)), outcome(state)) is None, 'a changed file gave a changed state'
            except CheckpointError as e: assert str(newest) in str(e)
        path.write_bytes(good)
    print(f'{tried} damaged files tried')
    assert difference(outcome(read_checkpoint(newest)), outcome(state)) is None

def test_a_damaged_one_offers_the_one_before_and_overwrites_nothing(saved):
    folder, _ = saved
    newest, older = list_checkpoints(folder)
    bytes_ = bytearray(newest.with_suffix('.safetensors').read_bytes()); bytes_[-3] ^= 8
    newest.with_suffix('.safetensors').write_bytes(bytes_)
    before = fingerprint(folder)
    with pytest.raises(CheckpointError, match=f'checkpoint={older.stem!r}'): resume(folder)
    assert fingerprint(folder) == before
    trainer = resume(folder, checkpoint=older.stem)
    trainer.train(verbose=False)
    cls, args, kwargs = make(epochs=1)
    whole = cls(*args, **kwargs)
    whole.train(verbose=False)
    assert difference(outcome(trainer.state()), outcome(whole.state())) is None

def reseal(path, change):
    doc = json.loads(path.read_text())
    change(doc)
    path.write_text(json.dumps({**doc, 'seal': _checksum(doc)}))

@pytest.mark.parametrize('change, said', [
    (lambda d: d.update(version=5), 'newer plasticish'),
    (lambda d: d.update(run=7), 'its run is 7'),
    (lambda d: d.update(format='other'), 'no checkpoint of plasticish'),
    (lambda d: d.update(tensors_sha256='0'*64), 'do not match their checksum'),
    (lambda d: d.update(body={'pickle': 'x'}), 'damaged'),
    (lambda d: d.update(body={'tensor': '../../etc/passwd'}), 'damaged'),
    (lambda d: d.update(body=None), 'no state of a trainer'),
    (lambda d: d.update(body={'dict': [['at', {'dict': []}]]}), 'no state of a trainer'),
    (lambda d: d.pop('body'), 'damaged'),
])
def test_foreign_newer_and_forged(saved, change, said):
    folder, _ = saved
    newest = list_checkpoints(folder)[0]
    reseal(newest, change)
    with pytest.raises(CheckpointError, match=said): resume(folder)

def test_numbers_and_records_that_lie(saved):
    "A state of another shape, or with a number that no run can reach, is one error; nothing is counted and nothing allocated"
    import time
    folder, state = saved
    at, tried = state['at'], 0
    lies = [dict(at={**at, k: v}) for k in at for v in (10**12, 10**18, -1, 2.5, None, '3', [])] + [dict(at={**at, 'batch': at['step'] + 1}), dict(seed='0'), dict(eye_seconds=None)]
    lies += [{k: v} for k in ('phases', 'series', 'history', 'accuracies', 'phase_log') for v in (None, 3, 'x', [3], [None], [[]], ['x'], [{}], {})]
    lies += [dict(history=[[[n, 0]] for _ in state['series']]) for n in (10**12, -1, 2.5, 'x', None)]
    for lie in lies:
        for p in folder.glob('checkpoint-*'): p.unlink()
        write_checkpoint(folder, {**state, **lie})
        start = time.monotonic()
        tried += 1
        if lie == dict(accuracies=[{}]): continue  # as of a trainer without tasks
        with pytest.raises(CheckpointError): resume(folder)
        assert time.monotonic() - start < 5, lie
    print(f'{tried} states that lie')

def test_a_small_file_asks_for_little_memory(processes, tmp_path):
    "Rows that repeat and zeros that are left out are bounded by what the brain can hold"
    state = make(epochs=1)[0](*make(epochs=1)[1], **make(epochs=1)[2]).state()
    def forged(**tensors): return {**state, 'brain': {**state['brain'], **tensors}}
    for i, big in enumerate((torch.zeros(400_000_000, dtype=torch.uint8), torch.zeros(1, 1).expand(100_000_000, 1), torch.zeros(10_000, 10_000))):
        path = write_checkpoint(tmp_path/str(i), forged(**{'memory.keys': big}))
        assert path.with_suffix('.safetensors').stat().st_size < 20_000_000
        here, there = processes.Pipe()
        p = processes.Process(target=resume_in_little, args=(tmp_path/str(i), there))
        p.start(); there.close()
        said = here.recv(); p.join()
        assert 'would grow beyond' in said, said

def resume_in_little(folder, pipe):
    import resource
    cls, args, kwargs = make(epochs=1)
    used = int(open('/proc/self/statm').read().split()[0])*resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,)*2)
    try: cls.resume(folder, *args, **kwargs)
    except Exception as e: pipe.send(f'{type(e).__name__}: {e}')

def test_a_part_that_unpacks_to_far_more_is_refused(processes, tmp_path):
    "Unpacking stops at what the brain can hold, whatever the small file claims to be"
    state = make(epochs=1)[0](*make(epochs=1)[1], **make(epochs=1)[2]).state()
    path = write_checkpoint(tmp_path, state)
    name, stream, zeros = '0'*64, zlib.compressobj(1), bytes(2**24)
    bomb = b''.join([*(stream.compress(zeros) for _ in range(32)), stream.flush()])  # 512 MiB
    (tmp_path/f'part-{name}.zlib').write_bytes(bomb)
    assert len(bomb) < 3_000_000
    reseal(path, lambda d: d['parts'].update({'state.brain.memory.keys': [name]}))
    here, there = processes.Pipe()
    p = processes.Process(target=resume_in_little, args=(tmp_path, there))
    p.start(); there.close()
    said = here.recv(); p.join()
    assert 'its parts are larger than' in said, said

def test_parts_of_version_3_are_read_and_shared(tmp_path):
    "Uncompressed parts are read, and a checkpoint of today that holds the same rows uses them"
    state = dict(days=1 + torch.arange(2_000_000) % 7)
    path = write_checkpoint(tmp_path, state)
    for part in list(tmp_path.glob('part-*.zlib')):
        part.with_suffix('.safetensors').write_bytes(zlib.decompress(part.read_bytes()))
        part.unlink()
    reseal(path, lambda d: d.update(version=3))
    assert torch.equal(read_checkpoint(path)['days'], state['days'])
    assert torch.equal(read_checkpoint(write_checkpoint(tmp_path, state))['days'], state['days'])
    assert not list(tmp_path.glob('part-*.zlib'))

@pytest.mark.parametrize('content', [b'{"format": "plasticish-checkpoint", "version": 1' + b'0'*5000 + b'}', b'', b'[]', b'null', b'{}', b'\x80\x04\x95cos\nsystem\n', b'[' * 100_000, b'{"format": 1e999}', b'\xff\xfe'])
def test_hostile_json(tmp_path, content):
    path = tmp_path/'checkpoint-00000001.json'
    path.write_bytes(content)
    with pytest.raises(CheckpointError): resume(tmp_path)
    assert path.read_bytes() == content

def test_one_clear_error_for_another_brain_or_curriculum_and_the_brain_stays(saved):
    folder, _ = saved
    cls, (brain, phases), kwargs = make(epochs=1)
    narrow = type(brain)(8, 32, 4, num_layers=2, memory_size=300)
    for cls, args, kwargs, said in ((*make('triarchic'), 'holds a PlasticBrain, got a TriarchicBrain'),
                                    (cls, (narrow, phases), kwargs, 'does not fit'), (cls, (brain, phases[::-1]), kwargs, 'phases')):
        before = {k: v.clone() for k, v in args[0].state_dict().items()}
        with pytest.raises(CheckpointError, match=said): cls.resume(folder, *args, **kwargs)
        assert difference(before, dict(args[0].state_dict())) is None
    with pytest.raises(CheckpointError, match='no checkpoint'): resume(folder/'nowhere')

def test_nan_in_a_checkpoint_is_refused(tmp_path):
    cls, args, kwargs = make(epochs=1)
    trainer = cls(*args, **kwargs)
    state = trainer.state()
    name = next(k for k, v in state['brain'].items() if v.is_floating_point())
    state['brain'][name] = torch.full_like(state['brain'][name], float('nan'))
    write_checkpoint(tmp_path, state)
    with pytest.raises(CheckpointError, match='NaN in '): resume(tmp_path)

def full_disk(folder, pipe):
    "Train on while no file may grow beyond a few bytes"
    import logging
    import signal
    said = []
    logging.getLogger('plasticish').addHandler(type('H', (logging.Handler,), {'emit': lambda self, r: said.append(r.getMessage())})())
    cls, args, kwargs = make(epochs=1, checkpoint_dir=folder, save_every=5)
    trainer = cls(*args, **kwargs)
    trainer.save()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    trainer.train(verbose=False)
    try: trainer.save()
    except CheckpointError as e: said.append(f'explicit: {e}')
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    pipe.send((trainer.at, said))

def test_a_full_disk_warns_and_training_goes_on(processes, tmp_path):
    here, there = processes.Pipe(duplex=False)
    p = processes.Process(target=full_disk, args=(tmp_path, there))
    p.start()
    there.close()
    at, said = here.recv()
    p.join()
    assert at['phase'] == 3
    said = [s for s in said if 'changes nothing' not in s]
    assert 'training goes on' in said[0] and said[-1].startswith('explicit: could not write')
    assert [read_checkpoint(p)['at']['step'] for p in list_checkpoints(tmp_path)] == [0]
    assert not list(tmp_path.glob('.*.tmp'))

def tell(folder, there):
    cls, args, kwargs = make(checkpoint_dir=folder)
    def wait(t, info):
        if info['step'] == 0: there.send('started'); there.recv()
    cls(*args, **kwargs).on('step_end', wait).train(verbose=False)

def test_two_runs_never_share_a_folder(processes, tmp_path):
    here, there = processes.Pipe()
    p = processes.Process(target=tell, args=(tmp_path, there))
    p.start()
    assert here.recv() == 'started'
    cls, args, kwargs = make(checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match='in use by another process'): cls(*args, **kwargs).train(verbose=False)
    with pytest.raises(CheckpointError, match='in use by another process'): cls(*args, **kwargs).save()
    here.send('go on')
    p.join()
    assert p.exitcode == 0

def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path/'file').write_text('')
    cls, args, kwargs = make(epochs=1)
    with pytest.raises(CheckpointError, match='could not'): cls(*args, **kwargs).save(tmp_path/'file')

@pytest.mark.parametrize('kind', (0, 1))
def test_a_first_save_may_say_overwrite(tmp_path, kind):
    brain = (PlasticBrain(8, 16, 4, num_classes=2), TriarchicBrain(8, 64, 2, sparsity_k=8))[kind]
    (brain.update_batch if kind else brain.train_step)(torch.randn(40, 8), torch.arange(40) % 2)
    brain.save(tmp_path, overwrite=True)
    brain.save(tmp_path)  # it knows where it was saved
    assert len(list_checkpoints(tmp_path)) == 2


@pytest.mark.parametrize('classes', [None, 1])
def test_a_brain_of_one_class_is_saved(tmp_path, classes):
    "After a whole block of rows the weights of its readouts have one column, with strides that torch calls contiguous and cannot view as bytes"
    brain, x = PlasticBrain(16, num_classes=classes), torch.randn(32, 16, generator=torch.Generator().manual_seed(0))
    brain.train_step(x, torch.zeros(32, dtype=torch.int64))
    brain.save(tmp_path/'brain')
    assert torch.equal(PlasticBrain.load(tmp_path/'brain')(x), brain(x))
