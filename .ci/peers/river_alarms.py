"""River's drift detectors on the errors of the streams that alarms.py wrote: `python .ci/peers/river_alarms.py OUT` adds their lines to
OUT/alarms.jsonl, those that are not there. Run it in an environment of its own: `pip install river numpy`. All have their defaults."""
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

try:
    import river
    from river import drift
except ImportError: sys.exit('skipped: River is not installed in this environment')

PEERS = {'ADWIN': drift.ADWIN, 'DDM': drift.binary.DDM, 'Page-Hinkley': drift.PageHinkley, 'HDDM_W': drift.binary.HDDMW}


def alarms(make, errors):
    "Rows after which a detector says that there is a drift"
    watch, at = make(), []
    for i, e in enumerate(errors.tolist()):
        watch.update(e)
        if watch.drift_detected: at.append(i + 1)
    return at


if __name__ == '__main__':
    out = Path(sys.argv[1])
    file = out/'alarms.jsonl'
    lines = map(json.loads, file.read_text(encoding='utf-8').splitlines() if file.exists() else [])
    there = {(r['stream'], r['alarm'], r.get('data')) for r in lines}
    for path in sorted((out/'alarms').glob('*.npz')):
        with np.load(path) as f: m, y, change = f['m'], f['y'], int(f['change'])
        errors, data = m < 0, hashlib.blake2b(m.tobytes() + y.tobytes(), digest_size=16).hexdigest()
        for name, make in PEERS.items():
            alarm = f'{name} (River {river.__version__})'
            if (path.stem, alarm, data) in there: continue
            found = [alarms(make, e) for e in errors]
            delays = [next((t - change for t in at if t > change), None) for at in found] if change < errors.shape[1] else []
            row = dict(stream=path.stem, calm=change*len(errors), false=sum(t <= change for at in found for t in at), delays=[d for d in delays if d is not None],
                       missed=delays.count(None), alarm=alarm, data=data)
            with open(file, 'a', encoding='utf-8') as f: f.write(json.dumps(row) + '\n')
            print(row, flush=True)
