"""Mixed precision: the largest tables are read at half the size (Micikevicius et al., ICLR 2018).

Encoding, and the gradient of hidden activations, sum up one row of weights for each rating. If the weights do not fit
into a cache, that takes the time of reading them over and over. So these products read a working copy in bfloat16. What
they return, the weights themselves, their gradients, their optimiser and every prediction are float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from surprise_autorec.core.sparse import Block, row_blocks

#: By the names that users know.
PRECISIONS: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
#: Weights of not more bytes are at home in a core's cache, and nothing is won by halving them.
CACHE_BYTES = 2 * 2**20


def automatic_precision(weight: Tensor) -> torch.dtype:
    """What products read weights in: bfloat16 where they are large and torch has vectorised kernels for it."""
    is_vectorised = weight.is_cpu and torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    return torch.bfloat16 if is_vectorised and weight.nbytes > CACHE_BYTES else torch.float32


class WorkingCopy:
    """Weights in training as sparse products read them, and something added to them, if there is.

    Parameters
    ----------
    weight : Tensor, shape (n, k)
        Training changes it.
    precision : torch.dtype

    Attributes
    ----------
    values : Tensor of precision, shape (n, k)
        What products read. It is no copy where that is the weight itself.
    """

    def __init__(self, weight: Tensor, precision: torch.dtype) -> None:
        self.weight, self.precision = weight.detach(), precision
        self.addend: Tensor | None = None
        self.values = self.weight.to(precision)

    def add(self, addend: Tensor | None) -> None:
        """Read, from now on, the sum of the weight and this (in precision); of None, the weight alone."""
        self.addend = addend
        if self.precision == self.weight.dtype:
            self.values = self.weight if addend is None else torch.empty_like(self.weight)
        for rows in row_blocks(len(self.weight), self.weight[0].nbytes):
            self.refresh(rows)

    def refresh(self, rows: slice = slice(None)) -> None:
        """Bring rows of the copy up to date, as weights have changed."""
        if self.addend is not None and self.precision == self.weight.dtype:
            torch.add(self.weight[rows], self.addend[rows], out=self.values[rows])
        elif self.addend is not None:  # torch adds numbers of two kinds slowly
            self.values[rows] = self.addend[rows].to(self.weight.dtype, copy=True).add_(self.weight[rows])
        elif self.values is not self.weight:
            self.values[rows] = self.weight[rows]

    def behind(self, gradient: Iterable[Block]) -> Iterator[Block]:
        """The blocks of the weight's gradient.

        A caller that comes back for the next block has changed the weight by the one before, if at all.
        """
        for rows, block in gradient:
            yield rows, block
            self.refresh(rows)
