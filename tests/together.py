"""Several processes that train together, played by threads of one."""

import threading

import numpy as np
import torch

from surprise_autorec.core.collective import Collective

#: Seconds to wait for the other threads: so many that only a thread that never comes takes longer.
LIMIT = 600


class Threads(Collective):
    """One of so many threads. It counts the bytes of the gradients and of the weights that are exchanged."""

    def __init__(self, rank, barrier, shared, gradient_dtype=torch.float32):
        self.rank, self.size = rank, barrier.parties
        self.barrier, self.shared, self.gradient_dtype = barrier, shared, gradient_dtype
        self.gradient_bytes = self.weight_bytes = 0

    def told(self, what):
        """What every thread has brought here, by rank."""
        self.shared[self.rank] = what
        self.barrier.wait(LIMIT)
        everything = list(self.shared)
        self.barrier.wait(LIMIT)
        return everything

    def sum_(self, tensor):
        total = sum(self.told(tensor.clone()))
        tensor.copy_(total)

    def sum_share(self, gradient):
        sent = gradient.to(self.gradient_dtype)
        self.gradient_bytes += sent.nbytes
        own = self.share(slice(0, len(gradient)))
        return sum(part[own].to(gradient.dtype) for part in self.told(sent))

    def gather_shares_(self, matrix):
        own = self.share(slice(0, len(matrix)))
        self.weight_bytes += matrix.nbytes
        matrix.copy_(torch.cat(self.told(matrix[own].clone())))

    def gather(self, array):
        return self.told(np.array(array))

    def exchange(self, array, receivers):
        sent = self.told((np.array(array), receivers))
        return np.concatenate([array[receivers == self.rank] for array, receivers in sent])


def together(size, work, **options):
    """What ``work(collective)`` returns in each of so many threads. Their first exception is raised."""
    barrier, shared = threading.Barrier(size), [None] * size
    collectives = [Threads(rank, barrier, shared, **options) for rank in range(size)]
    results, errors = [None] * size, []

    def run(collective):
        try:
            results[collective.rank] = work(collective)
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(collective,)) for collective in collectives]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next(
            (error for error in errors if not isinstance(error, threading.BrokenBarrierError)), errors[0]
        )
    return results
