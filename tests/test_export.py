"An exported brain answers in a process that has no plasticish"
import subprocess
import sys
import threading

import pytest
import torch
from small import D, cloud

from plasticish import PlasticBrain, PretrainedEyes, TriarchicBrain, export
from plasticish.deploy import tensors_alone

ALONE = '''
import sys
sys.modules['plasticish'] = None
import torch
asked, out = sys.argv[1:]
def answers(file, x):
    answer = torch.export.load(file).module()
    return answer(x), torch.cat([answer(a) for a in x[:20].split(1)])
torch.save([answers(*a) for a in torch.load(asked)], out)
try: import plasticish
except ImportError: print('alone')
'''

def alone(asked, tmp_path):
    "What each (file, inputs) says in a fresh process: to all inputs at once, and to the first twenty one by one"
    torch.save([(str(file), x) for file, x in asked], tmp_path/'asked')
    p = subprocess.run([sys.executable, '-W', 'ignore', '-c', ALONE, tmp_path/'asked', tmp_path/'said'], capture_output=True, text=True, timeout=180, cwd=tmp_path)
    assert p.returncode == 0 and p.stdout.strip() == 'alone', p.stdout + p.stderr
    return torch.load(tmp_path/'said')

def plastic():
    brain, calm, storm = PlasticBrain(D, 64, 8, num_layers=2, memory_size=500, k_neighbors=10, precision='float32'), cloud(range(6), 400), cloud(range(6), 60)
    brain.train_step(calm.features[:], torch.as_tensor(calm.labels))
    brain.train_step(-storm.features[:], torch.as_tensor(storm.labels), 'panic')
    brain.consolidate()
    return brain

def triarchic():
    brain, calm = TriarchicBrain(D, 128, 10, sparsity_k=8), cloud(range(6), 400)
    brain.base.precision = 'float32'
    for x, y in zip(calm.features[:].split(50), torch.as_tensor(calm.labels).split(50)): brain.update_batch(x, y)
    return brain

def seeing():
    eyes, x, y = PretrainedEyes(weights='bundled', precision='float32'), torch.randn(40, 3, 32, 32), torch.arange(40) % 4
    x += y[:, None, None, None]
    brain = PlasticBrain(512, 64, 8, num_layers=1, memory_size=100, num_classes=4, eyes=eyes, precision='float32')
    brain.train_step(x, y)
    return brain, x

@pytest.mark.filterwarnings('error:No complete tensor')  # torch's, of a tensor that is not contiguous
def test_files_answer_without_the_library(tmp_path):
    x, (eyed, pictures), (a, b) = cloud(range(6), 1000).features[:], seeing(), (plastic(), triarchic())
    asked = [(export(brain, tmp_path/f'{i}.pt2', precision, **kw), x) for i, (brain, precision, x, kw) in enumerate((
        (a, 'float32', x, {}), (b, 'float32', x, {}), (eyed, 'float32', pictures, dict(eyes=True)), (a, 'int8', x, {}), (b, 'float16', x, {})))]
    said = alone(asked, tmp_path)
    told = [a(x), b(x)[0], eyed(pictures), a(x), b(x)[0]]
    for i, ((whole, single), t) in enumerate(zip(said, told)):
        assert torch.allclose(whole[:20], single, atol=1e-4)
        if i < 3: assert torch.allclose(whole, t, atol=1e-4) and torch.equal(whole.argmax(1), t.argmax(1))
        else: assert (whole.argmax(1) == t.argmax(1)).float().mean() > .98

def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    file = export(plastic(), tmp_path/'brain.pt2')
    before = file.read_bytes()
    def full(path, data):
        with open(path, 'wb') as f: f.write(data[:100])
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr('pathlib.Path.write_bytes', full)
    with pytest.raises(OSError, match='No space'): export(plastic(), file, overwrite=True)
    with pytest.raises(ValueError, match='^path: .* is there already; .*overwrite=True'): export(plastic(), file)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]

def test_while_another_thread_teaches(tmp_path):
    brain, stop = plastic(), threading.Event()
    def teach():
        while not stop.is_set(): brain.train_step(torch.randn(20, D), torch.arange(20) % 10)
    t = threading.Thread(target=teach)
    t.start()
    try: said = torch.export.load(export(brain, tmp_path/'brain.pt2')).module()(torch.randn(3, D))
    finally: stop.set(); t.join()
    assert torch.allclose(said.sum(1), torch.ones(3), atol=1e-5)

def test_a_query_on_the_mean():
    "It has no direction in the metric, so it resembles nothing: the exported brain says what the brain says"
    x, y = torch.randn(21, D, generator=torch.Generator().manual_seed(0)), torch.arange(21) % 4
    brain = PlasticBrain(D, 64, 8, memory_size=50, k_neighbors=10, num_classes=4, precision='float32')
    brain.train_step(x[:1], y[:1])
    brain.train_step(x[1:], y[1:], 'panic')
    brain.memory.refresh()
    assert (brain.memory.metric(torch.nn.functional.normalize(brain.features(x[:1]), dim=1)).norm() < 1), 'it lies on the mean'
    torch.testing.assert_close(tensors_alone(brain)(x), brain(x), atol=1e-5, rtol=1e-4)
