"""Alarms on the same errors: `python .ci/peers/alarms.py DATA OUT` writes margins to OUT/alarms and what the project's detector makes
of them to OUT/alarms.jsonl; `python .ci/peers/river_alarms.py OUT`, in an environment with River, adds its detectors on the errors.
Both leave out lines that are there already. Margins are made anew where a brain's code has changed; one core needs about three minutes.
Made streams: 20 changes of the error after 4000 rows, and 300 000 rows without a change. Real ones: NLU and CIFAR-10, classes in phases,
then all classes, then another kind of input."""
import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from plasticish.brain import PlasticBrain
from plasticish.context import DriftDetector
from plasticish.experiments import code_key
from plasticish.eyes import cifar10_features
from plasticish.sets import read_text

CHANGES = {'error 10 to 20 %': (.1, .2), 'error 10 to 50 %': (.1, .5), 'error 40 to 55 %': (.4, .55)}
HEAD = 4000  # rows before a change, and after it


def margins(error, n, gen):
    "Margins of normal distribution, of which the share `error` is below zero"
    return torch.distributions.Normal(0., 1.).icdf(torch.tensor(1 - error)) + torch.randn(n, generator=gen)


def made(folder):
    "Streams whose truth is known"
    gen = torch.Generator().manual_seed(0)
    for name, (a, b) in CHANGES.items():
        m = torch.stack([torch.cat([margins(a, HEAD, gen), margins(b, HEAD, gen)]) for _ in range(20)])
        save(folder, name, m, torch.randint(5, m.shape, generator=gen), HEAD)
    for a in (.1, .4):
        m = margins(a, 300_000, gen)[None]
        save(folder, f'error {100*a:.0f} %, no change', m, torch.randint(5, m.shape, generator=gen), m.shape[1])


def save(folder, name, m, y, change): np.savez(folder/f'{name}.npz', m=m.numpy(), y=y.numpy(), change=change)


def life(folder, name, brain, calm, storm):
    "A brain learns batches; the margins that its detector is shown once the readout is fitted"
    shown, update = [], brain.drift.update_
    def told(m, y, rows=None):
        if brain.readout.fitted: shown.append((m.clone(), y.clone()))
        return update(m, y, rows)
    brain.drift.update_ = told
    for x, y in calm: brain.train_step(x, y)
    change = sum(len(y) for _, y in shown)
    for x, y in storm: brain.train_step(x, y)
    save(folder, name, *(torch.cat(t)[None] for t in zip(*shown)), change)


def batches(x, y, i, size): return [(x[j], y[j]) for j in i.split(size)]


def real(folder, data):
    "NLU and CIFAR-10"
    gen = torch.Generator().manual_seed(0)
    x, y = (torch.as_tensor(a) for a in read_text(data, 'nlu_hwu')['train'])
    order, i = torch.randperm(int(y.max()) + 1, generator=gen), torch.randperm(len(y), generator=gen)
    late, i = i[:4000], i[4000:]
    calm = [b for part in order.chunk(8) for b in batches(x, y, i[torch.isin(y[i], part)], 64)]
    life(folder, 'NLU, features reversed', PlasticBrain(x.shape[1], num_classes=len(order)), calm + batches(x, y, late[:2500], 50), batches(-x.flip(1), y, late[2500:], 50))
    sets = cifar10_features(data)
    t = lambda name: (torch.as_tensor(sets[name].features[:]).float(), torch.as_tensor(sets[name].labels[:]).long())
    (x, y), (vx, vy), (sx, _) = map(t, ('train', 'valid', 'storm_valid'))
    vehicle, i = torch.isin(y, torch.tensor([0, 1, 8, 9])), torch.randperm(len(vy), generator=gen)
    calm = [b for part in (vehicle, ~vehicle) for b in batches(x, y, part.nonzero()[:, 0][torch.randperm(int(part.sum()), generator=gen)], 256)]
    life(folder, 'CIFAR-10, inverted', PlasticBrain(), calm + batches(vx, vy, i[:3000], 50), batches(sx, vy, i[3000:], 50))


def told(file):
    "What the lines of a file are about"
    lines = file.read_text(encoding='utf-8').splitlines() if file.exists() else []
    return {(r['stream'], r['alarm'], r.get('data'), r.get('code')) for r in map(json.loads, lines)}


def judged(folder, found, there):
    "One line per stream that is not there: false alarms, rows watched in calm, delays and misses. `found(m [N], y [N])`: rows after which there was an alarm"
    code = code_key(found)
    for path in sorted(folder.glob('*.npz')):
        with np.load(path) as f: m, y, change = f['m'], f['y'], int(f['change'])
        data = hashlib.blake2b(m.tobytes() + y.tobytes(), digest_size=16).hexdigest()
        if (path.stem, 'DriftDetector', data, code) in there: continue
        false, delays = 0, []
        for a, b in zip(m, y):
            at = found(a, b)
            false += sum(t <= change for t in at)
            if change < m.shape[1]: delays.append(next((t - change for t in at if t > change), None))
        yield dict(stream=path.stem, calm=change*len(m), false=false, delays=[d for d in delays if d is not None], missed=delays.count(None), alarm='DriftDetector', data=data, code=code)


def ours(m, y):
    "Rows after which the project's detector raises an alarm; it is told of each that it is over"
    watch, at, m, y, batch = DriftDetector(int(y.max()) + 1), [], torch.as_tensor(m), torch.as_tensor(y), 10 if len(m) < 50_000 else 64
    for i in range(0, len(m), batch):
        if watch.update_(m[i:i + batch], y[i:i + batch]): watch.reset_(); at.append(min(i + batch, len(m)))
    return at


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('data', type=Path); p.add_argument('out', type=Path)
    a = p.parse_args()
    folder, file, code = a.out/'alarms', a.out/'alarms.jsonl', code_key(PlasticBrain)
    mark = folder/'code.txt' # of the brain whose margins these are
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob('error*')): made(folder)
    if not mark.exists() or mark.read_text() != code: real(folder, a.data); mark.write_text(code)
    for row in judged(folder, ours, told(file)):
        with open(file, 'a', encoding='utf-8') as f: f.write(json.dumps(row) + '\n')
        print(row, flush=True)
