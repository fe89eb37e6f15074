"""Everything is configured in `settings.ini`; this file only reads it."""
import shlex
from configparser import ConfigParser
from pathlib import Path
import setuptools
from setuptools.command.sdist import sdist


class Sdist(sdist):
    "A source archive must hold `settings.ini`, or it could not be built again (there is no MANIFEST.in)"
    def make_distribution(self):
        self.filelist.append('settings.ini')
        super().make_distribution()


here = Path(__file__).parent
config = ConfigParser(delimiters=['='])
config.read(here/'settings.ini', encoding='utf-8')
cfg = config['DEFAULT']

py_versions = '3.10 3.11 3.12 3.13'.split()
statuses = {'1': '1 - Planning', '2': '2 - Pre-Alpha', '3': '3 - Alpha', '4': '4 - Beta', '5': '5 - Production/Stable'}
readme = (here/'README.md').read_text(encoding='utf-8').replace('](assets/', f"]({cfg['git_url']}/raw/{cfg['branch']}/assets/")  # PyPI has no pictures of ours

setuptools.setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'],
    long_description=readme, long_description_content_type='text/markdown',
    author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'], keywords=cfg['keywords'],
    license='MIT',
    classifiers=['Development Status :: ' + statuses[cfg['status']], 'Intended Audience :: ' + cfg['audience']]
        + ['Programming Language :: Python :: ' + v for v in py_versions[py_versions.index(cfg['min_python']):]],
    python_requires='>=' + cfg['min_python'],
    packages=setuptools.find_packages(include=['plasticish', 'plasticish.*']),
    package_data={'plasticish': ['weights/*', '*.mplstyle', 'serve.html']},
    install_requires=shlex.split(cfg.get('requirements', '')),
    extras_require={extra: shlex.split(cfg.get(f'{extra}_requirements', '')) for extra in ('cpu', 'gpu', 'serve', 'dashboard', 'dev', 'site')},
    entry_points={'console_scripts': cfg.get('console_scripts', '').split(),
                  'nbdev': [f'{cfg["lib_path"]}={cfg["lib_path"]}._modidx:d']},
    cmdclass={'sdist': Sdist}, zip_safe=False,
)
