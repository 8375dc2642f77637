"""Communication between processes that train the same networks. A single process sends nothing.

Each holds some rows of the ratings. Whatever is made of all rows, a gradient, a mean, an error, is a sum over
processes of what each makes of its own, and passes through here. The optimiser's pass over the two large
matrices is divided: each process gets the summed gradient of its share of their rows, updates these, and
sends them to the others. All else they compute alike, each for itself, from the same seed. So every process
must come to each of these calls, in the same order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surprise_autorec.core.arrays import Int64Array

Array = TypeVar("Array", bound=npt.NDArray[np.generic])


class Collective(ABC):
    """Processes that train together. Of the rows of a matrix, each holds every ``size``-th.

    ``rank`` is the number of this process, from 0.
    """

    size: int
    rank: int

    @abstractmethod
    def sum_(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""

    @abstractmethod
    def sum_share(self, gradient: Tensor) -> Tensor:
        """The sum of a matrix over all processes: its rows in this one's `share`.

        It is for gradients, which may be sent with less precision.
        """

    @abstractmethod
    def gather_shares_(self, matrix: Tensor) -> None:
        """Replace the rows of each process's `share` by what they are there."""

    @abstractmethod
    def gather(self, array: Array) -> list[Array]:
        """The one-dimensional arrays of all processes, which may differ in length, by rank."""

    @abstractmethod
    def exchange(self, array: Array, receivers: Int64Array) -> Array:
        """Send each element of a one-dimensional array to the process of the given rank.

        What is received is in the order of the senders' ranks, and of each sender in its order.
        """

    @contextmanager
    def errors_shared(self) -> Iterator[None]:
        """Within this, which holds no other call of this class, an exception of one process is raised by all.

        Processes that had none raise ValueError with the message of the first that had one.
        """
        if self.size == 1:
            yield
            return
        message, own = "", None
        try:
            yield
        except Exception as error:
            is_plain = isinstance(error, (ValueError, OSError)) and str(error)
            message, own = str(error) if is_plain else f"{type(error).__name__}: {error}", error
        messages = self.gather(np.frombuffer(message.encode(), np.uint8))
        if own is not None:
            raise own
        for rank, other in enumerate(messages):
            if len(other):
                raise ValueError(f"process {rank} of {self.size}: {other.tobytes().decode()}")

    def sum_array(self, array: Array) -> Array:
        """The sum of an array of numbers over all processes."""
        if self.size == 1:
            return array
        total = torch.from_numpy(array.copy())
        self.sum_(total)
        return total.numpy()  # type: ignore[return-value]

    def sums(self, *values: float) -> list[float]:
        """Each of some numbers, summed over all processes."""
        return [float(total) for total in self.sum_array(np.array(values, np.float64))]

    def sum_all(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """The sums of small float tensors over all processes, all in one message."""
        if self.size == 1:
            return tensors
        total = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self.sum_(total)
        parts = torch.split(total, [tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for tensor, part in zip(tensors, parts, strict=True)]

    def share(self, rows: slice) -> slice:
        """Those of the rows of a large matrix, one after another, that this process updates for all."""
        bounds = self._bounds(rows.stop - rows.start)
        return slice(rows.start + bounds[self.rank], rows.start + bounds[self.rank + 1])

    def _bounds(self, n_rows: int) -> list[int]:
        """Where the shares of so many rows begin, and where the last one ends."""
        return [n_rows * rank // self.size for rank in range(self.size + 1)]

    def own(self, rows: Int64Array) -> Int64Array:
        """Those of the given rows that are held here, row ``z`` at place ``z // size``."""
        return rows if self.size == 1 else rows[rows % self.size == self.rank]

    def n_own(self, n_rows: int) -> int:
        """How many of so many rows are held here."""
        return len(range(self.rank, n_rows, self.size))

    def all_rows(self, own: Array) -> Array:
        """An array with a value, or a row, for each row of a matrix, from what each process holds of it."""
        if self.size == 1:
            return own
        parts = [part.reshape(-1, *own.shape[1:]) for part in self.gather(own.reshape(-1))]
        whole = np.empty((sum(map(len, parts)), *own.shape[1:]), own.dtype)
        for rank, part in enumerate(parts):
            whole[rank :: self.size] = part
        return whole  # type: ignore[return-value]


class Alone(Collective):
    """One process."""

    size, rank = 1, 0

    def sum_(self, tensor: Tensor) -> None:
        """Nothing to add."""

    def sum_share(self, gradient: Tensor) -> Tensor:
        """The matrix itself."""
        return gradient

    def gather_shares_(self, matrix: Tensor) -> None:
        """Nothing to get."""

    def gather(self, array: Array) -> list[Array]:
        """The array itself."""
        return [array]

    def exchange(self, array: Array, receivers: Int64Array) -> Array:  # noqa: ARG002
        """The array itself."""
        return array


class ProcessGroup(Collective):
    """The processes of torch.distributed's default group, which has been made.

    Gradients of the large matrices are sent in ``gradient_dtype``.
    """

    def __init__(self, gradient_dtype: torch.dtype = torch.float32) -> None:
        from torch import distributed  # here, as it takes longer to import than all of this package

        self.distributed, self.gradient_dtype = distributed, gradient_dtype
        self.size, self.rank = distributed.get_world_size(), distributed.get_rank()

    def sum_(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        self.distributed.all_reduce(tensor)

    def sum_share(self, gradient: Tensor) -> Tensor:
        """The sum of a matrix over all processes: its rows in this one's share."""
        # (gloo's reduce_scatter takes as long as its all_reduce, which takes three times as long as this.)
        sizes = np.diff(self._bounds(len(gradient))).tolist()
        sent = gradient.to(self.gradient_dtype)
        received = sent.new_empty(self.size, sizes[self.rank], *gradient.shape[1:])
        self._send(received.flatten(0, 1), sent, [sizes[self.rank]] * self.size, sizes)
        total = received[0].to(gradient.dtype)
        for part in received[1:]:
            total += part
        return total

    def gather_shares_(self, matrix: Tensor) -> None:
        """Replace the rows of each share by those of the process whose it is."""
        bounds = self._bounds(len(matrix))
        own = matrix[bounds[self.rank] : bounds[self.rank + 1]]
        sizes = np.diff(bounds).tolist()
        # (Like this, as gloo's all_gather wants parts of one size.)
        self._send(matrix, own.repeat(self.size, 1), sizes, [len(own)] * self.size)

    def _send(self, received: Tensor, sent: Tensor, n_received: list[int], n_sent: list[int]) -> None:
        """Send so many rows to each process, by rank, and receive so many of each."""
        self.distributed.all_to_all_single(received, sent, n_received, n_sent)

    def gather(self, array: Array) -> list[Array]:
        """The arrays of all processes."""
        lengths = torch.zeros(self.size, dtype=torch.int64)
        lengths[self.rank] = len(array)
        self.sum_(lengths)
        # (gloo's arrays must be of one length.)
        padded = torch.from_numpy(np.resize(array, int(lengths.max())))
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        self.distributed.all_gather(parts, padded)
        return [
            part.numpy()[:length]  # type: ignore[misc]
            for part, length in zip(parts, lengths.tolist(), strict=True)
        ]

    def exchange(self, array: Array, receivers: Int64Array) -> Array:
        """Send each element to a process."""
        n_sent = torch.from_numpy(np.bincount(receivers, minlength=self.size))
        n_received = torch.empty_like(n_sent)
        self.distributed.all_to_all_single(n_received, n_sent)
        sent = torch.from_numpy(array[np.argsort(receivers, kind="stable")])
        received = sent.new_empty(int(n_received.sum()))
        self._send(received, sent, n_received.tolist(), n_sent.tolist())
        return received.numpy()  # type: ignore[return-value]


#: A process alone.
ALONE = Alone()
