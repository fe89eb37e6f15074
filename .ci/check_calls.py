"""Cells that no test runs (data, slow, gpu) grow old: each call of a function of the package, in any notebook, must fit that function's parameters.
Prints those that do not, and imports of names that are gone; fails if there are any."""
import ast
import importlib
import inspect
import json
import sys
from pathlib import Path

nbs = Path(__file__).resolve().parent.parent/'nbs'


def code(notebook):
    "All code cells, parsed as one program; lines for IPython and the shell left out"
    cells = [''.join(c['source']) for c in json.loads(notebook.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    return ast.parse('\n'.join(line for c in cells for line in c.split('\n') if not line.lstrip().startswith(('%', '!'))))


def imported(tree):
    "(name in the notebook, what it is, or None if it is gone) of all that comes from the package by name"
    for n in ast.walk(tree):
        if not isinstance(n, ast.ImportFrom) or (n.module or '').split('.')[0] != 'plasticish': continue
        for a in n.names:
            if a.name == '*': continue
            try: yield a.asname or a.name, getattr(importlib.import_module(n.module), a.name, None) or importlib.import_module(f'{n.module}.{a.name}')
            except ImportError: yield a.asname or a.name, None


def misfits(tree):
    "What is wrong with the imports and calls of a notebook"
    known = dict(imported(tree))
    yield from (f'{name} is gone' for name, what in known.items() if what is None)
    own = {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))} | {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    own |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for n in ast.walk(tree):
        if not (isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and callable(known.get(n.func.id))) or n.func.id in own: continue
        if any(isinstance(a, ast.Starred) for a in n.args) or any(k.arg is None for k in n.keywords): continue
        try: signature = inspect.signature(known[n.func.id])
        except ValueError: continue  # some built-in types tell none
        try: signature.bind(*n.args, **{k.arg: k.value for k in n.keywords})
        except TypeError as e: yield f'{ast.unparse(n)[:80]}: {e}'


if __name__ == '__main__':
    found = [f'{f.relative_to(nbs)}: {what}' for f in sorted(nbs.rglob('*.ipynb')) if '.ipynb_checkpoints' not in f.parts for what in misfits(code(f))]
    print('\n'.join(found) or 'ok'); sys.exit(bool(found))
