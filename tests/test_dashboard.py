"The dashboard in a browser: Voila serves a notebook, Chromium presses its buttons"
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from chromium import browser, needs

import plasticish

pytestmark = needs('voila', 'ipykernel')

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

def open_page(page, url):
    "Open the page as soon as the server answers"
    from playwright.sync_api import Error
    for _ in range(400):
        try: return page.goto(url)
        except Error: page.wait_for_timeout(100)
    raise AssertionError('Voila did not start')

def test_buttons_pressed_in_a_browser_steer_the_run(tmp_path):
    from playwright.sync_api import expect
    with served(notebook(tmp_path/'dash.ipynb')) as url, browser() as (page, _):
        page.set_default_timeout(90_000); expect.set_options(timeout=90_000)
        button = lambda text: page.locator(f"//button[normalize-space()='{text}']")
        picture = lambda: page.locator('img.widget-image').get_attribute('src')
        said = lambda text: expect(page.locator('body')).to_contain_text(text)
        open_page(page, url)
        expect(button('start')).to_be_visible()
        def follows(pictures, then=lambda: None):
            for _ in range(pictures):
                before = picture()
                then()
                page.wait_for_function("before => document.querySelector('img.widget-image').src !== before", arg=before)
        follows(1, button('start').click)
        button('add').click(); said('added layer 2')
        button('panic').click(); said('panic')
        button('panic').click(); said('calm')
        follows(3)
        page.locator("//label[.='storm']/following-sibling::select").select_option(label='inversion')
        said('storm: inversion')
        follows(2)
        button('pause').click()
        shot = page.locator('.widget-vbox').first.screenshot()
        Path(os.environ.get('DASHBOARD_PNG', tmp_path/'dashboard.png')).write_bytes(shot)
        assert len(shot) > 20_000
        button('stop').click(); said('stopped')
