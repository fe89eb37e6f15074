"The page of the service in a browser: photos are dropped, corrected and taught, and a killed service is found again"
import os
import signal
from pathlib import Path

import pytest
import torch
from chromium import browser, needs
from PIL import Image
from test_serve import start

from plasticish import PlasticBrain, PretrainedEyes, ReadoutConfig

pytestmark = needs('fastapi', 'uvicorn')
COLOURS = dict(red=(200, 0, 0), blue=(0, 0, 200), green=(0, 180, 0))

def photos(folder, colour, n=4):
    "Image files of nearly one colour"
    out = []
    for i in range(n):
        out.append(folder/f'{colour} {i}.png')
        Image.new('RGB', (40, 40), tuple(min(255, c + 11*i) for c in COLOURS[colour])).save(out[-1])
    return out

@pytest.fixture
def folder(tmp_path):
    "A brain with eyes that knows red and blue"
    eyes = PretrainedEyes(weights='bundled', precision='float32')
    brain = PlasticBrain(512, 256, 8, num_classes=None, memory_size=500, eyes=eyes, readout=ReadoutConfig(n_neurons=64), precision='float32')
    brain.classes = ['red', 'blue']
    for i, name in enumerate(brain.classes):
        x = torch.stack([eyes.transform(Image.open(f)) for f in photos(tmp_path, name)])
        brain.train_step(x, torch.full((len(x),), i))
    brain.save(tmp_path/'brain')
    return tmp_path

@pytest.fixture
def begin():
    "Starts services, none of which outlives the test"
    running = []
    def one(*args, **kwargs):
        running.append(start(*args, **kwargs))
        return running[-1]
    yield one
    for p, _ in running: p.kill()

def fact(page, name): return page.locator(f'#facts div:has(small:text-is("{name}")) b').inner_text()

def test_a_page_that_is_used_with_the_mouse(folder, begin):
    from playwright.sync_api import expect
    p, port = begin(folder/'brain', '--save_every', 100_000)
    with browser() as (page, errors):
        expect.set_options(timeout=40_000)
        page.goto(f'http://127.0.0.1:{port}/')
        expect(page.locator('#facts')).to_contain_text('8')
        page.set_input_files('#ask input', photos(folder, 'blue', 1))             # a photo is dropped,
        card = page.locator('#answers .card').first
        expect(card.locator('b')).to_have_text('blue')
        expect(card.locator('li')).to_have_count(3)                               # with the memories behind the answer
        card.locator('button', has_text='red').click()                            # and corrected with a click
        expect(card).to_contain_text('learned as red')
        assert all(b.is_disabled() for b in card.locator('button').all())
        expect(page.locator('#facts')).to_contain_text('1 answers')
        page.set_input_files('#add input', photos(folder, 'green', 3))            # no name yet
        expect(page.locator('#added')).to_have_text('Give the class a name first.')
        page.fill('#name', 'green')
        page.set_input_files('#add input', photos(folder, 'green', 3))
        expect(page.locator('#added')).to_have_text('3 photos of green learned')
        page.wait_for_function("document.querySelector('#facts').textContent.includes('green')")
        assert fact(page, 'classes') == '3' and not errors, errors
        (folder/'none.png').write_text('no image')
        page.set_input_files('#ask input', folder/'none.png')
        expect(page.locator('#answers .card .error').first).to_have_text('image: expected an image file, could not decode it (cannot identify image file)')
        overlaps = '''() => { const boxes = [...document.querySelectorAll('h2, .drop, .card')].map(e => e.getBoundingClientRect());
                               return boxes.some((a, i) => boxes.slice(i + 1).some(b => a.bottom > b.top + 1)) }'''
        assert not page.evaluate(overlaps)                                        # nothing lies over what follows it
        page.locator('h1').click(); page.keyboard.press('Tab')
        assert page.evaluate("document.activeElement.closest('#ask') !== null")   # and the keyboard gets there
        items = fact(page, 'memory')
        os.kill(p.pid, signal.SIGKILL); p.wait()                                  # the page finds the service again
        expect(page.locator('#facts .error')).to_be_visible()
        p, _ = begin(folder/'brain', port=port)
        expect(page.locator('#facts')).to_contain_text('green')
        assert fact(page, 'memory') == items
        page.set_input_files('#ask input', photos(folder, 'green', 4)[-1:])
        expect(page.locator('#answers .card b').first).to_have_text('green')
        Path(os.environ.get('SERVE_PNG', folder/'serve.png')).write_bytes(page.screenshot(full_page=True))
    p.terminate(); p.wait()
    assert PlasticBrain.load(folder/'brain').classes == ['red', 'blue', 'green']

def test_a_token_is_asked_for(folder, begin):
    from playwright.sync_api import expect
    p, port = begin(folder/'brain', '--token', 'secret')
    with browser() as (page, _):
        page.on('dialog', lambda d: d.accept('secret'))
        page.goto(f'http://127.0.0.1:{port}/')
        expect(page.locator('#facts')).to_contain_text('blue', timeout=40_000)
    p.terminate(); p.wait()
