"Files that strangers wrote: state dicts, weights, caches, checkpoints and images that are damaged or made to do harm"
import io
import json
import os
import pickle
import random
import signal
import struct
import types
import zipfile

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import load_file, save_file
from small import difference

from plasticish.brain import PlasticBrain, ReadoutConfig, TriarchicBrain
from plasticish.checkpoint import CheckpointError, _checksum, read_checkpoint, write_checkpoint
from plasticish.common import Table
from plasticish.eyes import (
    PretrainedEyes,
    SmallResNet,
    cache_features,
    image_files,
    image_transform,
    open_image,
)
from plasticish.memory import EpisodicMemoryBank, PlasticMetric

D, C = 6, 4
x, y = torch.randn(40, D, generator=torch.Generator().manual_seed(0)), torch.arange(40) % C
KINDS = {'plastic': lambda: PlasticBrain(D, 12, 3, 2, 30, 5, C, readout=ReadoutConfig(n_neurons=16)), 'triarchic': lambda: TriarchicBrain(D, 32, C, 3), 'bank': lambda: EpisodicMemoryBank(D, 30, 5, C, metric=PlasticMetric(D, C))}
def learned(kind, phase='a'):
    o = KINDS[kind]()
    if kind == 'triarchic': o.update_batch(x, y)
    else: (o.update if kind == 'bank' else lambda x, y, phase: o.train_step(x, y, phase=phase))(x, y, phase)
    if hasattr(o, 'consolidate'): o.consolidate()
    return o
def copied(o): return {k: v.clone() for k, v in o.state_dict().items()}

class Crime:
    "A pickle that leaves a file behind if anything executes it"
    def __init__(self, path): self.path = path
    def __reduce__(self): return os.mkdir, (self.path,)

@pytest.mark.parametrize('kind', KINDS)
def test_states_that_lie(kind):
    "One value, size, type or name of a state is changed: it is refused and nothing moves, or it is a state like any other"
    rng, victim = random.Random(0), learned(kind)
    before, names = copied(victim), list(victim.state_dict())
    tried, refused = 0, 0
    def feed(state):
        nonlocal tried, refused
        tried += 1
        try: victim.load_state_dict(state)
        except ValueError as e:
            assert str(e).startswith('state_dict:')
            assert difference(before, copied(victim)) is None
            refused += 1
            return True
        out = victim(x[:3])
        assert all(torch.isfinite(o).all() for o in (out if isinstance(out, tuple) else (out,)))
        if kind != 'triarchic': victim.explain(x[:2]) if len(getattr(victim, 'memory', victim)) else None
        victim.load_state_dict(before)
        return False
    other = learned(kind, 'another phase')
    for bad in (None, [], 3, 'state', {}, {1: 2}, {'x': torch.ones(1)}, {**before, 'x': torch.ones(1)}, {**before, 'brain.9.encoder': torch.ones(3, D)}, {**before, 'brain.x.encoder': torch.ones(3, D)}): assert feed(bad)
    for k in names:
        v = before[k]
        assert feed({n: t for n, t in before.items() if n != k}) or k.endswith('readout.rows'), f'without {k}'  # 0.3 did not count them
        for wrong in (None, v[..., None, None], torch.cat([v.flatten(), v.flatten()])):
            assert wrong is not None and wrong.shape == v.shape or feed({**before, k: wrong}), k
        if v.is_floating_point():
            for value in (float('nan'), -float('inf')) if v.numel() else ():
                t = v.clone(); t.view(-1)[rng.randrange(t.numel())] = value
                assert feed({**before, k: t}), k
        elif v.dtype == torch.int64:
            for value in (-2, 5, 10**9, 2**62): feed({**before, k: torch.full_like(v, value)})
        if k.endswith('_extra_state') and 'brain.1' not in k:
            for text in (b'', b'{', b'null', b'3', b'{"forward": 1}', b'{"__class__": "str"}', b'{"in_dim": 1000000000}', b'{"hidden_dim": "x"}', b'[1]', b'[["a"]]', b'[' * 9999, b'\xff\xfe'): feed({**before, k: torch.tensor(list(text), dtype=torch.uint8)})
    assert not any(feed(s) for s in (before, copied(other)))
    print(f'{kind}: {tried} states, {refused} refused')

