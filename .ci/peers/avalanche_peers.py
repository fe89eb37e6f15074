"""Peers from Avalanche on the lessons of the first order: `python .ci/peers/avalanche_peers.py OUT` reads OUT/lessons, which ours.py
wrote, and adds one line per (set, learner) to OUT/peers_many.jsonl. Run it in an environment of its own: `pip install avalanche-lib`."""
import sys
from importlib.metadata import version

try:
    import torch
    from avalanche.benchmarks import tensors_benchmark
    from avalanche.models import NCMClassifier
    from avalanche.training import Replay, StreamingLDA
except ImportError as e: sys.exit(f'skipped: Avalanche is not installed in this environment ({e.name})')
from peer import best_step, run_lessons

identity = torch.nn.Identity()


def slda(x, y, parts, C):
    "Deep streaming LDA, a row at a time, with its default shrinkage"
    model = StreamingLDA(slda_model=identity, criterion=torch.nn.CrossEntropyLoss(), input_size=x.shape[1], num_classes=C, evaluator=None)
    for a, b in zip(x.split(1), y.split(1)): model.fit(a, b)
    return lambda t: model.predict(t).argmax(1)


def ncm(x, y, parts, C):
    "Nearest class mean of unit-length features; the means of a class that comes back are averaged, as its default is"
    model = NCMClassifier(normalize=True)
    for i in parts:
        z = torch.nn.functional.normalize(x[i], dim=1)
        model.update_class_means_dict({int(c): z[y[i] == c].mean(0) for c in y[i].unique()})
    return lambda t: model(t).argmax(1)


def replay(x, y, parts, C, lr):
    "One layer on features standardised by the first stage, and a buffer of 5 000 rows"
    mean, sd = x[parts[0]].mean(0), x[parts[0]].std(0) + 1e-3
    model = torch.nn.Linear(x.shape[1], C)
    learner = Replay(model=model, optimizer=torch.optim.Adam(model.parameters(), lr), criterion=torch.nn.CrossEntropyLoss(), mem_size=5000,
                     train_mb_size=256, train_epochs=1, evaluator=None)
    stages = [((x[i] - mean)/sd, y[i]) for i in parts]
    for e in tensors_benchmark(stages, stages[:1], task_labels=[0]*len(stages)).train_stream: learner.train(e)
    return lambda t: model.eval()((t - mean)/sd).argmax(1)


PEERS = {'streaming LDA (Avalanche)': slda, 'NCM (Avalanche)': ncm, 'replay 5000 (Avalanche)': best_step(replay)}

if __name__ == '__main__': run_lessons(PEERS, version('avalanche-lib'), __doc__)
