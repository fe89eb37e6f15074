"""River's generators, 5 000 rows and a change half-way or all the time: `python .ci/peers/river_streams.py OUT` writes OUT/by_row/streams/*.npz,
which ours.py and the peers read. Run it in an environment that has River; its arguments are those below."""
import sys
from itertools import islice
from pathlib import Path

try:
    import numpy as np
    from river.datasets import synth
except ImportError as e: sys.exit(f'skipped: {e.name} is not installed in this environment')

ROWS, SEEDS = 5000, 5
STREAMS = {  # name: seed -> generators of equally long stretches; the second has a seed of its own, for the first would come again
    'SEA': lambda s: [synth.SEA(variant=v, noise=.1, seed=s + 100*v) for v in (0, 3)],
    'sine': lambda s: [synth.Sine(classification_function=v, seed=s + 100*v) for v in (0, 1)],
    'Agrawal': lambda s: [synth.Agrawal(classification_function=v, seed=s + 100*v) for v in (0, 6)],
    'moving RBF': lambda s: [synth.RandomRBFDrift(seed_model=s, seed_sample=s, n_classes=2, n_features=10, n_centroids=50,
                                                  change_speed=.001, n_drift_centroids=50)]}

if __name__ == '__main__':
    folder = Path(sys.argv[1])/'by_row'/'streams'
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in STREAMS.items():
        for seed in range(SEEDS):
            parts = make(seed)
            rows = [r for g in parts for r in islice(g, ROWS//len(parts))]
            x, y = np.array([[float(v) for v in r.values()] for r, _ in rows], np.float32), np.array([int(label) for _, label in rows])
            file = folder/f'{name} (River){f"~{seed}"*bool(seed)}.npz'
            np.savez(file, x=x, y=y, changes=np.array([ROWS//2]*(len(parts) > 1), int))
            print(file.stem, x.shape, y.mean().round(3))