def use(o, kind):
    "Everything that a brain or a bank does; its answers and its state stay finite"
    if kind == 'triarchic': calls = lambda: o.update_batch(x[:5], y[:5]), lambda: o.update_batch(x[5:20] + 9, y[5:20], 'panic'), lambda: o.update_batch(x, y), lambda: o.predict(x)
    elif kind == 'bank': calls = lambda: o.update(x[:5]*2 + 1, y[:5], 'n'), lambda: o.contains(x[:4], y[:4]), o.refresh, lambda: o.explain(x[:2]), lambda: o.forget(label=1), o.clear, lambda: o.update(x, y)
    else: calls = (lambda: o.train_step(x[:5] + 1, y[:5]), lambda: o.train_step(x[5:20] + 9, y[5:20], 'panic'), lambda: o.train_step(x*3, y, 'auto'), lambda: o.explain(x[:2]), o.experts, lambda: o.add_layer(0),
                   lambda: o.train_step(x - 2, y), lambda: o.forget(label=1), o.consolidate, lambda: o.remove_layer(0), lambda: o.forget(label=2))
    for call in (*calls, lambda: 0):
        out = o(x[:3])
        for t in out if isinstance(out, tuple) else (out,): assert t.isfinite().all(), 'an answer is not finite'
        call()
    for k, v in o.state_dict().items(): assert not v.is_floating_point() or v.isfinite().all(), f'{k} is not finite'

@pytest.mark.parametrize('kind', KINDS)
def test_forged_numbers(kind):
    "One number, one row or all of a buffer is set to what no data gives: it is refused, or the brain works on"
    rng, base, refused, tried = random.Random(0), learned(kind), 0, 0
    if kind == 'plastic': base.train_step(x[:20] + 5, y[:20], 'panic'); base.train_step(x[:7]*2, y[:7])
    before = copied(base)
    names = [k for k, v in before.items() if v.numel() and not k.endswith('extra_state')]
    wild = {torch.bool: [True, False], torch.int64: [-2, -1, 0, 1, 7, 10**4, 2**31, 2**40, 2**62, 2**63 - 1],
            torch.float16: [-6e4, -1e3, -1., 0., 1e-7, 1e3, 6e4]}
    for i in range(120 if os.environ.get('EVERY_LINE') else 40):
        k = rng.choice(names)
        t = before[k].clone()
        v = rng.choice(wild.get(t.dtype, [-3e38, -1e30, -1e3, -1., 0., 1e-30, 1e3, 1e6, 1e30, 3e38]))
        rng.choice([t.view(-1)[rng.randrange(t.numel()):][:1], t[rng.randrange(len(t)):][:1] if t.ndim else t, t]).fill_(v)
        o, tried = KINDS[kind](), tried + 1
        try: o.load_state_dict({**before, k: t})
        except ValueError as e:
            assert str(e).startswith('state_dict:')
            refused += 1
            continue
        try: use(o, kind)
        except Exception as e: raise AssertionError(f'{k} with {v}: accepted, and then {type(e).__name__}: {e}') from e
    print(f'{kind}: {tried} forged states, {refused} refused')

def test_fuzzed_state_files(tmp_path):
    "A saved brain with flipped bits and cut ends: refused, or a brain that still works"
    victim, path, rng, refused = learned('plastic'), tmp_path/'brain.safetensors', random.Random(1), 0
    before = copied(victim)
    save_file(before, path)
    good = path.read_bytes()
    n = struct.unpack('<Q', good[:8])[0]
    for i in range(120):
        bad = bytearray(good)
        if i % 5 == 0: bad = bad[:rng.randrange(len(bad))]
        elif i % 5 == 1: bad[rng.randrange(8)] ^= 1 << rng.randrange(8)
        elif i % 5 == 2: bad[8 + rng.randrange(n)] = rng.randrange(256)
        else: bad[8 + n + rng.randrange(len(good) - 8 - n)] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        try: victim.load_state_dict(load_file(path))
        except Exception as e:
            assert type(e).__name__ in ('SafetensorError', 'ValueError'), repr(e)
            assert difference(before, copied(victim)) is None
            refused += 1
            continue
        p = victim(x[:3])
        assert torch.isfinite(p).all()
        victim.train_step(x[:5], y[:5])
        victim.load_state_dict(before)
    print(f'120 damaged files, {refused} refused')
    assert refused > 40

