"Counts where a step would wait for a GPU, on any machine"
import sys
from collections import Counter
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITING = {'_local_scalar_dense', 'nonzero', 'masked_select', 'equal', 'is_nonzero', '_unique2', 'unique_dim', 'unique_consecutive', 'bincount'}
READING = 'cpu', 'tolist', 'numpy'


def place():
    "Module and function of the library that asked"
    frame = sys._getframe(2)
    while frame and '/plasticish/' not in Path(frame.f_code.co_filename).as_posix(): frame = frame.f_back
    return f'{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}' if frame else 'outside'


def storage(t): return t.untyped_storage().data_ptr()


class Waits(TorchDispatchMode):
    "Inside, `found` counts by place what must know a value before it goes on; tensors made of buffers that stay on the host do not count"
    def __init__(self, module):
        super().__init__()
        host = [m._buffers[n] for m in module.modules() for n in getattr(m, 'host_buffers', ())]
        self.host, self.kept, self.found, self.before = {storage(t) for t in host}, [], Counter(), {}

    def note(self, tensors):
        if not all(storage(t) in self.host for t in tensors): self.found[place()] += 1

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        name = func.overloadpacket.__name__
        if given and (name in WAITING or name == 'index' and any(t.dtype == torch.bool for t in given[1:])): self.note(given)
        out = func(*args, **(kwargs or {}))
        if given and all(storage(t) in self.host for t in given):
            made = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
            self.kept += made
            self.host |= {storage(t) for t in made}
        return out

    def __enter__(self):
        def counted(read):
            def reads(t, *args, **kwargs):
                self.note([t])
                return read(t, *args, **kwargs)
            return reads
        self.before = {n: getattr(torch.Tensor, n) for n in READING}
        for n, read in self.before.items(): setattr(torch.Tensor, n, counted(read))
        return super().__enter__()

    def __exit__(self, *args):
        for n, read in self.before.items(): setattr(torch.Tensor, n, read)
        return super().__exit__(*args)
