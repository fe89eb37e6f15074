"Write README.md from nbs/index.ipynb, so that both always say the same"
import json
from pathlib import Path

root = Path(__file__).resolve().parent.parent


def text_outputs(cell):
    "The plain text that a code cell printed or returned"
    for out in cell['outputs']:
        data = out.get('text') or out.get('data', {}).get('text/plain', [])
        if data: yield ''.join(data).rstrip('\n')


def render(cell):
    "One notebook cell as Markdown; hidden cells give nothing"
    source = ''.join(cell['source'])
    if cell['cell_type'] == 'markdown': return source
    if source.startswith('#| hide'): return ''
    source = '\n'.join(line for line in source.splitlines() if not line.startswith('#|'))
    blocks = [f'```python\n{source.strip()}\n```'] + [f'```\n{out}\n```' for out in text_outputs(cell)]
    return '\n\n'.join(blocks)


cells = json.loads((root/'nbs/index.ipynb').read_text(encoding='utf-8'))['cells']
parts = ['<!-- written from nbs/index.ipynb by .ci/readme.py: edit the notebook -->', *filter(None, map(render, cells))]
(root/'README.md').write_text('\n\n'.join(parts) + '\n', encoding='utf-8')
