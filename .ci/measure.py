"""What both brains reach on CIFAR-10, vehicles then animals, in one pass: accuracy, processor seconds, bytes of state.
`python .ci/measure.py CHECKOUT DATA` measures the checkout in that folder, so that two versions meet on the same features (one thread, five orders)."""
import os
import statistics
import sys
import time

root, data = (os.path.abspath(p) for p in sys.argv[1:3])
sys.path.insert(0, root)
os.chdir(os.path.dirname(data))  # nothing called plasticish may hide the checkout
import torch  # noqa: E402

from plasticish import PlasticBrain, TriarchicBrain  # noqa: E402
from plasticish.eyes import cifar10_features  # noqa: E402

torch.set_num_threads(1)
sets = cifar10_features(data, progress=False)


def tensors(name): return torch.as_tensor(sets[name].features[:]).float(), torch.as_tensor(sets[name].labels[:]).long()


(xt, yt), (xe, ye) = tensors('train'), tensors('test')
vehicle = torch.isin(yt, torch.tensor([0, 1, 8, 9]))


def one_pass(brain, seed):
    "Processor seconds of learning"
    learn, gen, start = getattr(brain, 'train_step', None) or brain.update_batch, torch.Generator().manual_seed(seed), time.process_time()
    for part in (vehicle, ~vehicle):
        at = part.nonzero().flatten()
        for i in at[torch.randperm(len(at), generator=gen)].split(256): learn(xt[i], yt[i])
    if hasattr(brain, 'consolidate'): brain.consolidate()
    return time.process_time() - start


def percent(brain): return 100*sum((brain.predict(x) == y).sum().item() for x, y in zip(xe.split(500), ye.split(500)))/len(ye)


def size(brain): return sum(t.nbytes for t in brain.state_dict().values())/1e6


for make in (PlasticBrain, TriarchicBrain):
    rows = []
    for seed in range(5):
        brain = make(seed=seed) if make is PlasticBrain else make()
        seconds = one_pass(brain, seed)
        rows.append((percent(brain), seconds))
    accuracy, seconds = zip(*rows)
    print(f'{make.__name__}: {statistics.mean(accuracy):.2f} ± {statistics.stdev(accuracy):.2f} %, {statistics.mean(seconds):.1f} s, '
          f"{size(make(precision='float32')):.0f} MB when new, in float32", ' '.join(f'{a:.2f}' for a in accuracy), flush=True)
