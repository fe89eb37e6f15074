"""Peers from CapyMOA on the lessons of the first order: `python .ci/peers/capymoa_lessons.py OUT` reads OUT/lessons, which ours.py
wrote, and adds one line per (set, learner) to OUT/peers_many.jsonl. It needs Java, torch and an environment of its own: `pip install capymoa torch`."""
import sys
from importlib.metadata import version

try:
    import torch
    from capymoa.classifier import Finetune
    from capymoa.core.torch.ann import Perceptron
    from capymoa.ocl.strategy import SLDA, ExperienceReplay
    from capymoa.stream import Schema
except Exception as e: sys.exit(f'skipped: CapyMOA does not start in this environment ({type(e).__name__})')  # without Java it is no ImportError
from peer import best_step, run_lessons


def schema(x, C): return Schema.from_custom([f'x{i}' for i in range(x.shape[1])] + ['y'], 'y', categories={'y': [str(c) for c in range(C)]})


def fed(learner, x, y, parts, size=256):
    "The learner after one pass, and how it answers"
    for i in parts:
        for j in i.split(size): learner.batch_train(x[j], y[j])
    return lambda t: learner.batch_predict_proba(t).argmax(1)


def slda(x, y, parts, C): return fed(SLDA(schema(x, C)), x, y, parts)


def replay(x, y, parts, C, lr):
    "One layer on features standardised by the first stage, and a buffer of 5 000 rows"
    mean, sd, names = x[parts[0]].mean(0), x[parts[0]].std(0) + 1e-3, schema(x, C)
    head = Finetune(names, Perceptron(names), optimizer=lambda p: torch.optim.Adam(p, lr))
    answer = fed(ExperienceReplay(head, buffer_size=5000), (x - mean)/sd, y, parts)
    return lambda t: answer((t - mean)/sd)


PEERS = {'streaming LDA (CapyMOA)': slda, 'replay 5000 (CapyMOA)': best_step(replay)}

if __name__ == '__main__': run_lessons(PEERS, version('capymoa'), __doc__)
