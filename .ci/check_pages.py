"""What a page of the site must have, checked in the notebooks and the style sheet, without Quarto and in a second: an opening in prose, prose under every heading before
a signature, classes before their methods, a caption and an alternative text for every picture, lines of code that fit, stored outputs without warnings, progress bars, paths of a machine,
NaN or long decimals, at most 1 MB, links that lead somewhere, anchors of pictures, versions in step, settings of the site, and colours of our own with a contrast of 4.5 to 1.
Prints what is missing and fails if anything is."""
import base64
import configparser
import json
import re
import sys
from pathlib import Path

import yaml

root = Path(__file__).resolve().parent.parent
nbs = root/'nbs'
SHORT = {'index.ipynb': 80, 'tutorials': 80}  # longest line of code in characters, by page or folder; the site wraps what is longer
LONG_NUMBER = re.compile(r'<td>(NaN|-?\d+\.\d{5,})</td>')
IN_PLAIN = re.compile(r'(?<![\w.])-?\d+\.\d{6,}')
LEFT_OVER = re.compile(r'/(?:tmp|root|home|Users)/\w|\d+%\||it/s\]|Traceback|\bnan\b|(?<![\w.])-?\d+\.\d{8,}')  # in printed text
HIDDEN = re.compile(r'^#\| *(hide|default_exp|export|exporti)\s', re.M)
EARLY = re.compile(r'^#\| *(export|exports|exec_doc)\b', re.M)


def source(cell): return ''.join(cell['source'])


def images(cell): return [o for o in cell.get('outputs', ()) if 'image/png' in o.get('data', {})]


def thin(output):
    "Is a stored picture of less than double density? The page shows it at the width that stands in its metadata"
    wide = int.from_bytes(base64.b64decode(''.join(output['data']['image/png']))[16:20], 'big')  # where a PNG holds its width
    return wide < 1.9*output.get('metadata', {}).get('image/png', {}).get('width', wide)


def unrounded(number):
    "Has a number more than four digits, zeros in front not counted?"
    return len(re.sub(r'^-?0*\.?0*|\.', '', number)) > 4


def of_cell(cell):
    "What one cell lacks"
    text = source(cell)
    if cell['cell_type'] == 'markdown':
        if '![](' in text: yield 'a picture without alternative text'
        if re.search(r'^!\[[^]]+\]\([^)]+\)\n\n\*', text, re.M): yield 'a picture whose alternative text the site shows as a caption above the caption; put a backslash and no empty line between'
        return
    if '@dataclass' in text and re.search(r'^#\| *export *$', text, re.M): yield 'a dataclass whose fields the site does not explain: export it with exports'
    if images(cell) and not re.search(r'^#\| *fig-alt: *"[^"]{20,}"', text, re.M): yield 'a figure without fig-alt (20 letters at least)'
    if images(cell) and 'fig-cap:' not in text: yield 'a figure without fig-cap'
    if any(map(thin, images(cell))): yield 'a figure that is not of double density; `python .ci/refresh.py NOTEBOOK` makes it so'
    if text.count('fig-alt:') > 1 or text.count('fig-cap:') > 1: yield 'two captions or alternative texts'
    for o in cell.get('outputs', ()):
        if o.get('name') == 'stderr': yield 'a stored warning; `python .ci/refresh.py NOTEBOOK tidy` drops it'
        data = o.get('data', {})
        printed = ''.join(o.get('text', ())) or ('' if 'text/html' in data else ''.join(data.get('text/plain', ())))
        if left := LEFT_OVER.search(printed): yield f'a stored output shows {printed[max(0, left.start() - 20):left.end() + 20]!r}'
        cells = [n for n in LONG_NUMBER.findall(''.join(data.get('text/html', ''))) if n == 'NaN' or unrounded(n)]
        beside = IN_PLAIN.findall(''.join(data.get('text/plain', ''))) if 'text/html' in data else []  # the text that stands in for a table
        if left := cells + list(filter(unrounded, beside)): yield f'a table shows {left[0]}; `python .ci/refresh.py NOTEBOOK tidy` mends it'


def shown(cell):
    "Does the site show a signature of this cell?"
    return cell['cell_type'] == 'code' and bool(EARLY.search(source(cell))) and bool(re.search(r'^(def|class) [a-zA-Z]', source(cell), re.M))


def early_methods(cells):
    "Methods that a page shows before the class that it defines"
    text = [source(c) if shown(c) or c['cell_type'] == 'code' and HIDDEN.search(source(c)) else '' for c in cells]
    at = {name: i for i, t in reversed(list(enumerate(text))) for name in re.findall(r'^class (\w+)', t, re.M)}
    for i, t in enumerate(text):
        for method, name in re.findall(r'^@patch(?:\(.*?\))?\n(?:@.+\n)*def (\w+)\(\s*\w+: *(\w+)', t, re.M):
            if at.get(name, i) > i: yield f'{name}.{method} stands before its class'


