"""Peers from Avalanche on the lessons of the first order: `python .ci/peers/avalanche_peers.py OUT` reads OUT/lessons, which ours.py
wrote, and adds one line per (set, learner) to OUT/peers_many.jsonl. Run it in an environment of its own: `pip install avalanche-lib`."""
import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

try:
    import numpy as np
    import torch
    from avalanche.models import NCMClassifier
    from avalanche.training import StreamingLDA
except ImportError as e: sys.exit(f'skipped: Avalanche is not installed in this environment ({e.name})')

identity = torch.nn.Identity


def slda(x, y, parts, C):
    "Deep streaming LDA, a row at a time, with its default shrinkage"
    model = StreamingLDA(slda_model=identity(), criterion=torch.nn.CrossEntropyLoss(), input_size=x.shape[1], num_classes=C, evaluator=None)
    for a, b in zip(x.split(1), y.split(1)): model.fit(a, b)
    return lambda t: model.predict(t).argmax(1)


def ncm(x, y, parts, C):
    "Nearest class mean of unit-length features; the means of a class that comes back are averaged, as its default is"
    model = NCMClassifier(normalize=True)
    for i in parts:
        z = torch.nn.functional.normalize(x[i], dim=1)
        model.update_class_means_dict({int(c): z[y[i] == c].mean(0) for c in y[i].unique()})
    return lambda t: model(t).argmax(1)


PEERS = {'streaming LDA (Avalanche)': slda, 'NCM (Avalanche)': ncm}  # its replay needs a step size, so a tuner

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__); p.add_argument('out', type=Path)
    a = p.parse_args()
    torch.set_num_threads(1)
    file = a.out/'peers_many.jsonl'
    done = [json.loads(line)['key'] for line in file.read_text().splitlines() if line.endswith('}')] if file.exists() else []
    for path in sorted((a.out/'lessons').glob('*.npz'), key=lambda f: f.stat().st_size):
        with np.load(path, allow_pickle=False) as f: x, y, ends, test_x, test_y = (torch.from_numpy(f[k]) for k in ('x', 'y', 'ends', 'test_x', 'test_y'))
        parts = torch.arange(len(y)).tensor_split(ends[:-1].tolist())
        for label, learn in PEERS.items():
            key = dict(set=path.stem, learner=label, seed=0, rows=len(y), version=version('avalanche-lib'))
            if key in done: continue
            t = time.process_time(); predict = learn(x, y, parts, int(y.max()) + 1); t = time.process_time() - t
            with torch.no_grad(): right = torch.cat([predict(b) for b in test_x.split(500)]) == test_y
            row = dict(key=key, accuracy=100*right.float().mean().item(), seconds=t)
            with open(file, 'a', encoding='utf-8') as f: f.write(json.dumps(row) + '\n')
            print(path.stem, label, round(row['accuracy'], 1), f'{t:.0f} s', flush=True)
