"""Check the package's types with mypy. Two habits of this code hide types from a checker: methods that `@patch` adds to a class
after it, and buffers that `register_buffer` names in a string. A copy in which both stand in the class itself is what mypy sees."""
import ast
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

package = Path(__file__).resolve().parent.parent/'plasticish'


def patched(node):
    "Classes that a top-level function is patched into; empty for an ordinary one"
    marks = [ast.unparse(d) for d in node.decorator_list] if isinstance(node, ast.FunctionDef) else []
    if not any(m.startswith('patch') and not m.startswith('patch_to') for m in marks): return []
    return re.findall(r'\w+', ast.unparse(node.args.args[0].annotation).strip("'"))


def source(lines, node, shift):
    "A node's lines, `patch` turned into what it does, shifted into a class"
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    text = lines[first-1:node.end_lineno]
    out = []
    for line in text:
        line = re.sub(r'^@patch\(as_prop=True\)', '@property', line)
        line = re.sub(r'^@patch\(cls_method=True\)', '@classmethod', line)
        if re.match(r'^@patch\b', line): continue
        out.append(re.sub(r'^(def \w+\(\s*(?:self|cls))\s*:\s*[^,)#=]*?(?=\s*[,)#=])', r'\1', line))
    return [shift + line if line.strip() else line for line in out]


def rewritten(files):
    "(name, text) of every module, with patched methods and buffers inside their classes"
    parsed = {f: (f.read_text(encoding='utf-8').split('\n'), ast.parse(f.read_text(encoding='utf-8'))) for f in files}
    home = {n.name: f for f, (_, tree) in parsed.items() for n in tree.body if isinstance(n, ast.ClassDef)}
    for f, (lines, tree) in parsed.items():
        methods, gone = defaultdict(list), set()
        for n in tree.body:
            for c in patched(n):
                if home.get(c) != f: continue
                methods[c] += ['', *source(lines, n, '    ')]
                gone.update(range(min([n.lineno, *(d.lineno for d in n.decorator_list)]), n.end_lineno + 1))
        out, ends = [], {n.end_lineno: n for n in tree.body if isinstance(n, ast.ClassDef)}
        for i, line in enumerate(lines, 1):
            out.append('' if i in gone else line)
            if i in ends:
                c, whole = ends[i], '\n'.join([ast.unparse(ends[i]), *methods[ends[i].name]])
                names = sorted(set(re.findall(r"register_buffer\(\s*'(\w+)'", whole)))
                loops = re.findall(r"for (?:\w+) in \(([^)]*)\): self\.register_buffer", whole)
                names += re.findall(r"'(\w+)'", ' '.join(loops))
                out += [f'    {name}: Tensor' for name in names] + methods[c.name]
        yield f.name, '\n'.join(out)


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)/'plasticish'
        target.mkdir()
        for name, text in rewritten(sorted(package.glob('*.py'))): (target/name).write_text(text, encoding='utf-8')
        sys.exit(subprocess.call([sys.executable, '-m', 'mypy', '--config-file', str(package.parent/'mypy.ini'), '--cache-dir', str(Path(folder)/'cache'), str(target)], cwd=folder))
