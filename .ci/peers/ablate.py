"""What each part of the Plastic Brain is worth: `python .ci/peers/ablate.py DATA OUT` writes OUT/ablation.jsonl.
Each variant takes one part out, or puts one in that was tried and left out; streams in batches of 32, lessons on validation rows.
A cell that is there is not computed again."""
import argparse
import re
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F
from ours import LESSONS, Estimator, cell

from plasticish import base, brain, consolidation, experts, sets
from plasticish.base import VoteConfig
from plasticish.brain import PlasticBrain
from plasticish.experiments import Arena, Cells, Plastic, code_key, lesson, prequential
from plasticish.experts import ExpertPool, Majority


class Classifier(Estimator):
    "`PlasticClassifier` with some settings"
    def __init__(self, in_dim, n_classes, seed=0, **settings):
        super().__init__(in_dim, n_classes, seed)
        self.model.set_params(**settings)


def lasting_only(followed):
    def new(self, lasting, *rest): return lasting, followed(self, lasting, *rest)[1]
    return new


def only(keep):
    "`_followed` hears but those timescales"
    def wrap(followed):
        def new(self, lasting, recent, *rest):
            kept = torch.tensor([float(keep(i, len(recent[0]), self.recent.direct)) for i in range(len(recent[0]))])
            return followed(self, lasting, (recent[0], recent[1]*kept[:, None, None]), *rest)
        return new
    return wrap


def silent(*columns):
    "Evidence without those parts"
    def wrap(evidence):
        def new(*args):
            u = evidence(*args).clone()
            u[..., list(columns)] = 0
            return u
        return new
    return wrap


def with_recent_vote(scores):
    "The five nearest of the last 1 000 rows vote as one more timescale"
    def new(self, f, mode):
        seen = brain.directions(f, self.power)
        evidence, calm, stormy = self._evidence(seen[0], self._encode(f, mode, seen)[1])
        score, known = self.recent(f, seen)
        m, n = self.memory, self.memory.count
        slots = (m.ids[:n] >= int(m.counters[2]) - 1000).nonzero()[:, 0]
        if len(slots) < 5: vote, heard = score[1], 0*known[1:2]
        else:
            far, at = torch.cdist(F.normalize(f, dim=1), m.values(slots)).topk(5, dim=1, largest=False)
            w = 1/(far + 1e-3)
            vote, heard = score.new_full(score.shape[1:], .01).scatter_add_(1, m.labels[slots][at], w/w.sum(1, keepdim=True)), known[1:2]
        known = known.expand(len(known), len(f), -1)
        heard = heard.expand(1, len(f), -1)
        shares, answers = self._followed(self.lasting(evidence), (torch.cat([score, vote[None]]), torch.cat([known, heard])), self._heard(stormy))
        return shares, shares if calm is None else calm, answers, shares.new_zeros(len(f), 1) if stormy is None else stormy
    return new


def one_more(make_timescales):
    def new(self, *args, **kwargs):
        make_timescales(self, *args, **kwargs)
        L, few = len(self.recent.decays) + 1, self.recent.direct
        self.today = ExpertPool([1.] + [0.]*L, [10.]*(1 + L), needed=3. if few else 10.)
        self.majority = Majority(2 + L, lead=6. if few else 1e6)
    return new


def with_retirement(keep_storm):
    "What a lasting change contradicts is forgotten: items at most one of whose five nearest new items has their label"
    def new(self):
        m = self.memory
        fresh = m.temporary[:m.count] & (m.ids[:m.count] >= self.alarm_id)
        old = (~m.temporary[:m.count]).nonzero()[:, 0]
        near = torch.cdist(m.values(old), m.values(fresh.nonzero()[:, 0])).topk(5, dim=1, largest=False).indices
        alike = (m.labels[:m.count][fresh][near] == m.labels[old][:, None]).sum(1)
        gone = m.ids[old[alike <= 1]].tolist()
        keep_storm(self)
        if gone: self.forget(ids=gone)
    return new


