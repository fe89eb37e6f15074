"""What the layout promises: no import circle, the book imports only the ground floor, and no stored output names a machine's path.
Prints what breaks it and fails if anything does."""
import ast
import json
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
BOOK = 'eyes sparse_layer consolidation context memory brain training visualization experiments'.split()
UPPER = 'estimator deploy dashboard cli bench pretrain'.split()
PATH = re.compile(r'(?<![\w.])/(work|root|tmp|home|farm)/')
BAR = re.compile(r'\d%\|')


def imported(path, names):
    "Modules of this package that a module imports"
    for n in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if not isinstance(n, ast.ImportFrom) or not (n.level or (n.module or '').startswith('plasticish')): continue
        home = (n.module or '').split('.')[-1]
        yield from [home] if home in names else [a.name for a in n.names if a.name in names]


def reached(module, uses, seen=()):
    "Everything that a module imports, directly or not"
    new = uses[module] - set(seen)
    return new.union(*(reached(m, uses, {*seen, *new}) for m in new))


def outputs(notebook):
    "(cell id, text) of every stored text output"
    for c in json.loads(notebook.read_text(encoding='utf-8'))['cells']:
        for o in c.get('outputs', ()):
            for t in (o.get('text', ''), *(v for k, v in o.get('data', {}).items() if k.startswith('text'))): yield c['id'], ''.join(t)


modules = {p.stem: p for p in (root/'plasticish').glob('*.py') if not p.stem.startswith('__')}
uses = {m: set(imported(p, modules)) - {m} for m, p in modules.items()}
bad = [f'{m} imports itself by way of {", ".join(sorted(uses[m]))}' for m in uses if m in reached(m, uses)]
bad += [f'{m} of the book imports {u} of the workshop\'s upper rooms' for m in BOOK for u in UPPER if u in uses[m]]
for f in sorted((root/'nbs').rglob('*.ipynb')):
    bad += [f'{f.name}: cell {i} stores {what}' for i, t in outputs(f)
            for what, found in (('a path of a machine', PATH), ('a progress bar', BAR)) if found.search(t)]
print('\n'.join(dict.fromkeys(bad)) or 'ok')
sys.exit(bool(bad))
