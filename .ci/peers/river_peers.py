"""Peers from River on the same streams: `python .ci/peers/river_peers.py OUT` reads OUT/streams, which ours.py wrote, and
adds one line per (stream, learner) to OUT/peers.jsonl. Run it in an environment of its own: `pip install river numpy`."""
import sys

try:
    import river
    from river import forest, linear_model, neighbors, preprocessing, tree
except ImportError: sys.exit('skipped: River is not installed in this environment')
from peer import run


def rows(model):
    "(predict, learn) of a River model"
    as_dict = lambda x: dict(enumerate(x.tolist()))
    return lambda x: model.predict_one(as_dict(x)), lambda x, y: model.learn_one(as_dict(x), y)


def scaled(model): return preprocessing.StandardScaler() | model


PEERS = {'ARF (River)': lambda D, C, seed: rows(forest.ARFClassifier(seed=seed)),
         'HAT (River)': lambda D, C, seed: rows(tree.HoeffdingAdaptiveTreeClassifier(seed=seed)),
         'kNN (River)': lambda D, C, seed: rows(scaled(neighbors.KNNClassifier(n_neighbors=5))),
         'softmax (River)': lambda D, C, seed: rows(scaled(linear_model.SoftmaxRegression()))}

if __name__ == '__main__': run(PEERS, river.__version__, __doc__)
