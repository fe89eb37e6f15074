"""Peers from CapyMOA on the same streams: `python .ci/peers/capymoa_peers.py OUT` reads OUT/streams, which ours.py wrote, and
adds one line per (stream, learner) to OUT/peers.jsonl. It needs Java and an environment of its own: `pip install capymoa`."""
import sys
from importlib.metadata import version

try:
    from capymoa.classifier import KNN, AdaptiveRandomForestClassifier, HoeffdingAdaptiveTree, SAMkNN
    from capymoa.core import Instance, LabeledInstance
    from capymoa.stream import Schema
except Exception as e: sys.exit(f'skipped: CapyMOA does not start in this environment ({type(e).__name__})')  # without Java it is no ImportError
from peer import run


def rows(make, D, C, **settings):
    "(predict, learn) of a CapyMOA classifier"
    schema = Schema.from_custom([f'x{i}' for i in range(D)] + ['y'], 'y', categories={'y': [str(c) for c in range(C)]})
    model = make(schema, **settings)
    return (lambda x: model.predict(Instance.from_array(schema, x.astype(float))),
            lambda x, y: model.train(LabeledInstance.from_array(schema, x.astype(float), y)))


PEERS = {'ARF, 10 trees (CapyMOA)': lambda D, C, seed: rows(AdaptiveRandomForestClassifier, D, C, ensemble_size=10, random_seed=1 + seed),
         'HAT (CapyMOA)': lambda D, C, seed: rows(HoeffdingAdaptiveTree, D, C, random_seed=1 + seed),
         'kNN (CapyMOA)': lambda D, C, seed: rows(KNN, D, C, k=5, window_size=1000),
         'SAM-kNN (CapyMOA)': lambda D, C, seed: rows(SAMkNN, D, C)}

if __name__ == '__main__': run(PEERS, version('capymoa'), __doc__)
