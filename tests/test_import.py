"What is imported when: heavy packages only by what uses them"
import json
import subprocess
import sys

HEAVY = {'torchvision', 'matplotlib', 'pandas', 'sklearn', 'scipy', 'ipywidgets', 'IPython', 'fastapi', 'uvicorn', 'faiss', 'tensorboard'}
STEPS = [
    'import torch',
    'import plasticish',
    'from plasticish import PlasticVisualizer',
    'for name in plasticish.__all__: getattr(plasticish, name)',
    'import plasticish.cli, plasticish.serve, plasticish.bench, plasticish.experiments, plasticish.rivals, plasticish.pretrain',
]
CODE = '''
import json, sys
def names(): return sorted({m.partition('.')[0] for m in sys.modules})
out = []
for step in json.loads(sys.argv[1]): exec(step); out.append(names())
print(json.dumps(out))
'''


def test_heavy_packages_wait_until_they_are_used():
    run = subprocess.run([sys.executable, '-c', CODE, json.dumps(STEPS)], capture_output=True, text=True, check=True)
    before, *after = map(set, json.loads(run.stdout))
    for step, names in zip(STEPS[1:], after): assert not HEAVY & (names - before), step