@pytest.mark.filterwarnings('ignore::UserWarning')
def test_weights(tmp_path):
    "Weights for the eyes: nothing in them runs, nothing grows, and numbers are numbers"
    state = SmallResNet().state_dict()
    def eyes(path): return PretrainedEyes(weights=str(path), model='small')
    torch.save(state, tmp_path/'good.pth'); save_file(state, tmp_path/'good.safetensors')
    for p in ('good.pth', 'good.safetensors'): assert eyes(tmp_path/p)(torch.rand(1, 3, 32, 32)).shape == (1, 512)
    good = (tmp_path/'good.pth').read_bytes()
    def files():
        yield 'pickle.pth', pickle.dumps({**{k: 0 for k in state}, 'x': Crime(str(tmp_path/'crime'))})
        buffer = io.BytesIO(); torch.save({'stem.0.weight': Crime(str(tmp_path/'crime'))}, buffer); yield 'torch.pth', buffer.getvalue()
        buffer = io.BytesIO(); torch.save([torch.ones(3)], buffer); yield 'list.pth', buffer.getvalue()
        buffer = io.BytesIO(); torch.save({**state, 'head.0.weight': state['head.0.weight']*float('nan')}, buffer); yield 'nan.pth', buffer.getvalue()
        buffer = io.BytesIO(); torch.save({**state, 'stem.0.weight': torch.zeros(1).expand(10**12)}, buffer); yield 'wide.pth', buffer.getvalue()
        buffer = io.BytesIO(); torch.save({**state, 'stem.0.weight': 'x'}, buffer); yield 'text.pth', buffer.getvalue()
        bomb, big = io.BytesIO(), io.BytesIO()
        torch.save({'w': torch.zeros(5_000_000)}, big)
        with zipfile.ZipFile(big) as a, zipfile.ZipFile(bomb, 'w', zipfile.ZIP_DEFLATED) as b:
            for i in a.infolist(): b.writestr(i.filename, a.read(i))
        yield 'bomb.pth', bomb.getvalue()
        slip = io.BytesIO()
        with zipfile.ZipFile(slip, 'w') as z: z.writestr('../../slip/data.pkl', b'\x80\x02}.'); z.writestr('../slipped', 'x')
        yield 'slip.pth', slip.getvalue()
        for name, data in (('empty.pth', b''), ('text.safetensors', b'hello'), ('cut.pth', good[:1000]), ('header.safetensors', struct.pack('<Q', 2**60) + b'{}'),
                           ('offsets.safetensors', (h := json.dumps({'w': dict(dtype='F32', shape=[2**40], data_offsets=[0, 8])}).encode()) and struct.pack('<Q', len(h)) + h + bytes(8))): yield name, data
    tried = 0
    for name, data in files():
        (tmp_path/name).write_bytes(data)
        with pytest.raises(ValueError, match='^weights: '): eyes(tmp_path/name)
        tried += 1
    assert not (tmp_path/'crime').exists() and not (tmp_path.parent/'slipped').exists() and sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in tmp_path.glob('*.*'))
    print(f'{tried} hostile weight files')

