import multiprocessing
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)

@pytest.fixture(scope='session')
def processes():
    "Processes that start in milliseconds, because their parent has imported torch already"
    ctx = multiprocessing.get_context('forkserver')
    ctx.set_forkserver_preload(['pytest', 'plasticish.training', 'plasticish.brain', 'plasticish.experiments'])
    return ctx
