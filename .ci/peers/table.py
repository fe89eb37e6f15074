"""The landing page's tables of all sets: `python .ci/peers/table.py OUT` prints them from the cells in OUT, and writes them into nbs/index.ipynb
(or into the notebook that is named)"""
import sys
from pathlib import Path

import pandas as pd
from execnb.nbio import read_nb, write_nb

from plasticish.experiments import Cells, by_window, in_every_order, standings
from plasticish.sets import STREAMS

OURS = ['Plastic Brain', 'Triarchic Brain', 'PlasticClassifier']


def tables(out):
    "Markdown by the name of its marks"
    read = lambda *names: [Cells(out/f'{f}.jsonl').table() for f in names]
    lessons, *streams = read('many_classes', 'drift', 'peers')
    cells = pd.concat([t.sort_values('set', kind='stable') for t in (lessons, pd.concat(streams))], ignore_index=True)
    every = standings(cells, OURS, paired=by_window(in_every_order(cells), STREAMS))
    made = {'all sets': every, 'one row': '\n'.join(every.split('\n')[:3]), 'verdict': verdict(every)}
    rows = pd.concat(read('by_row/drift', 'by_row/peers'), ignore_index=True)
    if not len(rows): return made
    rows = rows[rows.seed == 0]  # ours have one seed here
    made['by row'] = standings(rows, OURS, bound=None, paired=by_window(rows, rows['set'].unique()))
    return made | {'verdict by row': verdict(made['by row'])}


def verdict(table):
    "On which sets of a table ours are ahead, and where a rival is, clear of zero"
    head, _, *rows = [[c.strip() for c in line.strip('| ').split(' | ')] for line in table.split('\n')]
    rows = [dict(zip(head, r)) for r in rows]
    ahead = [r['set'] for r in rows if any('**' in r[o] for o in OURS)]
    behind = [f'{r["set"]} ({r["best rival"].split("** ")[1]})' for r in rows if '**' in r['best rival']]
    told = lambda names: f'{len(names)}{": " if names else ""}{"; ".join(names)}'
    return f'Of {len(rows)}, one of ours is clearly ahead on {told(ahead)}. The best of ours is clearly behind on {told(behind)}.'


def main(out, file=Path(__file__).parents[2]/'nbs/index.ipynb'):
    "Print the tables, and put each between its marks in the notebook"
    nb, made = read_nb(file), tables(out)
    for name, text in made.items():
        if name != 'one row': print(text, end='\n\n')
        for c in nb.cells:
            begin, end = f'<!-- {name} -->', f'<!-- end of {name} -->'
            if begin in c.source: c.source = f'{c.source.split(begin)[0]}{begin}\n\n{text}\n\n{end}{c.source.split(end)[1]}'
    write_nb(nb, file)


if __name__ == '__main__': main(*map(Path, sys.argv[1:]))
