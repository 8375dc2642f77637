"""Mixed precision: the largest tables are read at half the size (Micikevicius et al., ICLR 2018).

Encoding, and the gradient of hidden activations, sum up one row of weights for each rating. If the weights do
not fit into a cache, that takes the time of reading them over and over. So these products read a working copy
in bfloat16. What they return, the weights themselves, their gradients, their optimiser and every prediction
are float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surprise_autorec.core.collective import ALONE, Collective
from surprise_autorec.core.sparse import gather_blocks_, row_blocks

#: By the names that users know.
PRECISIONS: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class WorkingCopy:
    """Weights in training, as sparse products read them: the weights, or their sum with a constant.

    ``values`` are what products read. They are no copy where they are the weights themselves, of shape (n,
    k). Training changes the weights, and `refresh` brings the copy up to date. ``plus`` is the constant, of
    the copy's precision. Updates of the weights are divided among the processes of ``collective``.
    """

    def __init__(
        self,
        weight: Tensor,
        precision: torch.dtype,
        plus: Tensor | None = None,
        collective: Collective = ALONE,
    ) -> None:
        self.weight, self.precision, self.plus, self.collective = weight.detach(), precision, plus, collective
        self.values = self.weight
        if plus is not None or precision != weight.dtype:
            self.values = torch.empty_like(self.weight, dtype=precision)
            self.refresh_all()

    def refresh_all(self) -> None:
        """Bring the copy up to date, as all weights may have changed, in all processes alike."""
        for rows in row_blocks(len(self.weight), self.weight[0].nbytes):
            self._copy(rows)

    def refresh(self, rows: slice) -> None:
        """Bring a block of rows up to date, as each process has changed the weights of its share."""
        self._copy(self.collective.share(rows))
        self.collective.gather_shares_(self.values[rows])

    def gather_weights(self) -> None:
        """Bring the weights themselves up to date, whose copies alone were sent to all processes."""
        if self.values is not self.weight:
            gather_blocks_(self.weight, self.collective)

    def _copy(self, rows: slice) -> None:
        if self.values is self.weight:
            return
        if self.plus is None:
            self.values[rows] = self.weight[rows]
        elif self.precision == self.weight.dtype:
            torch.add(self.weight[rows], self.plus[rows], out=self.values[rows])
        else:  # torch adds numbers of two kinds slowly
            self.values[rows] = self.plus[rows].to(self.weight.dtype, copy=True).add_(self.weight[rows])