def of_page(cells, page):
    "What a page lacks as a whole: its opening, and prose between a heading and the first signature under it"
    first, *rest = cells
    second = next((c for c in rest if not (c['cell_type'] == 'code' and HIDDEN.search(source(c)))), first)
    if not re.fullmatch(r'# .+\n\n> .+', source(first).strip()): yield 'the first cell is not a title and one line of description'
    if second['cell_type'] != 'markdown' or source(second).lstrip().startswith('#') or len(source(second).split()) < 15: yield 'does not open with prose (15 words) in a cell after the title'
    bare = None
    for c in cells[1:]:
        if c['cell_type'] == 'markdown': bare = source(c).strip() if re.fullmatch(r'#+ [^\n]+', source(c).strip()) else None
        elif shown(c) and bare: yield f'{bare!r}: a signature before any prose'; bare = None
    yield from early_methods(cells)
    limit = SHORT.get(page.name, SHORT.get(page.parent.name))
    if limit:
        for c in cells:
            for line in source(c).split('\n') if c['cell_type'] == 'code' else ():
                if len(line) > limit and not line.startswith('#|'): yield f'a line of code with {len(line)} characters (at most {limit}): {line[:50]}…'


def links(cells):
    "Targets of relative links"
    text = '\n'.join(source(c) for c in cells if c['cell_type'] == 'markdown')
    return re.findall(r'\]\((?!https?:|#|mailto:)([^)\s]+)\)', re.sub(r'```.*?```', '', text, flags=re.S))


def luminance(colour):
    "Relative luminance of #rrggbb (WCAG 2)"
    part = [int(colour[i:i + 2], 16)/255 for i in (1, 3, 5)]
    return sum(w*(c/12.92 if c <= .04045 else ((c + .055)/1.055)**2.4) for w, c in zip((.2126, .7152, .0722), part))


def contrast(a, b):
    "Ratio of two colours, 1 to 21"
    low, high = sorted((luminance(a), luminance(b)))
    return (high + .05)/(low + .05)


def of_styles(text):
    "Colours that are too close to their background: their own, or that of the theme"
    for selector, body in re.findall(r'([^{}]+)\{([^{}]*)\}', re.sub(r'/\*.*?\*/', '', text, flags=re.S)):
        rules = dict(re.findall(r'([\w-]+)\s*:\s*(#[0-9a-f]{6})\b', body))
        if 'color' not in rules: continue
        ground = rules.get('background-color', '#222222' if 'quarto-dark' in selector else '#ffffff')
        ratio = contrast(rules['color'], ground)
        if ratio < 4.5: yield f'{selector.strip()}: {ratio:.1f} to 1'


def of_site():
    "Versions and colours in _quarto.yml, and pages that the side bar lacks"
    site = yaml.safe_load((nbs/'_quarto.yml').read_text(encoding='utf-8'))
    settings = configparser.ConfigParser(interpolation=None); settings.read(root/'settings.ini')
    version, web = settings['DEFAULT']['version'], site['website']
    if version not in web['page-footer']['left']: yield f'_quarto.yml: the footer does not name version {version}'
    if f'## {version}' not in (root/'CHANGELOG.md').read_text(encoding='utf-8'): yield f'CHANGELOG.md: no heading for version {version}'
    ratio = contrast(web['navbar']['background'], web['navbar']['foreground'])
    if ratio < 4.5: yield f'_quarto.yml: navbar at {ratio:.1f} to 1'
    if site['format']['html'].get('code-overflow') != 'wrap': yield '_quarto.yml: code does not wrap'
    if not (web.get('page-navigation') and web.get('open-graph', {}).get('image-alt')): yield '_quarto.yml: no page-navigation, or no social card with a text'
    yield from (f'_quarto.yml: no file {f}' for f in (web['favicon'], web['open-graph']['image']) if not (nbs/f).exists())
    if 'latest' in site['format']['html']['html-math-method']['url']: yield '_quarto.yml: KaTeX is not pinned'
    for part in yaml.safe_load((nbs/'sidebar.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']:
        for page in part['contents'] if isinstance(part, dict) else ():
            title = source(json.loads((nbs/page).read_text(encoding='utf-8'))['cells'][0]).split('\n')[0].removeprefix('# ')
            if title == part['section']: yield f'sidebar.yml: {title} > {title}'
    listed = set(re.findall(r'[\w/]+\.ipynb', (nbs/'sidebar.yml').read_text(encoding='utf-8')))
    there = {f.relative_to(nbs).as_posix() for f in nbs.rglob('*.ipynb') if '.ipynb_checkpoints' not in f.parts}
    yield from (f'sidebar.yml: {what} {", ".join(sorted(which))}' for what, which in (('lacks', there - listed), ('names what is not there:', listed - there)) if which)
    yield from (f'styles.css: {bad}' for bad in of_styles((nbs/'styles.css').read_text(encoding='utf-8')))


if __name__ == '__main__':
    found = list(of_site())
    for f in sorted(nbs.rglob('*.ipynb')):
        if '.ipynb_checkpoints' in f.parts: continue
        page, cells = f.relative_to(nbs), json.loads(f.read_text(encoding='utf-8'))['cells']
        if f.stat().st_size > 1_000_000: found.append(f'{page}: {f.stat().st_size/1e6:.1f} MB, more than 1 MB')
        found += [f'{page}: {what}' for what in of_page(cells, page)]
        found += [f'{page}: cell {c["id"]}: {what}' for c in cells for what in of_cell(c)]
        found += [f'{page}: broken link {t}' for t in links(cells) if t.split('#')[0] and not (f.parent/t.split('#')[0]).exists()]
        found += [f'{page}: a link to a notebook on GitHub, not to its page: {t}' for c in cells if c['cell_type'] == 'markdown' for t in re.findall(r'\]\((https://github\.com/[^)]+\.ipynb)', source(c))]
        if page.name == 'index.ipynb' and any(images(c) for c in cells): found.append('index.ipynb: a stored figure; use a file in assets/')
    print('\n'.join(found) or 'ok'); sys.exit(bool(found))
