"""What a reader may expect of every public name: a one-line docstring, every parameter explained (by a comment on its line, or by name in the docstring),
and an example that runs in the notebook (not for the parts of the bench and the arena in 08, which are shown by what they are part of). A method that overrides a documented one need not say it again. Prints what is missing and fails if anything is."""
import ast
import json
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
BY_TORCH = {'forward', 'get_extra_state', 'set_extra_state', 'load_state_dict', 'state_dict', 'train'}  # called by torch, so no example names them
UNSEEN = {'__init__', *BY_TORCH}
NOTEBOOKS = [*(root/'nbs/workshop').glob('*.ipynb'), *sorted((root/'nbs').glob('0*.ipynb'))]


def cells(notebook):
    "(exported?, source) of every code cell that may run"
    for c in json.loads(notebook.read_text(encoding='utf-8'))['cells']:
        source = ''.join(c['source'])
        if c['cell_type'] == 'code' and 'eval: false' not in source: yield '#| export' in source, source


def patched(node):
    "Class that a top-level function is patched into; None for an ordinary one"
    marks = [ast.unparse(d) for d in node.decorator_list]
    if not any(m == 'patch' or m.startswith('patch(') for m in marks): return None
    return re.findall(r'\w+', ast.unparse(node.args.args[0].annotation))[0]


def public(tree):
    "(class or None, node) of every public function, class and method"
    for n in tree.body:
        if isinstance(n, ast.FunctionDef) and not n.name.startswith('_') and not (patched(n) or '').startswith('_'): yield patched(n), n
        if isinstance(n, ast.ClassDef) and not n.name.startswith('_'):
            yield None, n
            for m in n.body:
                if isinstance(m, ast.FunctionDef) and (m.name == '__init__' or not m.name.startswith('_')): yield n.name, m


def parameters(node, method):
    "Parameters that a caller gives"
    args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return args[1:] if method and not any(ast.unparse(d) == 'staticmethod' for d in node.decorator_list) else args


def explained(arg, rest, doc):
    "Has the parameter a comment in the rest of its line, or does the docstring name it?"
    return '# ' in re.sub(r"('[^']*'|\"[^\"]*\")", '', rest) or bool(re.search(rf'`[^`]*\b{arg}\b[^`]*`|\b{arg} \[' + (rf'|\b{arg}\b' if len(arg) > 2 else ''), doc))


class Reader:
    "Goes through the notebooks in their order, and remembers what classes have been told about"
    def __init__(self): self.bases, self.told = {}, {}

    def inherited(self, home, name):
        "Parameters of `name` that a base of the class `home` explains; None if no base has it"
        found = [p for b in self.bases.get(home, ()) for p in [self.told.get((b, name), self.inherited(b, name))] if p is not None]
        return set().union(*found) if found else None

    def missing(self, notebook):
        "(name, what it lacks) for the public names of a notebook"
        code = list(cells(notebook))
        shown = '\n'.join(s for exported, s in code if not exported)
        for exported, source in code:
            if not exported: continue
            for home, n in public(ast.parse(source)):
                if isinstance(n, ast.ClassDef): self.bases[n.name] = [ast.unparse(b) for b in n.bases]
                for what in self.of(home, n, source.split('\n'), shown): yield f'{home}.{n.name}' if home else n.name, what

    def of(self, home, n, lines, shown):
        "What one name lacks"
        doc, known = ast.get_docstring(n) or '', self.inherited(home, n.name) if home else None
        if n.name not in UNSEEN and known is None:
            if not doc: yield 'no docstring'
            if not re.search(rf'\b{re.escape(n.name)}\b', shown): yield 'no example'
        if '\n' in doc.strip(): yield 'docstring of more than a line'
        if isinstance(n, ast.ClassDef): return
        names = {a.arg: lines[a.end_lineno - 1].encode()[a.end_col_offset:].decode() for a in parameters(n, home)}
        bare = [a for a, rest in names.items() if not explained(a, rest, doc) and a not in (known or ())]
        self.told[home, n.name] = set(names) - set(bare) | (known or set())
        if bare and not (n.name in BY_TORCH and n.name != 'forward'): yield 'no comment for ' + ', '.join(bare)


if __name__ == '__main__':
    reader = Reader()
    found = [(f.name, *m) for f in NOTEBOOKS for m in reader.missing(f) if not (f.stem in ('08_experiments', 'bench', 'cli') and m[1] == 'no example')]
    for row in found: print('%s: %s: %s' % row)
    sys.exit(bool(found))
