"""The landing page's table of all sets: `python .ci/peers/table.py OUT` prints it from the cells in OUT, and writes it into nbs/index.ipynb
(or into the notebook that is named)"""
import sys
from pathlib import Path

import pandas as pd
from execnb.nbio import read_nb, write_nb

from plasticish.experiments import Cells, by_window, standings
from plasticish.sets import STREAMS

OURS = ['Plastic Brain', 'Triarchic Brain', 'PlasticClassifier']
MARKS = ('all sets', None), ('one row', 3)  # name of the marks, lines of the table that go between them


def main(out, file=Path(__file__).parents[2]/'nbs/index.ipynb'):
    "Print the table, and put it, and its first row, between the marks of the notebook"
    lessons, *streams = (Cells(out/f'{f}.jsonl').table() for f in ('many_classes', 'drift', 'peers'))
    cells = pd.concat([t.sort_values('set', kind='stable') for t in (lessons, pd.concat(streams))], ignore_index=True)
    table = standings(cells, OURS, paired=by_window(cells, STREAMS))
    print(table)
    nb = read_nb(file)
    for c in nb.cells:
        for name, n in MARKS:
            begin, end = f'<!-- {name} -->', f'<!-- end of {name} -->'
            if begin not in c.source: continue
            lines = '\n'.join(table.split('\n')[:n])
            c.source = f'{c.source.split(begin)[0]}{begin}\n\n{lines}\n\n{end}{c.source.split(end)[1]}'
    write_nb(nb, file)


if __name__ == '__main__': main(*map(Path, sys.argv[1:]))
