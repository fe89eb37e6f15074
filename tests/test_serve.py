"The service under load, and killed: what was confirmed is there"
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import torch

from plasticish.brain import PlasticBrain, ReadoutConfig

pytest.importorskip('fastapi')
pytest.importorskip('uvicorn')
D = 16

def begin(folder):
    "A brain that has learned two classes"
    brain = PlasticBrain(D, 64, 8, num_classes=None, memory_size=5000, readout=ReadoutConfig(n_neurons=64))
    brain.classes = ['low', 'high']
    y = torch.arange(100) % 2
    brain.train_step(torch.randn(100, D, generator=torch.Generator().manual_seed(0)) + 4*y[:, None], y)
    brain.save(folder)

def start(folder, *args, port=0):
    "(process, port) of a service that answers; 0 takes a free port"
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('127.0.0.1', port))
        port = s.getsockname()[1]
    p = subprocess.Popen([sys.executable, '-W', 'ignore', '-m', 'plasticish', 'serve', '--brain', folder, '--port', str(port), *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(600):
        with socket.socket() as s:
            if s.connect_ex(('127.0.0.1', port)) == 0: return p, port
        assert p.poll() is None, p.stderr.read()
        time.sleep(.1)
    raise AssertionError('the service does not answer')

def ask(web, path, **told):
    web.request('POST', path, json.dumps(told), {'content-type': 'application/json'})
    answer = web.getresponse()
    return answer.status, json.loads(answer.read())

def client(port, seed, n, confirmed, errors):
    "Mixed requests until `n` are answered or the service is gone; every taught row is another one"
    rng, web = random.Random(seed), http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    try:
        for i in range(n):
            row = [rng.gauss(0, 1) for _ in range(D)]
            status, said = ask(web, '/predict', features=row)
            if rng.random() < .5:
                status, done = ask(web, '/teach', ticket=said['ticket'], label=f'class {seed % 3}')
                if status == 200: confirmed.append(row)
            if status != 200: errors.append(said)
    except (OSError, http.client.HTTPException): pass  # killed

def load(port, n, clients=8):
    "(confirmed rows, errors) and the threads that bring them"
    confirmed, errors = [], []
    threads = [threading.Thread(target=client, args=(port, i, n, confirmed, errors)) for i in range(clients)]
    for t in threads: t.start()
    return confirmed, errors, threads

def stored(folder, rows):
    "How many of these rows are in the memory of the brain in `folder`"
    from plasticish.cli import stored_as
    found = stored_as(PlasticBrain.load(folder), torch.tensor(rows))
    return len({r for r, _, _ in found})

@pytest.mark.parametrize('save_every', [40, 100_000])
def test_what_was_confirmed_survives_a_kill(tmp_path, save_every):
    begin(tmp_path)
    p, port = start(tmp_path, '--save_every', save_every)
    confirmed, errors, threads = load(port, 10_000)
    rng = random.Random(time.time_ns())
    while len(confirmed) < rng.randrange(60, 160): time.sleep(.01)
    os.kill(p.pid, signal.SIGKILL)
    p.wait()
    for t in threads: t.join()
    assert not errors
    p, port = start(tmp_path)  # the journal is learned
    status, old = ask(http.client.HTTPConnection('127.0.0.1', port), '/teach', ticket='0'*16, label='low')
    assert status == 404 and 'send the image or the features' in old['error']
    p.terminate()
    assert p.wait() in (0, -signal.SIGTERM)
    print(f'{len(confirmed)} lessons confirmed before the kill')
    assert stored(tmp_path, confirmed) == len(confirmed)

def test_mixed_load_and_a_polite_end(tmp_path):
    begin(tmp_path)
    p, port = start(tmp_path)
    confirmed, errors, threads = load(port, 40)
    q = subprocess.run([sys.executable, '-W', 'ignore', '-m', 'plasticish', 'serve', '--brain', tmp_path, '--port', '0'], capture_output=True, text=True)
    assert q.returncode == 1 and 'in use by another process' in q.stderr  # one writer
    for t in threads: t.join()
    web = http.client.HTTPConnection('127.0.0.1', port)
    status, said = ask(web, '/forget', label='class 0')
    assert status == 200 and said['forgotten'] > 0
    p.send_signal(signal.SIGTERM)
    assert p.wait() in (0, -signal.SIGTERM)
    assert not errors and not (tmp_path/'journal.jsonl').read_bytes()
    brain = PlasticBrain.load(tmp_path)
    assert brain.memory.count == 100 + len(confirmed) - said['forgotten'] and set(brain.classes) == {'low', 'high', 'class 0', 'class 1', 'class 2'}

def test_a_command_after_a_kill_goes_on_from_what_was_confirmed(tmp_path):
    from plasticish.cli import forget_items
    begin(tmp_path)
    p, port = start(tmp_path, '--save_every', 100_000)
    web = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    rows = [[10.*(i == j) for j in range(D)] for i in range(5)]
    status, said = ask(web, '/teach', features=rows[0], label='x'*300)
    assert status == 400 and 'label: expected at most 255 characters, got 300' in said['error']
    for row in rows: assert ask(web, '/teach', features=row, label='hers')[0] == 200
    def info(): return json.loads(subprocess.run([sys.executable, '-W', 'ignore', '-m', 'plasticish', 'info', '--brain', tmp_path, '--format', 'json'], capture_output=True, text=True, check=True).stdout)
    def held(): return {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    assert info()['classes']['hers'] == 5  # while the service lives
    os.kill(p.pid, signal.SIGKILL)
    p.wait()
    with open(tmp_path/'journal.jsonl', 'ab') as f: f.write(b'torn')
    before = held()
    assert info()['classes']['hers'] == 5  # and after it
    assert held() == before  # who only reads writes nothing
    assert forget_items(tmp_path, label='hers') == 5
    assert not (tmp_path/'journal.jsonl').read_bytes() and not stored(tmp_path, rows)
    p, port = start(tmp_path)  # and a service that starts again does not know them either
    p.terminate()
    p.wait()
    assert not stored(tmp_path, rows)

def test_a_busy_port_is_one_line(tmp_path):
    begin(tmp_path)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        port = s.getsockname()[1]
        for given, said in ((port, f'that is free on 127.0.0.1, got {port}'), (99_999, 'an integer from 0 to 65535, got 99999')):
            q = subprocess.run([sys.executable, '-W', 'ignore', '-m', 'plasticish', 'serve', '--brain', tmp_path, '--port', str(given)], capture_output=True, text=True)
            assert q.returncode == 1 and not q.stdout and said in q.stderr and len(q.stderr.splitlines()) == 1, q.stderr
