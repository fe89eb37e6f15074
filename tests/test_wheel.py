"The built wheel works away from the checkout, weights included"
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

def run(*args, **kwargs):
    p = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, timeout=240, **kwargs)
    assert p.returncode == 0, p.stdout + p.stderr
    return p.stdout

def test_the_wheel_is_complete(tmp_path):
    skip = shutil.ignore_patterns('.git', '.venv', 'data', 'build', 'dist', '*.egg-info', '__pycache__', '_proc', '_docs')
    shutil.copytree(ROOT, tmp_path/'source', ignore=skip, symlinks=True)
    run('-m', 'pip', 'wheel', '-q', '--no-deps', '-w', tmp_path, tmp_path/'source')
    wheel, = tmp_path.glob('*.whl')
    assert wheel.stat().st_size < 10e6
    run('-m', 'pip', 'install', '-q', '--no-deps', '--target', tmp_path/'site', wheel)
    code = '''if True:
        import plasticish, torch
        from plasticish import PretrainedEyes
        eyes = PretrainedEyes(weights='bundled')
        print(plasticish.__file__, *eyes(torch.rand(2, 3, 32, 32)).shape)'''
    said = run('-W', 'ignore', '-c', code, cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(tmp_path/'site')}).split()
    assert Path(said[0]).is_relative_to(tmp_path/'site') and said[1:] == ['2', '512']