def same(value): return lambda old: value
UNCHANGED, CHANGES = 'as it is', {  # what is changed: (owner, name, old -> new), or settings of the brain
    'always in mode plastic': dict(mode='plastic'),
    'no timescale': [(base.Brain, '_followed', lasting_only)],
    'one timescale, of 1 000 rows': [(base.Brain, '_followed', only(lambda i, n, few: i == 1))],
    'no linear and no hinge readout': [(base.Brain, '_followed', only(lambda i, n, few: not few or i < n - 2))],
    'the pool of timescales alone': [(Majority, 'forward', same(lambda self, answers: answers[..., -1]))],
    'no pool of timescales': [(ExpertPool, 'trust', same(property(lambda self: torch.zeros(()))))],
    'familiarity is not asked': [(consolidation, 'familiarity', same(lambda h, *rest: h.new_ones(len(h))))],
    'shares of classes may fall': [(consolidation, 'still_shown', same(lambda count: torch.ones_like(count[0])))],
    'no near vote': [(brain, 'lasting_evidence', silent(1))],
    'no vote': [(brain, 'lasting_evidence', silent(0, 1))],
    'no logarithm of the readout': [(m, 'scored_evidence', silent(1)) for m in (brain, experts)],
    'no readout': [(m, 'scored_evidence', silent(0, 1)) for m in (brain, experts)],
    'weights of the lasting parts stay': [(PlasticBrain, '_weigh', same(lambda *args: None))],
    'features are not compressed': dict(power=1.),
    'the vote by plain cosine': dict(shrinkage=None),
    'no storm readout': [(brain, 'mix', same(lambda a, b, share: experts.widened(a, max(a.shape[1], b.shape[1]))))],
    'in a storm all hear what forgets': [(PlasticBrain, '_heard', same(lambda self, stormy: 1.))],
    'with a vote of the last 1 000 rows': [(PlasticBrain, '_scores', with_recent_vote), (base.Brain, '_make_timescales', one_more)],
    'with retirement of what a change contradicts': [(PlasticBrain, '_keep_storm', with_retirement)]}


def reversed_sine(n=8000):
    "Sine, reversed for good at a quarter: the alarm ends as a change while the stream goes on"
    s = sets.sine(n)
    turned = (torch.arange(n) >= n//4).numpy() ^ (torch.arange(n) >= n//2).numpy()
    return sets.Stream('sine, reversed at a quarter', s.x, s.y ^ turned, (n//4,))


def streams(root):
    for name in sets.STREAMS: yield sets.read_stream(root, name).head(10_000)
    for make in (partial(sets.sea, noise=.1), sets.agrawal, sets.moving_rbf, sets.hyperplane): yield make(seed=0)
    yield sets.swap_labels(sets.moving_rbf(classes=4, speed=0., seed=0))
    yield reversed_sine()


FEWER = 'elec2', 'outdoor', 'insects_gradual', 'SEA', 'Agrawal', 'moving RBF', 'sine, reversed at a quarter'
TAUGHT = 'CIFAR-10, 5 000 rows', 'CIFAR-10, five storms', 'PACS, domains and classes', 'NLU'


def measure(a, cells, variant, told):
    "The cells of one variant that are not there yet"
    def measured(name, learner, make, compute):
        if re.search(a.sets, name): cell(cells, dict(set=name, learner=variant, part_of=learner, seed=0, code=code_key(make)), partial(compute, make))
    for s in streams(a.data):
        if s.name in FEWER or variant == UNCHANGED or 'mode' in told:  # the two modes are compared on all streams
            measured(s.name, 'PlasticClassifier', partial(Classifier, **told), lambda make, s=s: prequential(make, s, 0, 32))
    vote = {k: v for k, v in told.items() if k != 'mode'}
    for name in TAUGHT:
        make = partial(Plastic, **{k: v for k, v in told.items() if k == 'mode'}, **({'vote': VoteConfig(**vote)} if vote else {}))
        features, curriculum = LESSONS[name]
        measured(name, 'Plastic Brain', make, lambda make, f=features, c=curriculum: lesson(Arena(f(a.data), c(0)), make, 0, 'valid'))


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('data'); p.add_argument('out', type=Path)
    p.add_argument('--variants', default='', help='a pattern'); p.add_argument('--sets', default='', help='a pattern')
    a = p.parse_args()
    torch.set_num_threads(1)
    for variant, change in {UNCHANGED: {}, **CHANGES}.items():
        if not re.search(a.variants, variant): continue
        with ExitStack() as stack:
            for owner, name, new in change if isinstance(change, list) else ():
                stack.enter_context(patch.object(owner, name, new(getattr(owner, name))))
            measure(a, Cells(a.out/'ablation.jsonl'), variant, change if isinstance(change, dict) else {})
