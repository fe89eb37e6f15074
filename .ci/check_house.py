"""What the layout promises: no import circle, no import of a floor above, and no stored output that belongs to one machine.
Prints what breaks it and fails if anything does; counts the exported lines of more than 120 characters, which fail nothing."""
import ast
import json
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
BOOK = 'eyes sparse_layer consolidation context memory brain training visualization experiments'.split()
UPPER = 'estimator deploy dashboard cli bench pretrain serve'.split()
GROUND = 'common distributed drawing history storms metrics experts late published sets unlabelled rivals search checkpoint base rebuild'.split()
PLAIN = 'checkpoint storms metrics'.split()  # import nothing but common
STORED = {'a path of a machine': r'(?<!\w)/(work|root|tmp|home|farm)/', 'a progress bar': r'%\|', 'a warning': 'Warning:'}


def imported(path, names):
    "Modules of this package that a module imports, at its top or later"
    for n in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(n, ast.Import): dotted = [a.name for a in n.names if a.name.startswith('plasticish.')]
        elif isinstance(n, ast.ImportFrom) and (n.level or (n.module or '').split('.')[0] == 'plasticish'):
            home = (n.module or '').split('.')[-1]
            dotted = [home] if home in names else [a.name for a in n.names]
        else: continue
        yield from (m for m in (d.split('.')[-1] for d in dotted) if m in names)


def reached(module, uses):
    "Everything that a module imports, directly or not"
    seen, todo = set(), [module]
    while todo:
        new = uses[todo.pop()] - seen
        seen |= new; todo += new
    return seen


def outputs(notebook):
    "(cell id, text) of every stored output that is not a bitmap"
    for i, c in enumerate(json.loads(notebook.read_text(encoding='utf-8'))['cells']):
        for o in c.get('outputs', ()):
            for t in (o.get('text', ''), o.get('traceback', ''), *(v for k, v in o.get('data', {}).items() if k not in ('image/png', 'image/jpeg', 'image/gif'))):
                yield c.get('id', i), ''.join(t) if isinstance(t, (str, list)) else json.dumps(t)


modules = {p.stem: p for p in sorted((root/'plasticish').glob('*.py')) if not p.stem.startswith('_')}
uses = {m: set(imported(p, modules)) for m, p in modules.items()}
bad = [f'{m} imports itself by way of {", ".join(u for u in sorted(uses[m]) if u == m or m in reached(u, uses))}' for m in uses if m in reached(m, uses)]
bad += [f'{m} of the book imports {u} of the upper rooms' for m in BOOK for u in UPPER if u in uses.get(m, ())]
bad += [f'{m} of the ground floor imports {u} of the {"book" if u in BOOK else "upper rooms"}' for m in GROUND for u in BOOK + UPPER if u in uses.get(m, ())]
bad += [f'{m} imports {u}, and should import nothing but common' for m in PLAIN for u in GROUND if u != 'common' and u in uses.get(m, ())]
for f in sorted((root/'nbs').rglob('*.ipynb')):
    if '.ipynb_checkpoints' in f.parts: continue
    bad += [f'{f.relative_to(root).as_posix()}: cell {i} stores {what}: {t[max(0, at.start() - 30):at.end() + 30]!r}'
            for i, t in outputs(f) for what, found in STORED.items() if (at := re.search(found, t))]
long = sum(len(line) > 120 for p in modules.values() for line in p.read_text(encoding='utf-8').split('\n'))
print(f'{long} exported lines of more than 120 characters')
print('\n'.join(dict.fromkeys(bad)) or 'ok')
sys.exit(bool(bad))
