"The dashboard in a browser: Voila serves a notebook, Chromium presses its buttons"
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import plasticish

CHROMIUM, DRIVER = (next(filter(None, map(shutil.which, names)), None) for names in (('chromium', 'chromium-browser', 'google-chrome'), ('chromedriver', 'chromium.chromedriver')))
MISSING = [n for n, there in dict(chromium=CHROMIUM, chromedriver=DRIVER).items() if not there] + [m for m in ('voila', 'ipykernel', 'selenium') if not importlib.util.find_spec(m)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f'needs a browser and a server of notebooks; missing: {", ".join(MISSING)}')

CELL = '''
import torch
torch.set_num_threads(1)
from plasticish.brain import PlasticBrain
from plasticish.eyes import PretrainedEyes, digits_splits, image_loader, only_classes
from plasticish.training import PhaseConfig, PlasticTrainer
from plasticish.dashboard import Dashboard

eyes = PretrainedEyes(weights='bundled')
digits = digits_splits(eyes.transform)
low, high = (image_loader(only_classes(digits['train'], c), 16, shuffle=True) for c in (range(5), range(5, 10)))
test = image_loader(digits['test'].take(torch.arange(60)), 60)
trainer = PlasticTrainer(PlasticBrain(hidden_dim=400, sparsity_k=16, num_layers=2, memory_size=2000, eyes=eyes),
                         [PhaseConfig('digits 0–4', 2, low, mode='auto'), PhaseConfig('digits 5–9', 50, high, mode='auto')], dict(all=test), eval_interval=10)
Dashboard(trainer, class_names='zero one two three four five six seven eight nine'.split(), share=.3)
'''

def notebook(path):
    "A notebook of one cell"
    cell = dict(cell_type='code', id='dash', metadata={}, source=CELL.strip(), outputs=[], execution_count=None)
    kernel = dict(kernelspec=dict(name='python3', display_name='python3', language='python'))
    path.write_text(json.dumps(dict(cells=[cell], metadata=kernel, nbformat=4, nbformat_minor=5)))
    return path

@contextmanager
def served(path):
    "The address at which Voila shows a notebook"
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    own = {k: str(path.parent/k.lower()) for k in ('JUPYTER_CONFIG_DIR', 'JUPYTER_DATA_DIR', 'JUPYTER_RUNTIME_DIR', 'IPYTHONDIR')}
    env = os.environ | own | dict(OMP_NUM_THREADS='1', PYTHONPATH=str(Path(plasticish.__file__).parent.parent))
    server = subprocess.Popen([sys.executable, '-m', 'voila', str(path), '--no-browser', f'--port={port}', '--Voila.ip=127.0.0.1'],
                              env=env, cwd=path.parent, stdout=open(path.parent/'voila.log', 'w'), stderr=subprocess.STDOUT)
    try: yield f'http://127.0.0.1:{port}/'
    finally:
        server.terminate()
        server.wait(20)

@contextmanager
def browser(profile):
    "A headless Chromium of its own"
    from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ('headless', 'no-sandbox', 'disable-gpu', 'disable-quic', 'no-first-run', 'disable-background-networking', 'disable-component-update',
                 'disable-sync', 'window-size=860,900', f'user-data-dir={profile}'): options.add_argument(f'--{flag}')
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try: yield page
    finally: page.quit()

def open_page(page, url, wait):
    "Open the page as soon as the server answers"
    from selenium.common.exceptions import WebDriverException
    def there(p):
        try: p.get(url)
        except WebDriverException: return False
        return True
    wait.until(there, 'Voila did not start')

def test_buttons_pressed_in_a_browser_steer_the_run(tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select, WebDriverWait
    with served(notebook(tmp_path/'dash.ipynb')) as url, browser(tmp_path/'profile') as page:
        wait = WebDriverWait(page, 40, .1)
        button = lambda text: page.find_element(By.XPATH, f"//button[normalize-space()='{text}']")
        picture = lambda: page.find_element(By.CSS_SELECTOR, 'img.widget-image').get_attribute('src')
        said = lambda text: wait.until(lambda p: text in p.find_element(By.TAG_NAME, 'body').text, f'the page did not say {text!r}')
        open_page(page, url, wait)
        wait.until(lambda p: p.find_elements(By.XPATH, "//button[normalize-space()='start']"), 'the panel did not appear')
        def follows(pictures, then=lambda: None):
            for _ in range(pictures):
                before = picture()
                then()
                wait.until(lambda _: picture() != before, 'the picture did not follow the run')
        follows(1, button('start').click)
        button('add').click(); said('added layer 2')
        button('panic').click(); said('panic')
        button('panic').click(); said('calm')
        follows(3)
        Select(page.find_element(By.XPATH, "//label[.='storm']/following-sibling::select")).select_by_visible_text('inversion')
        said('storm: inversion')
        follows(2)
        button('pause').click()
        shot = page.find_element(By.CSS_SELECTOR, '.widget-vbox').screenshot_as_png
        Path(os.environ.get('DASHBOARD_PNG', tmp_path/'dashboard.png')).write_bytes(shot)
        assert len(shot) > 20_000
        button('stop').click(); said('stopped')
