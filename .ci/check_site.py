"""The site in a browser: contrast, texts of pictures and names of links by axe-core in both themes, and no page wider than its window at 390 and 1280 pixels.
`python .ci/check_site.py FOLDER` looks at a rendered site, for example Quarto's `_docs`. Without a folder it renders `_proc`, which `.ci/proc_check.py` leaves, by smalldocs, a small renderer of
Quarto's projects in Python. Needs Chromium and `pip install -e '.[site]'`; where one is missing it says so and checks nothing. Each theme has a process of its own."""
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

root = Path(__file__).resolve().parent.parent
RULES = ['color-contrast', 'image-alt', 'link-name', 'button-name', 'label', 'list', 'duplicate-id']
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
DARK = '''dark => {
    const now = getComputedStyle(document.body).backgroundColor != 'rgb(255, 255, 255)'
    if (now != dark) document.querySelector('.quarto-color-scheme-toggle')?.click()
    document.body.classList.add(dark ? 'quarto-dark' : 'quarto-light')  // what Quarto writes into its pages
}'''
AXE = 'async rules => (await axe.run(document, {runOnly: rules})).violations.map(v => [v.id, v.nodes[0].html.slice(0, 150)])'
WIDTH = '() => document.documentElement.scrollWidth - document.documentElement.clientWidth'


def rendered(place):
    "The site of `_proc`, rendered by smalldocs into the folder `place`"
    if not (root/'_proc').exists(): sys.exit('no _proc: run .ci/proc_check.py first')
    shutil.copytree(root/'_proc', place/'site', symlinks=False)
    subprocess.run([Path(sys.executable).with_name('smalldocs'), 'render', place/'site'], check=True, capture_output=True)
    return place/'site/_docs'


def looked_at(site, dark):
    "What is wrong on the pages of a rendered site, in one theme"
    return list(seen(site, dark))


def seen(site, dark):
    "The same, one by one"
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        chrome = p.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-gpu'])
        page = chrome.new_page(viewport=dict(width=1280, height=900), color_scheme='dark' if dark else 'light')
        page.set_default_timeout(120_000)
        for file in sorted(site.rglob('*.html')):
            name = file.relative_to(site)
            page.set_viewport_size(dict(width=1280, height=900))
            page.goto(file.as_uri(), wait_until='domcontentloaded')
            page.evaluate(DARK, dark)
            page.evaluate(Axe().axe_script)
            rules = RULES[:1] if dark else RULES  # a theme changes colours only
            yield from (f'{name}, {"dark" if dark else "light"}: {rule}: {html}' for rule, html in page.evaluate(AXE, rules))
            for width in () if dark else (1280, 390):
                page.set_viewport_size(dict(width=width, height=900))
                if (over := page.evaluate(WIDTH)) > 0: yield f'{name}: at {width} pixels {over} too wide'
        chrome.close()


if __name__ == '__main__':
    modules = ('axe_playwright_python', 'playwright') + (() if len(sys.argv) > 1 else ('smalldocs',))
    missing = [m for m in modules if not importlib.util.find_spec(m)] + ([] if CHROMIUM else ['chromium'])
    if missing: sys.exit(print('not checked in a browser; missing:', *missing))
    with tempfile.TemporaryDirectory() as place, ProcessPoolExecutor(2) as pool:
        site = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else rendered(Path(place))
        found = sum(pool.map(partial(looked_at, site), (False, True)), [])
    print('\n'.join(found) or 'ok'); sys.exit(bool(found))
