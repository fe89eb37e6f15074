"What must hold whatever happens: properties, tried on random histories"
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import difference

from plasticish.brain import PlasticBrain, ReadoutConfig, TriarchicBrain
from plasticish.consolidation import gram_add_, mirrored
from plasticish.context import ContextWeights
from plasticish.memory import BankConfig, EpisodicMemoryBank, PlasticMetric, class_quotas, survivors
from plasticish.sparse_layer import encoder_sums, k_winners, sparse_code

D, C = 6, 4
def tries(n): return settings(max_examples=n, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def drawn(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(C, (n,), generator=g)
    return torch.randn(C, D, generator=torch.Generator().manual_seed(9))[y] + torch.randn(n, D, generator=g), y

@tries(150)
@given(B=st.integers(1, 5), H=st.sampled_from([1, 2, 7, 16, 64, 128]), k=st.integers(1, 64), levels=st.integers(1, 30), seed=st.integers(0, 10**6), published=st.booleans())
def test_exactly_k_winners(B, H, k, levels, seed, published):
    k = min(k, H)
    h = torch.randint(-levels, levels + 1, (B, H), generator=torch.Generator().manual_seed(seed)).float()  # many ties
    idx, val = k_winners(h, k)
    assert idx.shape == val.shape == (B, k) and all(len(set(r)) == k for r in idx.tolist())
    assert torch.equal(h.gather(1, idx), val) and torch.equal(val, h.sort(1, descending=True).values[:, :k])
    who, how = sparse_code(h, k, published)
    assert who.shape == (B, k) and bool((how >= 0).all()) and torch.allclose(how.norm(dim=1), torch.ones(B), atol=1e-5)

@tries(80)
@given(n=st.integers(1, 60), cap=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_quotas_fill_the_places(n, cap, seed):
    _, y = drawn(n, seed)
    q = class_quotas(torch.bincount(y), cap)
    assert int(q.sum()) == min(n, cap) and bool((q <= torch.bincount(y)).all())
    full = q < torch.bincount(y)
    if full.any(): assert int(q.max() - q[full].min()) <= 1, 'a class that had to give up places has as many as any other'
    assert int(survivors(y, torch.rand(n), cap).sum()) == min(n, cap)

STEPS = st.lists(st.tuples(st.sampled_from(['add', 'add', 'add', 'storm', 'ids', 'label', 'phase', 'clear', 'reload', 'refresh']), st.integers(1, 25), st.integers(0, 10**6)), min_size=1, max_size=9)
@tries(120)
@given(policy=st.sampled_from(['ring', 'balanced']), storage=st.sampled_from(['float32', 'float16', 'int8']), metric=st.booleans(), size=st.integers(1, 40), steps=STEPS)
def test_what_the_bank_holds(policy, storage, metric, size, steps):
    "fill = added - forgotten - evicted; ids are unique for ever; each id keeps its label, phase and features"
    def new(): return EpisodicMemoryBank(D, size, 3, C, policy=policy, metric=PlasticMetric(D, C) if metric else None, store=BankConfig(storage=storage))
    b, added, forgotten, evicted, given_ids, truth = new(), 0, 0, 0, set(), {}
    for what, n, seed in steps:
        before = set(b.ids[:len(b)].tolist())
        if what in ('add', 'storm'):
            x, y = drawn(n, seed)
            ids = b.update(x, y, f'p{n % 3}', what == 'storm').tolist()
            assert not given_ids & set(ids) and len(set(ids)) == n
            given_ids |= set(ids); added += n
            truth.update({i: (int(c), f'p{n % 3}', torch.nn.functional.normalize(v, dim=0)) for i, c, v in zip(ids, y, x)})
            now = set(b.ids[:len(b)].tolist())
            assert now <= before | set(ids)
            evicted += len(before) + n - len(now)
        elif what in ('ids', 'label', 'phase'):
            arg = {'ids': list(range(seed % 50, seed % 50 + n)), 'label': seed % C, 'phase': f'p{n % 3}'}[what]
            if what == 'phase' and arg not in b.phase_names: continue
            gone = b.forget(**{what: arg})
            left = set(b.ids[:len(b)].tolist())
            assert left < before if gone else left == before
            assert all({'ids': i in arg if what == 'ids' else None, 'label': truth[i][0] == arg, 'phase': truth[i][1] == arg}[what] for i in before - left)
            forgotten += gone
        elif what == 'clear': forgotten += len(b); b.clear()
        elif what == 'refresh': b.refresh()
        else:
            saved = {k: v.clone() for k, v in b.state_dict().items()}
            b = new(); b.load_state_dict(saved)
            assert difference(saved, dict(b.state_dict())) is None
        assert len(b) == added - forgotten - evicted <= size and 0 <= b.get_fill_ratio() <= 1
        stored = b.ids[:len(b)].tolist()
        assert len(set(stored)) == len(b) and set(stored) <= given_ids and bool((b.ids[len(b):] == -1).all())
        for slot, i in enumerate(stored):
            label, phase, v = truth[i]
            assert int(b.labels[slot]) == label and b.phase_names[int(b.phases[slot])] == phase
            assert torch.allclose(b.values([slot])[0], v, atol=.02)
        if len(b):
            q, _ = drawn(4, 1)
            sim, slots = b.search(q)
            assert bool((slots >= 0).all()) and bool((slots < len(b)).all()) and torch.isfinite(sim).all() and torch.allclose(b(q).sum(1), torch.ones(4), atol=1e-4)
            assert all(len(set(r)) == len(r) for r in slots.tolist())

LIFE = st.lists(st.tuples(st.sampled_from(['learn', 'learn', 'learn', 'panic', 'auto', 'watch', 'add', 'wide', 'remove', 'replace', 'back', 'freeze', 'unfreeze', 'sleep', 'forget', 'reload', 'switch']), st.integers(1, 40), st.integers(0, 10**6)), min_size=2, max_size=12)
def live(brain, new, steps):
    "Do what the steps say; the brain, which may be a new one"
    out = []
    for what, n, seed in steps:
        x, y = drawn(n, seed)
        L = brain.num_layers
        if what in ('learn', 'panic', 'auto'): assert 0 <= brain.train_step(x, y, 'plastic' if what == 'learn' else what, memorize=seed % 5 > 0, phase=f'p{n % 2}') <= 1
        elif what == 'watch': brain.train_step(x, y, 'inference', memorize=False)
        elif what == 'add': assert brain.add_layer(seed % (L + 1)) == seed % (L + 1)
        elif what == 'wide': brain.add_layer(hidden_dim=8 + seed % 9, sparsity_k=3)
        elif what in ('remove', 'replace') and L: out.append(getattr(brain, f'{what}_layer')(seed % L))
        elif what == 'back' and L and out: brain.replace_layer(seed % L, out.pop())
        elif what in ('freeze', 'unfreeze') and L: getattr(brain, f'{what}_layer')(seed % L)
        elif what == 'sleep': brain.consolidate()
        elif what == 'switch': brain.set_neurogenesis(bool(n % 2))
        elif what == 'forget' and len(brain.memory): brain.forget(label=seed % C)
        elif what == 'reload':
            saved = {k: v.clone() for k, v in brain.state_dict().items()}
            other = new(); other.load_state_dict(saved)
            assert difference(saved, dict(other.state_dict())) is None, 'save, load, save'
            q, _ = drawn(5, 3)
            assert torch.equal(other(q), brain(q))
            brain = other
        valid(brain)
    return brain

def valid(brain):
    q, y = drawn(5, 2)
    before = {k: v.clone() for k, v in brain.state_dict().items()}
    p = brain(q)
    assert p.shape == (5, C) and torch.isfinite(p).all() and bool((p >= 0).all())
    assert not len(brain.memory) or torch.allclose(p.sum(1), torch.ones(5), atol=1e-4)
    assert difference(before, dict(brain.state_dict())) is None, 'asking moves nothing'
    for l in brain.brain:
        assert bool(((l.maturity >= 0) & (l.maturity <= 1)).all()) and torch.isfinite(l.encoder).all() and bool((l.activity >= 0).all())
        s = l.get_stats()
        assert 0 <= s['n_mature'] <= s['hidden_dim'] and 0 <= s['n_active'] <= s['hidden_dim']
    assert all(torch.isfinite(v).all() for v in before.values() if v.is_floating_point())

@tries(60)
@given(steps=LIFE, published=st.booleans(), layers=st.integers(0, 3), size=st.sampled_from([40, 1000]))
def test_surgery_in_any_order(steps, published, layers, size):
    "Whatever is added, removed, frozen, forgotten or reloaded, the brain answers and learns on"
    def new(): return PlasticBrain(D, 12, 3, layers, size, 5, C, published=published, readout=ReadoutConfig(n_neurons=24))
    brain = live(new(), new, steps)
    brain.train_step(*drawn(9, 5)); brain.consolidate(); valid(brain)

@tries(60)
@given(steps=st.lists(st.tuples(st.sampled_from(['plastic', 'plastic', 'panic', 'reload']), st.integers(1, 40), st.integers(0, 10**6)), min_size=1, max_size=10), published=st.booleans(), k=st.integers(1, 6), H=st.sampled_from([8, 33, 64]))
def test_the_triarchic_brain_stays_bounded(steps, published, k, H):
    "Importance in [0,1]; no more than k neurons fire; rates stay shares; what fires is finite"
    def new(): return TriarchicBrain(D, H, C, k, published=published)
    brain = new()
    for mode, n, seed in steps:
        if mode == 'reload':
            saved = {a: v.clone() for a, v in brain.state_dict().items()}
            brain = new(); brain.load_state_dict(saved)
            assert difference(saved, dict(brain.state_dict())) is None
            continue
        assert 0 <= brain.update_batch(*drawn(n, seed), mode) <= 1
        imp, stats = brain.core.importance, brain.get_stats()
        assert bool(((imp >= 0) & (imp <= 1)).all()) and 0 <= stats['n_active_neurons'] <= k
        assert bool(((brain.base.rate >= 0) & (brain.base.rate <= 1 + 1e-5)).all())
        logits, h = brain(drawn(7, 1)[0])
        assert torch.isfinite(logits).all() and bool(((h > 0).sum(1) <= k).all()) and bool((h >= 0).all())
        assert all(torch.isfinite(v).all() for v in brain.state_dict().values() if v.is_floating_point())

@tries(60)
@given(n=st.integers(2, 60), cuts=st.lists(st.integers(1, 59), max_size=4), seed=st.integers(0, 10**6))
def test_chunks_add_up_to_the_whole(n, cuts, seed):
    x, y = drawn(n, seed)
    x = torch.nn.functional.normalize(x, dim=1)
    parts = [p for p in torch.arange(n).tensor_split(sorted({c for c in cuts if c < n})) if len(p)]
    same = lambda a, b: all(torch.allclose(u, v, atol=1e-4) for u, v in zip(a, b))
    def metric(parts):
        m = PlasticMetric(D, C)
        for p in parts: m.update_(x[p], y[p])
        return m
    a, b = metric([torch.arange(n)]), metric(parts)
    assert same((a.count, a.sums, a.outer, a.covariance()), (b.count, b.sums, b.outer, b.covariance()))
    for p in parts: b.update_(x[p], y[p], sign=-1)
    assert float(b.count.sum()) == 0 and b.sums.abs().max() < 1e-9 and b.outer.abs().max() < 1e-9
    idx, val = k_winners(x @ torch.randn(D, 20, generator=torch.Generator().manual_seed(1)), 4)
    whole, firings = encoder_sums(x, idx, val, torch.ones(n), 20)
    sums = [encoder_sums(x[p], idx[p], val[p], torch.ones(len(p)), 20) for p in parts]
    assert same((whole,), (sum(s for s, _ in sums),)) and torch.equal(firings, sum(f for _, f in sums))
    G, H = torch.zeros(D, D), torch.zeros(D, D)
    gram_add_(G, x, block=2)
    for p in parts: gram_add_(H, x[p], block=5)
    assert same((mirrored(G), mirrored(G)), (x.T @ x, mirrored(H)))

@tries(40)
@given(n=st.integers(1, 60), seed=st.integers(0, 10**6), more=st.integers(1, 30))
def test_a_context_is_gone_in_the_end(n, seed, more):
    c = ContextWeights(16, C)
    idx, val = sparse_code(torch.randn(n, 16, generator=torch.Generator().manual_seed(seed)), 3)
    c.learn_(idx, val, torch.randn(n, C, generator=torch.Generator().manual_seed(seed + 1)))
    for _ in range(150): c.decay_()
    assert not c.weight.any()

@tries(40)
@given(n=st.integers(1, 40), m=st.integers(1, 40), seed=st.integers(0, 10**6), add=st.booleans())
def test_forgetting_is_as_if_it_had_never_been(n, m, seed, add):
    "Until something had to be evicted, a phase that is forgotten leaves the sums of a brain that never saw it"
    def new(): return PlasticBrain(D, 12, 3, 2, 500, 5, C, readout=ReadoutConfig(n_neurons=24))
    saw, never = new(), new()
    for b in (saw, never):
        b.train_step(*drawn(m, seed + 1), phase='kept')
    saw.train_step(*drawn(n, seed), phase='gone')
    for b in (saw, never):
        if add: b.add_layer()
        b.train_step(*drawn(m, seed + 2), phase='kept')
    assert saw.forget(phase='gone') == n
    for b in (saw, never): b.consolidate()
    waiting = int(never.readout.counters[0])
    assert torch.equal(saw.readout.waiting[:waiting], never.readout.waiting[:waiting])
    for b in (saw, never): b.flush() # sums that can be compared
    assert torch.allclose(mirrored(saw.readout.lateral), mirrored(never.readout.lateral), atol=1e-3)
    assert torch.allclose(saw.memory.metric.outer, never.memory.metric.outer, atol=1e-6)
    never.majority.load_state_dict(saw.majority.state_dict())
    never.today.load_state_dict(saw.today.state_dict()) # the weights of the parts keep what they learned
    q, _ = drawn(20, 4)
    assert torch.allclose(saw(q), never(q), atol=.02)
