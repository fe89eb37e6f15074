"What the scripts for other packages share: the streams and lessons that ours.py wrote, the measure, and the files of results"
import argparse
import json
import time
from pathlib import Path

import numpy as np


def prequential(model, x, y, changes, batch, window=1000):
    "Answer a batch, then learn it row by row; percent, as `plasticish.experiments.prequential`. `model`: (predict(row), learn(row, label))"
    predict, learn = model
    right, t = np.zeros(len(y), bool), time.process_time()
    for i in range(0, len(y), batch):
        b = range(i, min(i + batch, len(y)))
        if i: right[i:i + batch] = [predict(x[j]) == y[j] for j in b]
        for j in b: learn(x[j], int(y[j]))
    t = time.process_time() - t
    percent = lambda a, b: 100*float(right[max(0, a):b].mean())
    half = [dict(before=percent(c - window, c), after=percent(c, c + window), late=percent(c + window//2, c + window)) for c in changes.tolist()]
    return dict(accuracy=percent(0, None), anytime=100*float((right.cumsum()/np.arange(1, len(y) + 1)).mean()),
                curve=[round(percent(i, i + window), 2) for i in range(0, len(y), window)], changes=half, seconds=t, per_1000=1000*t/len(y))


def run_lessons(peers, version, about):
    "One line per (set, learner) that is not there yet. `peers`: label -> callable (x, y, rows of each stage, classes C), which gives predict"
    import torch
    p = argparse.ArgumentParser(description=about); p.add_argument('out', type=Path)
    a = p.parse_args()
    torch.set_num_threads(1)
    file = a.out/'peers_many.jsonl'
    done = [json.loads(line)['key'] for line in file.read_text().splitlines() if line.endswith('}')] if file.exists() else []
    for path in sorted((a.out/'lessons').glob('*.npz'), key=lambda f: f.stat().st_size):
        with np.load(path, allow_pickle=False) as f: x, y, ends, test_x, test_y = (torch.from_numpy(f[k]) for k in ('x', 'y', 'ends', 'test_x', 'test_y'))
        parts = torch.arange(len(y)).tensor_split(ends[:-1].tolist())
        for label, learn in peers.items():
            key = dict(set=path.stem, learner=label, seed=0, rows=len(y), version=version)
            if key in done: continue
            torch.manual_seed(0)
            t = time.process_time(); predict = learn(x, y, parts, int(y.max()) + 1); t = time.process_time() - t
            with torch.no_grad(): right = torch.cat([predict(b) for b in test_x.split(500)]) == test_y
            row = dict(key=key, accuracy=100*right.float().mean().item(), seconds=t)
            with open(file, 'a', encoding='utf-8') as f: f.write(json.dumps(row) + '\n')
            print(path.stem, label, round(row['accuracy'], 1), f'{t:.0f} s', flush=True)


def best_step(learn, steps=(1e-3, 3e-3, 1e-2, 3e-2)):
    "`learn`(x, y, parts, C, lr) with the Adam step that answers every tenth row best when it was not learned"
    def tuned(x, y, parts, C):
        held = x.new_zeros(len(y), dtype=bool); held[::10] = True
        kept = [i[~held[i]] for i in parts]
        def right(lr): return (learn(x, y, kept, C, lr)(x[held]) == y[held]).float().mean().item()
        return learn(x, y, parts, C, max(steps, key=right))
    return tuned


def run(peers, version, about):
    "One line per (stream, learner, seed) that is not there yet. `peers`: label -> callable (inputs D, classes C, seed) that builds a model"
    p = argparse.ArgumentParser(description=about)
    p.add_argument('out', type=Path); p.add_argument('--batch', type=int, default=32)
    p.add_argument('--limit', type=float, default=float('inf'), help='streams of more megabytes are left out')
    a = p.parse_args()
    file = a.out/'peers.jsonl'
    name = lambda key: json.dumps(key, sort_keys=True)
    done = {name(json.loads(line)['key']) for line in file.read_text().splitlines() if line.endswith('}')} if file.exists() else set()
    for path in sorted((a.out/'streams').glob('*.npz'), key=lambda f: f.stat().st_size):
        if path.stat().st_size > 1e6*a.limit: continue
        with np.load(path, allow_pickle=False) as f: x, y, changes = f['x'], f['y'], f['changes']
        stream, _, seed = path.stem.partition('~')
        for label, make in peers.items():
            key = dict(set=stream, learner=label, seed=int(seed or 0), rows=len(y), batch=a.batch, version=version)
            if name(key) in done: continue
            row = dict(key=key, **prequential(make(x.shape[1], int(y.max()) + 1, int(seed or 0)), x, y, changes, a.batch))
            with open(file, 'a', encoding='utf-8') as f: f.write(json.dumps(row) + '\n')
            print(path.stem, label, round(row['accuracy'], 1), f"{row['seconds']:.0f} s", flush=True)
