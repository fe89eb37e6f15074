"""How fast one version is, as ratios: `python .ci/speed.py CHECKOUT [ROWS DIM [lessons]]` prints them as JSON, in processor seconds of one thread.
Each is divided by something plain in the same process: RanPAC with 2 000 features, scikit-learn's SGDClassifier, or the products alone."""
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

root = os.path.abspath(sys.argv[1])
rows, dim = map(int, sys.argv[2:4] or (20_000, 1280))
sys.path.insert(0, root)
os.chdir('/')  # nothing called plasticish may hide the checkout
import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.linear_model import SGDClassifier  # noqa: E402

from plasticish import EpisodicMemoryBank, PlasticBrain, PlasticClassifier, TriarchicBrain  # noqa: E402

torch.set_num_threads(1)
if os.environ.get('ATEN_CPU_CAPABILITY') == 'avx2':  # such a processor has neither 8-bit products nor bfloat16
    for name in ('_is_vnni_supported', '_is_cpu_support_vnni', '_is_avx512_bf16_supported', '_is_amx_tile_supported'): setattr(torch.cpu, name, bool)


def clusters(n, d, classes=10, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (n,), generator=g)
    return (torch.randn(classes, d, generator=g)[y] + 2*torch.randn(n, d, generator=g)).relu_(), y


def spent(f, *args):
    "Processor seconds of a call"
    start = time.process_time()
    f(*args)
    return time.process_time() - start


def resident(what):
    "Megabytes that are resident now (VmRSS), or were at most (VmHWM)"
    return int(re.search(rf'{what}:\s+(\d+)', Path('/proc/self/status').read_text())[1])/1e3


class RanPAC:
    "Random ReLU features and ridge regression (McDonnell et al. 2023)"
    def __init__(self, d, classes=10, M=2000):
        self.P, self.G, self.b = torch.randn(d, M, generator=torch.Generator().manual_seed(0)), torch.zeros(M, M), torch.zeros(M, classes)
    def learn(self, x, y):
        for x, y in zip(x.split(256), y.split(256)):
            h = (x @ self.P).relu_()
            self.G.addmm_(h.T, h)
            self.b.addmm_(h.T, torch.nn.functional.one_hot(y, self.b.shape[1]).float())
        self.W = torch.linalg.solve(self.G + 1e4*torch.eye(len(self.G)), self.b)
    def answer(self, x): return [((x @ self.P).relu_() @ self.W).argmax(1) for x in x.split(500)]


def lessons():
    "Learning and answering of the Plastic Brain against RanPAC, and what it holds"
    (x, y), (q, _) = clusters(rows, dim), clusters(5000, dim, seed=1)
    plain = RanPAC(dim)
    Path('/proc/self/clear_refs').write_text('5')  # most was resident while the data were made; from here on it counts anew
    before = resident('VmRSS')
    brain = PlasticBrain(in_dim=dim)
    def learn():
        for b in zip(x.split(256), y.split(256)): brain.train_step(*b)
        brain.consolidate()
    ours, peak = spent(learn), resident('VmHWM') - before
    theirs = spent(plain.learn, x, y)
    asked = spent(lambda: [brain.predict(b) for b in q.split(500)])
    alone = np.median([spent(brain.predict, b) for b in q[:50].split(1)])
    return {'Plastic learns / RanPAC learns': ours/theirs, 'Plastic answers / RanPAC answers': asked/spent(plain.answer, q), 'one answer, ms': 1000*alone,
            'state, MB': sum(t.nbytes for t in brain.state_dict().values() if isinstance(t, torch.Tensor))/1e6, 'peak above data, MB': peak}


def live(model, x, y, batch=1):
    "Processor seconds in which rows are predicted and then learned, after 1 000 others"
    for i in range(0, 1000, 50): model.partial_fit(x[i:i + 50], y[i:i + 50], classes=np.arange(5))
    def rest():
        for i in range(1000, len(x), batch): model.predict(x[i:i + batch]); model.partial_fit(x[i:i + batch], y[i:i + batch])
    return spent(rest)


def row_by_row(d, n):
    "`n` rows, one at a time"
    x, y = (t.numpy() for t in clusters(1000 + n, d, 5))
    return {f'a row of {d} / SGDClassifier': live(PlasticClassifier(), x, y)/live(SGDClassifier(loss='log_loss'), x, y)}


def columns():
    "A wider table, in batches"
    x, y = (t.numpy() for t in clusters(2000, 128, 5))
    return {'1 000 rows of 128 in batches of 32, s': live(PlasticClassifier(), x, y, 32)}


def triarchic():
    "A step of the Triarchic Brain against its product"
    brain, (x, y) = TriarchicBrain(), clusters(40*256, 512)
    pairs = [(spent(brain.update_batch, *b), spent(torch.matmul, b[0], brain.base.weight.T)) for b in zip(x.split(256), y.split(256))][20:]
    ours, product = np.array(pairs).T
    return {'Triarchic step / its product': np.median(ours)/np.median(product)}


def query():
    "A query of the memory against a product and `topk`"
    bank, (x, y) = EpisodicMemoryBank(memory_size=60_000), clusters(60_000, 512)
    for b in zip(x.split(8192), y.split(8192)): bank.update(*b)
    q, keys = torch.nn.functional.normalize(clusters(256, 512, seed=1)[0], dim=1), bank.keys.clone()
    bank(q)
    pairs = [(spent(bank, q), spent(lambda: (q @ keys.T).topk(50))) for _ in range(5)]
    return {'memory query / product + topk': float(np.median([a for a, _ in pairs])/np.median([b for _, b in pairs]))}


def imported():
    "Processor seconds of all public names above torch and torchvision"
    code = ('import time, sys, torch, torchvision; sys.path.insert(0, sys.argv[1]); t = time.process_time(); import plasticish; '
            '[getattr(plasticish, n) for n in plasticish.__all__]; print(time.process_time() - t)')
    return {'import, s': min(float(subprocess.check_output([sys.executable, '-c', code, root])) for _ in range(2))}


parts = lessons, lambda: row_by_row(8, 200), lambda: row_by_row(64, 50), lambda: row_by_row(512, 5), columns, triarchic, query, imported
found = {}
for part in parts[:1] if sys.argv[4:] == ['lessons'] else parts: found |= part()
print(json.dumps({k: round(float(v), 4) for k, v in found.items()}))
