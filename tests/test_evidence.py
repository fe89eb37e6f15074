"The command that computes the results pages: every cell once, sets that are not there left out"
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from plasticish.experiments import Arena, Cells, digit_halves, lesson
from plasticish.eyes import FeatureDataset
from plasticish.rivals import ClassMean

root = Path(__file__).resolve().parent.parent


@pytest.fixture
def data(tmp_path):
    "A data folder with one small stream and a small set with domains"
    rng = np.random.default_rng(0)
    (tmp_path/'data'/'streams').mkdir(parents=True)
    y = np.arange(200) % 2
    np.savez(tmp_path/'data'/'streams'/'keystroke.npz', X=rng.normal(size=(200, 3)) + 3*y[:, None], y=y)
    y, domain = np.arange(560) % 7, np.arange(560) % 4
    np.savez(tmp_path/'data'/'pacs_efl0.npz', X=np.eye(7)[y] + .1*rng.normal(size=(560, 7)), y=y, domain=domain, test=np.arange(560) % 5 == 0,
             domain_names=np.array(['art_painting', 'cartoon', 'photo', 'sketch']))
    return tmp_path/'data'


def compute(data, out, *more):
    env = dict(os.environ, PYTHONPATH=str(root), OMP_NUM_THREADS='1')
    run = subprocess.run([sys.executable, root/'.ci/peers/ours.py', data, out, *more], capture_output=True, text=True, env=env, timeout=300)
    assert run.returncode == 0, run.stderr
    return run.stdout


def lines(file): return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_cell_is_computed_once(data, tmp_path):
    out, few = tmp_path/'out', ('--orders', '2', '--sets', 'PACS, domains$|keystroke|NLU$', '--learners', 'class mean|SAM|logistic')
    said = compute(data, out, *few)
    assert 'NLU: skipped' in said and 'elec2.npz' in said
    many, drift = lines(out/'many_classes.jsonl'), lines(out/'drift.jsonl')
    assert [(r['key']['set'], r['key']['learner'], r['key']['seed']) for r in many] == [('PACS, domains', 'class mean', 0), ('PACS, domains', 'class mean', 1)]
    assert all(r['accuracy'] > 95 and len(r['curve']) == 4 for r in many)
    assert {r['key']['learner'] for r in drift} == {'online logistic regression', 'SAM-kNN'} and len(drift) == 4
    assert all(r['accuracy'] > 70 for r in drift) and [(out/f/'streams'/'keystroke.npz').is_file() for f in ('.', 'by_row')] == [True, True]
    assert {r['key']['batch'] for r in lines(out/'by_row'/'drift.jsonl')} == {1}
    before = {f.name: f.read_bytes() for f in out.glob('*.jsonl')}
    compute(data, out, *few)
    assert {f.name: f.read_bytes() for f in out.glob('*.jsonl')} == before


def test_cells_of_earlier_code_are_told_apart(data, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(root/'.ci/peers')
    import ours
    compute(data, tmp_path, '--orders', '2', '--only', 'many_classes', '--sets', 'PACS, domains$', '--learners', 'class mean')
    cells = Cells(tmp_path/'many_classes.jsonl').table()
    assert ours.of_today(cells).tolist() == [True, True]
    cells.loc[0, 'made_by'] = 'another digest'
    assert ours.of_today(cells).tolist() == [False, True]
    monkeypatch.setitem(ours.SAME, 'another digest', {'is': cells.made_by[1]})
    assert ours.of_today(cells).tolist() == [True, True]


def test_peers_are_asked_what_ours_are_asked(tmp_path, monkeypatch):
    "The storm inverts the low digits only; a class mean is right as often in our lesson as by way of the file that peers read"
    monkeypatch.syspath_prepend(root/'.ci/peers')
    import ours
    import peer
    def rows(n, storm, seed):
        y = torch.arange(n) % 10
        x = torch.eye(10)[y] + .4*torch.randn(n, 10, generator=torch.Generator().manual_seed(seed))
        return FeatureDataset(1 - x if storm else x, y)
    features = {f'{d}{k}': rows(n, d, i) for d in ('', 'storm_') for i, (k, n) in enumerate(dict(train=300, valid=100, test=200).items())}
    arena = Arena(features, digit_halves(storm=True))
    ours.write_lesson(arena, features, tmp_path/'lessons'/'digits.npz')
    def learned(x, y, parts, C):
        learner = ClassMean(x.shape[1], C)
        learner.partial_fit(x, y)
        return learner.predict
    monkeypatch.setattr(sys, 'argv', ['peer', str(tmp_path)])
    peer.run_lessons({'class mean': learned}, '1', '')
    theirs = lines(tmp_path/'peers_many.jsonl')[0]['accuracy']
    assert 20 < theirs < 95 and theirs == pytest.approx(lesson(arena, ClassMean)['accuracy'], abs=1e-4)


def test_the_landing_page_gets_the_table_of_all_sets(data, tmp_path):
    out, page = tmp_path/'out', tmp_path/'page.ipynb'
    def rows(file, *cells): (out/file).write_text(''.join(json.dumps(c) + '\n' for c in cells))
    def one(name, learner, accuracy, seed=0): return dict(key=dict(set=name, learner=learner, seed=seed), accuracy=accuracy, curve=[accuracy, accuracy + 1])
    out.mkdir()
    rows('many_classes.jsonl', *[one('a set', *v, s) for v in (('Plastic Brain', 90 + .1), ('kNN', 80.)) for s in (0, 1)])
    rows('drift.jsonl', one('elec2', 'PlasticClassifier', 70.)); rows('peers.jsonl', one('elec2', 'a tree', 80.))
    (out/'by_row').mkdir()
    rows('by_row/drift.jsonl', one('elec2', 'PlasticClassifier', 71.), one('elec2', 'a line', 60.), one('elec2', 'a line', 99., 1))
    marks = [f'<!-- {end}{name} -->\n' for name in ('all sets', 'verdict', 'by row', 'verdict by row') for end in ('', 'end of ')]
    cell = dict(cell_type='markdown', id='x', metadata={}, source=['before\n', marks[0], 'old\n', *marks[1:], 'after'])
    page.write_text(json.dumps(dict(cells=[cell], metadata={}, nbformat=4, nbformat_minor=5)))
    subprocess.run([sys.executable, root/'.ci/peers/table.py', out, page], check=True, env=dict(os.environ, PYTHONPATH=str(root)))
    text = ''.join(json.loads(page.read_text())['cells'][0]['source'])
    assert text.startswith('before') and text.endswith('after') and 'old' not in text
    assert '| a set | 2 | **90.1 ± 0.0** | – | – | 80.0 ± 0.0 kNN | – |' in text and '| elec2 | 1 | – | – | 70.0 | **80.0** a tree | – |' in text
    assert 'Of 2, one of ours is clearly ahead on 1: a set. The best of ours is clearly behind on 1: elec2 (a tree).' in text
    assert '| elec2 | 1 | – | – | **71.0** | 60.0 a line |' in text and 'ahead on 1: elec2. The best of ours is clearly behind on 0.' in text


def test_a_peer_that_is_not_installed_is_skipped(tmp_path):
    for script in ('river_peers.py', 'capymoa_peers.py', 'capymoa_lessons.py', 'avalanche_peers.py'):
        run = subprocess.run([sys.executable, '-S', root/'.ci/peers'/script, tmp_path], capture_output=True, text=True, timeout=60)
        assert 'skipped' in run.stderr and run.returncode == 1
