"""Peers from River on the same streams: `python .ci/peers/river_peers.py OUT` reads OUT/streams, which ours.py wrote, and
adds one line per (stream, learner) to OUT/peers.jsonl. Run it in an environment of its own: `pip install river numpy`."""
import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

try:
    import river
    from river import forest, linear_model, neighbors, preprocessing, tree
except ImportError: sys.exit('skipped: River is not installed in this environment')


def scaled(model): return preprocessing.StandardScaler() | model


PEERS = {'ARF (River)': lambda s: forest.ARFClassifier(seed=s), 'HAT (River)': lambda s: tree.HoeffdingAdaptiveTreeClassifier(seed=s),
         'kNN (River)': lambda s: scaled(neighbors.KNNClassifier(n_neighbors=5)),
         'softmax (River)': lambda s: scaled(linear_model.SoftmaxRegression())}


def prequential(model, x, y, changes, batch, window=1000):
    "Answer a batch, then learn it row by row; percent, as `plasticish.experiments.prequential`"
    right, t = np.zeros(len(y), bool), time.process_time()
    rows = [dict(enumerate(r)) for r in x.tolist()]
    for i in range(0, len(y), batch):
        b = range(i, min(i + batch, len(y)))
        if i: right[i:i + batch] = [model.predict_one(rows[j]) == y[j] for j in b]
        for j in b: model.learn_one(rows[j], int(y[j]))
    t = time.process_time() - t
    percent = lambda a, b: 100*float(right[max(0, a):b].mean())
    half = [dict(before=percent(c - window, c), after=percent(c, c + window), late=percent(c + window//2, c + window)) for c in changes.tolist()]
    return dict(accuracy=percent(0, None), anytime=100*float((right.cumsum()/np.arange(1, len(y) + 1)).mean()),
                curve=[round(percent(i, i + window), 2) for i in range(0, len(y), window)], changes=half, seconds=t, per_1000=1000*t/len(y))


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('out', type=Path); p.add_argument('--batch', type=int, default=32); p.add_argument('--seeds', type=int, default=1)
    a = p.parse_args()
    file = a.out/'peers.jsonl'
    done = {json.dumps(json.loads(line)['key'], sort_keys=True) for line in file.read_text().splitlines() if line.endswith('}')} if file.exists() else set()
    for path in sorted((a.out/'streams').glob('*.npz'), key=lambda f: f.stat().st_size):
        with np.load(path, allow_pickle=False) as f: x, y, changes = f['x'], f['y'], f['changes']
        for label, make in PEERS.items():
            for seed in range(a.seeds):
                key = dict(set=path.stem, learner=label, seed=seed, rows=len(y), batch=a.batch, version=river.__version__)
                if json.dumps(key, sort_keys=True) in done: continue
                row = dict(key=key, **prequential(make(seed), x, y, changes, a.batch))
                with open(file, 'a', encoding='utf-8') as f: f.write(json.dumps(row) + '\n')
                print(path.stem, label, seed, round(row['accuracy'], 1), f"{row['seconds']:.0f} s", flush=True)
