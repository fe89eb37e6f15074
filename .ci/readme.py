"Write README.md from nbs/index.ipynb, so that both always say the same"
import json
import re
from pathlib import Path

root = Path(__file__).resolve().parent.parent
PAGE = re.compile(r'(?<=\]\()(?!https?://)([\w/]+\.ipynb)')  # a page of the site, as the notebook links it


def on_github(text):
    "Links to pages of the site as links to their notebooks"
    return PAGE.sub(r'https://github.com/example/plasticish/blob/main/nbs/\1', text)


def text_outputs(cell):
    "The plain text that a code cell printed or returned"
    for out in cell['outputs']:
        data = out.get('text') or out.get('data', {}).get('text/plain', [])
        if data: yield ''.join(data).rstrip('\n')


def render(cell):
    "One notebook cell as Markdown; hidden cells give nothing"
    source = ''.join(cell['source'])
    if cell['cell_type'] == 'markdown': return on_github(source)
    if source.startswith('#| hide'): return ''
    source = '\n'.join(line for line in source.splitlines() if not line.startswith('#|'))
    blocks = [f'```python\n{source.strip()}\n```'] + [f'```\n{out}\n```' for out in text_outputs(cell)]
    return '\n\n'.join(blocks)


cells = json.loads((root/'nbs/index.ipynb').read_text(encoding='utf-8'))['cells']
parts = ['<!-- written from nbs/index.ipynb by .ci/readme.py: edit the notebook -->', *filter(None, map(render, cells))]
text = '\n\n'.join(parts).replace('\n```\n\n```python\n', '\n\n')  # cells in a row are one block
(root/'README.md').write_text(text + '\n', encoding='utf-8')
