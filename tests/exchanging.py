"""What processes that torchrun has started sum and send is what they should have, or the exit code is 1.

Usage: torchrun ... exchanging.py
"""

import numpy as np
import torch
from torch import distributed

from surprise_autorec.core.collective import ProcessGroup
from surprise_autorec.core.sparse import gather_blocks_


def check(collective, n_rows, dtype):
    own_rows = collective.share(slice(0, n_rows))
    gradients = [torch.randn(n_rows, 16, generator=torch.Generator().manual_seed(n)) for n in range(4)]
    gradients = gradients[: collective.size]
    own = collective.sum_share(gradients[collective.rank])
    matrix = torch.full((n_rows, 16), torch.nan)
    matrix[own_rows] = own
    collective.gather_shares_(matrix)
    sent = [gradient.to(dtype).float() for gradient in gradients]
    assert torch.equal(own, sum(sent[1:], sent[0])[own_rows])
    assert torch.equal(matrix, sum(sent[1:], sent[0]))
    copy = torch.full((n_rows, 16), torch.nan, dtype=torch.bfloat16)
    copy[own_rows] = own.bfloat16()
    gather_blocks_(copy, collective)
    assert torch.equal(copy, matrix.bfloat16())


if __name__ == "__main__":
    distributed.init_process_group("gloo")
    for dtype in (torch.float32, torch.bfloat16):
        for n_rows in (1, 2, 7, 30):
            check(ProcessGroup(dtype), n_rows, dtype)
    parts = ProcessGroup().gather(np.arange(distributed.get_rank()))
    assert [len(part) for part in parts] == list(range(distributed.get_world_size()))
    distributed.destroy_process_group()
