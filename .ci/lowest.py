"Check that `.ci/lowest.txt` pins exactly the lower bounds of settings.ini, so that what is promised is what is tested"
import re
import sys
from configparser import ConfigParser
from pathlib import Path

root = Path(__file__).parent.parent
config = ConfigParser(delimiters=['='])
config.read(root/'settings.ini', encoding='utf-8')
words = ' '.join(config['DEFAULT'][k] for k in ('requirements', 'cpu_requirements')).split()
promised = {name: low for name, low in (re.fullmatch(r'([\w-]+)>=([\w.]+)', w).groups() for w in words)}
tested = dict(line.split('==') for line in (root/'.ci/lowest.txt').read_text().split())
wrong = [f'{n}: settings.ini says {promised.get(n)}, lowest.txt {tested.get(n)}' for n in promised.keys() | tested.keys() if promised.get(n) != tested.get(n)]
print('\n'.join(wrong) or f'{len(tested)} lower bounds')
sys.exit(bool(wrong))
