"A page in a headless Chromium that is installed here, driven by Playwright"
import importlib.util
import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)

def needs(*modules):
    "Skips a test where Chromium, Playwright or one of the modules is missing"
    missing = [] if CHROMIUM else ['chromium']
    missing += [m for m in ('playwright', *modules) if not importlib.util.find_spec(m)]
    return pytest.mark.skipif(bool(missing), reason=f'needs a browser; missing: {", ".join(missing)}')

@contextmanager
def browser(width=860, height=900):
    "(a new page, the errors that it wrote to its console)"
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        chrome = p.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update'])
        page, errors = chrome.new_page(viewport=dict(width=width, height=height)), []
        page.set_default_timeout(40_000)
        page.on('console', lambda m: errors.append(m.text) if m.type == 'error' else None)
        page.on('pageerror', lambda e: errors.append(str(e)))
        try: yield page, errors
        finally: chrome.close()