def look(images): return images.mean((2, 3)).repeat(1, 2)  # [B,3,h,w] -> [B,6]
pictures = torch.utils.data.TensorDataset(torch.rand(20, 3, 2, 2, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 5)

def npy(a):
    f = io.BytesIO(); np.save(f, a, allow_pickle=True)
    return f.getvalue()
def lying(shape, data=b'x'*64, dtype="'<f4'"):
    head = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b'\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head + data

def test_feature_caches(tmp_path):
    "A cache that was tampered with is an error that says what to do; a half-made one is begun again"
    good = cache_features(look, pictures, cache_dir=tmp_path, progress=False).features.clone()
    folder, = (p for p in tmp_path.iterdir() if p.is_dir())
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    crime = np.array([Crime(str(tmp_path/'crime')), None], dtype=object)
    f, l = np.zeros((20, 6), np.float32), np.arange(20) % 5
    bad = {'features.npy': [b'', b'x', npy(crime), npy(f[:5]), npy(f[0]), npy(f[None]), npy(f.astype(np.float64)), npy(f.astype(int)), npy(np.asfortranarray(f)), npy(l), pickle.dumps(Crime(str(tmp_path/'crime'))),
                            lying('(20, 1000000000)'), lying('(-20, 6)'), lying('(20,)'), lying("(20, 6)", dtype="'O'"), lying("__import__('os').mkdir('crime')"), files['features.npy'][:200]],
           'labels.npy': [b'', b'x', npy(crime), npy(l[:5]), npy(l - 1), npy(l[:, None]), npy(l.astype(float)), npy(l + 10**12), lying('(100000000000000,)', dtype="'<i8'"), pickle.dumps(Crime(str(tmp_path/'crime')))],
           'done.json': [b'', b'x', b'[]', b'null', b'20', b'{}', b'{"done": 21}', b'{"done": "20"}', b'{"done": -1}', b'['*10**5, b'\xff'], None: ['features.npy', 'labels.npy', 'done.json']}
    tried = 0
    for half in (False, True):
        for name, contents in bad.items():
            for content in contents:
                for n, data in files.items(): (folder/n).write_bytes(data)
                (folder/(name or content)).write_bytes(content) if name else (folder/content).unlink()
                tried += 1
                if half:
                    os.replace(folder, f'{folder}.partial')
                    again = cache_features(look, pictures, cache_dir=tmp_path, progress=False)
                    assert torch.equal(again.features, good) and again.labels.tolist() == l.tolist(), (name, content)
                else:
                    with pytest.raises(ValueError, match='^cache_dir: expected a complete feature cache .* damaged'): cache_features(look, pictures, cache_dir=tmp_path, progress=False)
    assert not (tmp_path/'crime').exists()
    rng = random.Random(0)
    for n, data in files.items(): (folder/n).write_bytes(data)
    for i in range(150):
        name = rng.choice(list(files))
        data = bytearray(files[name])
        if i % 2: data[rng.randrange(min(len(data), 128))] ^= 1 << rng.randrange(8)
        else: data = data[:rng.randrange(len(data))]
        (folder/name).write_bytes(data)
        try: ds = cache_features(look, pictures, cache_dir=tmp_path, progress=False)
        except ValueError as e: assert 'damaged' in str(e)
        else: assert ds.features.shape == (20, 6) and len(ds.labels) == 20
        (folder/name).write_bytes(files[name])
    print(f'{tried + 150} tampered caches')

def test_checkpoints_that_would_grow(tmp_path):
    "A few kilobytes do not ask for gigabytes, and no name leads out of the folder"
    path = write_checkpoint(tmp_path, dict(a=torch.zeros(2, 1024)))
    def body(b):
        doc = json.loads(path.read_text()); doc['body'] = b
        return json.dumps({**doc, 'seal': _checksum(doc)})
    name = next(iter(load_file(path.with_suffix('.safetensors'))))
    good = path.read_text()
    grow = lambda rows: {'tensor': name, 'rows': rows}
    many = {'dict': [[f'k{i}', grow(2**19)] for i in range(60)]}
    nest = None
    for _ in range(100): nest = {'list': [nest]}
    bad = [grow(10**12), grow(-1), grow(0), grow(2.5), grow('9'), grow(None), grow([3]), many, {'tensor': '../../../etc/passwd'}, {'tensor': [1]}, {'dict': [[1]]}, {'dict': 3}, {'list': 3}, {'set': []}, {}, {'a': 1, 'b': 2}, {'dict': [[[1], 2]]}, nest]
    for b in bad:
        path.write_text(body(b))
        try: read_checkpoint(path)
        except CheckpointError: continue
        assert b is nest, b
    for depth in (300, 500, 900, 2000, 90_000):
        path.write_text('{"format": "plasticish-checkpoint", "version": 1, "tensors_sha256": "", "seal": "", "body": ' + '[' * depth + ']' * depth + '}')
        with pytest.raises(CheckpointError, match='damaged'): read_checkpoint(path)
    path.write_text(good)
    assert read_checkpoint(path)['a'].shape == (2, 1024)
    print(f'{len(bad)} forged checkpoints')

def save(img, path, **kw): img.save(path, **kw); return path

def test_images(tmp_path):
    "Every kind of image becomes RGB of 8 bits, and looks as it should"
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    ramp = np.linspace(0, 65535, 600).reshape(20, 30)
    grey = Image.fromarray((ramp/256).astype(np.uint8))
    frames = [rgb, rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    kinds = {'rgb.png': rgb, 'rgb.bmp': rgb, 'rgb.webp': rgb, 'palette.png': rgb.quantize(16), 'palette.gif': rgb, 'grey.png': grey, 'grey alpha.png': grey.convert('LA'), 'alpha.png': rgb.convert('RGBA'), 'one bit.png': grey.convert('1'),
             'cmyk.jpg': rgb.convert('CMYK'), 'cmyk.tif': rgb.convert('CMYK'), 'ycc.jpg': rgb, 'lab.tif': rgb.convert('LAB'), 'deep.png': Image.fromarray(ramp.astype(np.uint16)), 'deep.tif': Image.fromarray(ramp.astype(np.uint16)), 'point.png': rgb.crop((0, 0, 1, 1))}
    paths = {k: save(v, tmp_path/k) for k, v in kinds.items()}
    paths['animated.gif'] = tmp_path/'animated.gif'; frames[0].save(paths['animated.gif'], save_all=True, append_images=frames[1:])
    paths['animated.png'] = tmp_path/'animated.png'; frames[0].save(paths['animated.png'], save_all=True, append_images=frames[1:])
    paths['wide.png'] = save(Image.new('RGB', (300, 3), (9, 9, 9)), tmp_path/'wide.png'); paths['tall.png'] = save(Image.new('L', (2, 200)), tmp_path/'tall.png')
    see = image_transform(32)
    for name, p in paths.items():
        img = open_image(p)
        assert img.mode == 'RGB' and see(img).shape == (3, 32, 32) and torch.isfinite(see(img)).all(), name
        close = lambda a, b: np.abs(np.asarray(a.convert('RGB')).astype(int) - np.asarray(b.convert('RGB'))).mean()
        if name in ('rgb.png', 'alpha.png', 'animated.png'): assert close(img, rgb) == 0, name
        if name.startswith(('grey', 'deep')): assert close(img, grey) <= 1, name
    print(f'{len(paths)} kinds of images')

@pytest.mark.filterwarnings('ignore::UserWarning')
@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_images_that_are_none(tmp_path, monkeypatch):
    "Damaged, huge and disguised files are one error that names the file; none of them starts a program"
    (tmp_path/'bin').mkdir(); (tmp_path/'bin'/'gs').write_text(f'#!/bin/sh\nmkdir {tmp_path}/crime\n'); (tmp_path/'bin'/'gs').chmod(0o755)
    monkeypatch.setenv('PATH', f"{tmp_path/'bin'}:{os.environ['PATH']}")
    os.mkfifo(tmp_path/'pipe.png'); (tmp_path/'device.png').symlink_to('/dev/zero')
    rng = random.Random(0)
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    good = {e: save(rgb, tmp_path/f'good.{e}').read_bytes() for e in ('png', 'jpg', 'gif', 'tif', 'webp', 'bmp')}
    def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', __import__('zlib').crc32(kind + data))
    import zlib
    def png(w, h, rows): return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
    bad = {'empty.png': b'', 'text.jpg': b'hello', 'svg.png': b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'pickle.png': pickle.dumps(Crime(str(tmp_path/'crime'))), 'bomb.png': png(60_000, 60_000, bytes(10**6)),
           'lying.png': png(9_000, 9_000, bytes(100)), 'negative.png': png(2**31 - 1, 1, b''), 'flat.png': png(0, 5, b''), 'float.tif': None}
    for name, size in (('line.png', (1, 2_000_000)), ('wide.png', (20_000, 3)), ('tall.png', (2, 201))): bad[name] = save(Image.new('L', size), tmp_path/name).read_bytes()
    for name in ('eps.png', 'eps.eps', 'ps.jpg'): bad[name] = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n'
    bad['pdf.png'] = b'%PDF-1.4\n%%EOF'
    save(Image.fromarray(np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)), tmp_path/'float.tif')
    for e in ('png', 'jpg', 'webp'): bad[f'cut.{e}'] = good[e][:len(good[e])//3]
    for name, data in bad.items():
        if data is not None: (tmp_path/name).write_bytes(data)
        with pytest.raises(ValueError, match=f'{name}: expected an image file'): open_image(tmp_path/name)
    for p in (tmp_path, tmp_path/'nowhere.png', tmp_path/'pipe.png', tmp_path/'device.png'):
        with pytest.raises(ValueError, match='expected an image file'): open_image(p)
    tried, refused = 0, 0
    for e, data in good.items():
        for i in range(40):
            b = bytearray(data)
            for _ in range(3): b[rng.randrange(min(len(b), 200) if i % 2 else len(b))] = rng.randrange(256)
            (tmp_path/f'fuzz.{e}').write_bytes(b if i % 4 else b[:rng.randrange(len(b))])
            tried += 1
            try: assert open_image(tmp_path/f'fuzz.{e}').mode == 'RGB'
            except ValueError as err: assert str(err).startswith(str(tmp_path)); refused += 1
    assert not (tmp_path/'crime').exists()
    print(f'{len(bad) + 4 + tried} damaged images, {len(bad) + 4 + refused} refused')

@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
def test_images_as_their_makers_saw_them(tmp_path):
    "Every EXIF orientation is turned upright, every kind of transparency shows white, damaged EXIF data says nothing"
    block = Image.fromarray(np.kron(np.array([[0, 60], [120, 180], [240, 30]], np.uint8), np.ones((16, 16), np.uint8)))  # no two turns of it are alike
    shot = {1: lambda i: i, **{n: (lambda t: lambda i: i.transpose(t))(t) for n, t in {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.items()}}  # what the sensor saw
    tried = 0
    for e in ('jpg', 'png', 'tif', 'webp'):
        for n, turn in shot.items():
            exif = Image.Exif(); exif[0x0112] = n
            seen = np.asarray(open_image(save(turn(block).convert('RGB'), tmp_path/f'{n}.{e}', exif=exif, quality=95)).convert('L')).astype(int)
            assert seen.shape == (48, 32) and np.abs(seen - np.asarray(block)).mean() < 4, (e, n)
            tried += 1
    raw = save(block, tmp_path/'odd.jpg', exif=b'Exif\0\0MM\0*\0\0\0\x08\xff\xff').stat()
    assert raw.st_size and open_image(tmp_path/'odd.jpg').size == (32, 48)
    clear = Image.new('RGBA', (4, 4), (9, 9, 9, 0)); clear.putpixel((0, 0), (10, 20, 30, 255)); clear.putpixel((1, 0), (0, 0, 0, 128))
    palette = Image.new('P', (4, 4), 1); palette.putpalette([10, 20, 30, 9, 9, 9]); palette.putpixel((0, 0), 0)
    for name, img, kw in (('rgba.png', clear, {}), ('rgba.webp', clear, dict(lossless=True, exact=True)), ('la.png', clear.convert('LA'), {}), ('p.png', palette, dict(transparency=1)), ('p.gif', palette, dict(transparency=1)),
                          ('pa.png', clear.quantize(4), {}), ('rgb.png', palette.convert('RGB'), dict(transparency=(9, 9, 9))), ('l.png', palette.convert('L'), dict(transparency=9))):
        seen = open_image(save(img, tmp_path/name, **kw))
        assert seen.getpixel((3, 3)) == (255, 255, 255) and max(seen.getpixel((0, 0))) < 32, (name, seen.getpixel((3, 3)), seen.getpixel((0, 0)))
        if name in ('rgba.png', 'la.png'): assert all(abs(v - 127) <= 1 for v in seen.getpixel((1, 0)))
        tried += 1
    with pytest.raises(ValueError, match='white: expected an integer from 0 to 65535'): open_image(tmp_path/'l.png', -1)
    print(f'{tried} photos')

def test_folders_of_images(tmp_path):
    "Bad files among good ones are skipped and counted; links and odd names are files like any other"
    for c in ('a', 'b'):
        (tmp_path/c).mkdir()
        for i in range(3): Image.new('RGB', (4, 4), (i*60, 0, 0)).save(tmp_path/c/f'{i}.png')
    (tmp_path/'a'/'bad.png').write_bytes(b'x'); (tmp_path/'b'/'.hidden').write_text('x'); (tmp_path/'a'/'ü \n%s.png').write_bytes((tmp_path/'a'/'0.png').read_bytes())
    (tmp_path/'a'/'desktop.ini').write_text(''); os.mkfifo(tmp_path/'a'/'pipe.png'); (tmp_path/'b'/'broken.png').symlink_to('nowhere'); (tmp_path/'b'/'link.png').symlink_to(tmp_path/'a'/'1.png')
    ds = image_files(tmp_path, on_error='skip')
    assert (len(ds), sorted(p.name for p in ds.skipped)) == (8, ['bad.png', 'broken.png', 'desktop.ini', 'pipe.png'])
    os.unlink(ds.paths[0])
    with pytest.raises(ValueError, match='0.png: expected an image file'): ds[0]

class Deadline:
    "Whatever takes longer than a few seconds fails"
    def __enter__(self):
        def late(*_): raise AssertionError('it hangs')
        self.old = signal.signal(signal.SIGALRM, late); signal.alarm(20)
    def __exit__(self, *_): signal.alarm(0); signal.signal(signal.SIGALRM, self.old)

PLANTS = {'link': lambda p, victim: p.symlink_to(victim), 'dangling link': lambda p, victim: p.symlink_to(victim.parent/'made'), 'pipe': lambda p, victim: os.mkfifo(p),
          'device': lambda p, victim: p.symlink_to('/dev/zero'), 'folder': lambda p, victim: p.mkdir()}

@pytest.mark.parametrize('plant', PLANTS)
def test_what_is_no_plain_file_is_neither_followed_nor_waited_for(tmp_path, plant, monkeypatch):
    "Links, pipes, devices and folders in the places of our files: refused or replaced, and what they point to is as before"
    from plasticish.checkpoint import list_checkpoints
    from plasticish.cli import read_config, save_run, write_config
    victim, tried = tmp_path/'victim', 0
    victim.write_text('mine')
    monkeypatch.setattr('plasticish.cli.plot_run', lambda result: result.plot_results())
    run = write_checkpoint(tmp_path/'run', dict(a=torch.zeros(2, 1024)))
    def partial(name):
        key = next(p for p in (tmp_path/'good').iterdir() if p.is_dir()).name
        place = tmp_path/f'cache {tried}'
        (place/f'{key}.partial').mkdir(parents=True)
        return place, (place/key if name == '' else place/f'{key}{name}' if name.startswith('.') else place/f'{key}.partial'/name)
    cache_features(look, pictures, cache_dir=tmp_path/'good', progress=False)
    errors = OSError, ValueError, CheckpointError
    def attempt(f):
        nonlocal tried
        tried += 1
        with Deadline():
            try: f()
            except errors as e: assert 'hangs' not in str(e)
        assert victim.read_text() == 'mine' and not (tmp_path/'made').exists(), 'a link was written through'
    for name in ('features.npy', 'labels.npy', 'labels.tmp.npy', 'done.json', '.lock', '.partial', ''):
        place, p = partial(name)
        if name == '.partial': p.rmdir()
        PLANTS[plant](p, victim)
        attempt(lambda: cache_features(look, pictures, cache_dir=place, progress=False))
    for name in ('checkpoint-00000001.json', 'checkpoint-00000001.safetensors', 'checkpoint-00000002.json', 'checkpoint-00000002.safetensors', 'config.json', '.lock'):
        folder = tmp_path/f'run {tried}'
        folder.mkdir()
        for q in run.parent.iterdir(): (folder/q.name).write_bytes(q.read_bytes())
        (folder/name).unlink(missing_ok=True); PLANTS[plant](folder/name, victim)
        attempt(lambda: read_checkpoint(folder/'checkpoint-00000001.json'))
        attempt(lambda: read_checkpoint(list_checkpoints(folder)[0]))
        attempt(lambda: write_checkpoint(folder, dict(b=torch.ones(3))))
        attempt(lambda: read_config(folder))
        attempt(lambda: write_config(folder, a=1))
    from small import make
    cls, args, kwargs = make(epochs=1)
    trainer = cls(*args, **kwargs)
    for name in ('.lock', 'history.csv', 'report.txt', 'report.html', 'results.png', 'confusion.png', 'life.png'):
        folder = tmp_path/f'out {tried}'
        folder.mkdir(); PLANTS[plant](folder/name, victim)
        if name == '.lock': attempt(lambda: trainer.save(folder))
        else: attempt(lambda: save_run(Written(trainer), folder))
    from plasticish.deploy import export
    PLANTS[plant](tmp_path/'brain.pt2', victim)
    attempt(lambda: export(learned('plastic'), tmp_path/'brain.pt2', overwrite=True))
    print(f'{plant}: {tried} tried')

class Written:
    "A result whose pictures are quickly drawn"
    def __init__(self, trainer): self.trainer = self; self.history = trainer.history; self.report = trainer.report; self.save_error = None
    brain = types.SimpleNamespace(classes=['a'])
    def plot_results(self): return Figure(figsize=(1, 1))
    def confusion(self): return torch.ones(1, 1, dtype=torch.int64)
    def by_class(self): return Table(['class'], [['a']])
    def __str__(self): return 'a report'

def test_a_folder_that_lies_about_its_brain(tmp_path):
    "What is said of a brain beside its state is a stranger's word too"
    from plasticish.checkpoint import list_checkpoints, read_brain
    brain = PlasticBrain(D, 12, 3, 2, 30, 5, C, readout=ReadoutConfig(n_neurons=16))
    brain.train_step(x, y)
    brain.save(tmp_path/'good')
    state, run, _ = read_brain(tmp_path/'good')
    refused = 0
    def tell(**about):
        nonlocal refused
        folder = tmp_path/f'bad {refused}'
        write_checkpoint(folder, dict(brain=state['brain'], about=state['about'] | about), run=run)
        try: PlasticBrain.load(folder)
        except (CheckpointError, ValueError, OSError): refused += 1
        else: raise AssertionError(about)
    told = state['about']['settings']
    for k, v in dict(in_dim=10**9, memory_size=10**12, num_classes=10**9, hidden_dim=-1, k_neighbors='x', lr_brain=9., vote={}, readout=dict(used=7)).items():
        tell(settings=told | {k: v})
    tell(settings=told | dict(vote=told['vote'] | dict(memory=told['vote']['memory'] | dict(path=str(tmp_path/'victim')))))
    for about in (dict(kind='os.system'), dict(kind=3), dict(settings=None), dict(classes='ab'), dict(classes=['a', 'a']), dict(eyes=[]), dict(eyes=dict(weights='/dev/zero', model='small', precision='auto', key='')),
                  dict(eyes=dict(own='Camera')), dict(eyes={}), dict(origin=3)): tell(**about)
    assert not (tmp_path/'victim').exists() and list_checkpoints(tmp_path/'good')
    print(f'{refused} lies refused')
