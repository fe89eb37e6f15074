"""What is in the packages, counted: `python .ci/peers/counts.py OUT` writes OUT/counts.json anew, with the packages that this environment has
added. What counts is a public name of the module that is a class, or for Avalanche's benchmarks a function, of the package itself."""
import json
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from inspect import isclass, isfunction
from pathlib import Path

PACKAGES = {  # package: (its distribution, what is counted: module and kind)
    'Avalanche': ('avalanche-lib', {'strategies': ('avalanche.training.supervised', isclass), 'benchmarks': ('avalanche.benchmarks.classic', isfunction)}),
    'CapyMOA': ('capymoa', {k: (f'capymoa.{m}', isclass) for k, m in {'classifiers': 'classifier', 'regressors': 'regressor', 'anomaly detectors': 'anomaly',
                                                                    'clusterers': 'cluster', 'drift detectors': 'drift.detectors', 'streams': 'datasets'}.items()}),
    'River': ('river', {k: (f'river.{m}', isclass) for k, m in {'forests': 'forest', 'trees': 'tree', 'linear models': 'linear_model', 'neighbours': 'neighbors',
                        'anomaly detectors': 'anomaly', 'clusterers': 'cluster', 'time series': 'time_series', 'recommenders': 'reco',
                        'drift detectors': 'drift', 'generators': 'datasets.synth', 'streams': 'datasets'}.items()})}


def count(module, kind):
    "Public names of this kind that the package defines"
    m = import_module(module)
    return sum(kind(o) and not n.startswith('_') and o.__module__.split('.')[0] == module.split('.')[0] for n, o in vars(m).items())


if __name__ == '__main__':
    file = Path(sys.argv[1])/'counts.json'
    told = json.loads(file.read_text()) if file.exists() else {}
    for name, (distribution, what) in PACKAGES.items():
        try: told[name] = dict(version=version(distribution), **{k: count(*v) for k, v in what.items()})
        except PackageNotFoundError: print(f'skipped: {name} is not installed in this environment')
    file.write_text(json.dumps(told, indent=1))
    print(file.read_text())
