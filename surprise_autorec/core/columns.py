"""The second encoder: from a column's own ratings to a vector that is added to its decoder weights.

The decoder of column c is ``W_c + sum(y_zc * E_z for z in the rows that rate c)``, y the ratings as this
encoder sees them. For a column with few ratings, the sum says more than W_c can learn. This is the asymmetric
factor model of Koren ("Factor in the Neighbors", ACM TKDD 2010, section 4) with hidden activations in place
of item factors.

The sum includes the rating that is to be predicted. As it is linear, that part can be left out exactly: at
cell (z, c), ``y_zc * E_z . h_z`` is subtracted from the output. So this encoder needs no dropout. Every batch
needs the sums over all rows, and E learns slowly. So the sums are made once an epoch, and E takes one step at
its end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surprise_autorec.core.batches import Batch
from surprise_autorec.core.collective import ALONE, Collective
from surprise_autorec.core.optimizers import Adam, Setting
from surprise_autorec.core.sparse import gather_blocks_, sum_rows, summed, weight_gradient


def column_vectors(
    weight: Tensor,
    batches: Sequence[Batch],
    precision: torch.dtype = torch.float32,
    collective: Collective = ALONE,
) -> Tensor:
    """The vector of each column: the sum of ``y_zc * E_z``, rounded to a precision, shape (n_columns, k).

    ``weight`` is E, of shape (n_rows, k). The batches have all rows with ratings that these processes hold.
    """
    parts = [
        weight_gradient(inputs, weight.index_select(0, rows), cells) for rows, cells, _, inputs, *_ in batches
    ]
    return summed(parts, precision, collective)


def own_part(own_weight: Tensor, hidden: Tensor, batch: Batch) -> Tensor:
    """What a cell's own rating would add to the output there: ``y_zc * E_z . h_z``, shape (n_cells,).

    ``own_weight`` is E at the rows of the batch. It and ``hidden`` have the shape (n_rows, k).
    """
    return batch.column_inputs * (own_weight * hidden).sum(1).repeat_interleave(batch.cells.row_counts)


class ColumnEncoder:
    """The column encoder in training: one step of Adam an epoch, along the mean gradient of its batches.

    ``weight`` is E, of shape (n_rows, k). ``penalty`` is weight decay.
    """

    def __init__(
        self, weight: Tensor, n_columns: int, learning_rate: float, penalty: float, collective: Collective
    ) -> None:
        self.weight, self.collective = weight.detach(), collective
        self.optimizer = Adam([Setting(self.weight, learning_rate, penalty)])
        self.vectors_gradient = self.weight.new_zeros(n_columns, self.weight.shape[1])
        self.own_gradient = torch.zeros_like(self.weight)

    def begin_epoch(self) -> None:
        """Forget the gradients of the epoch before."""
        self.vectors_gradient.zero_()
        self.own_gradient.zero_()

    def own_weight(self, batch: Batch) -> Tensor:
        """E at the rows of a batch, for autograd, shape (n_rows_of_the_batch, k)."""
        return self.weight.index_select(0, batch.rows).requires_grad_()

    def add_own(self, batch: Batch, gradient: Tensor) -> None:
        """Take the gradient of `own_weight`; once for each batch of an epoch."""
        self.own_gradient.index_add_(0, batch.rows, gradient)  # in half the time of assigning

    def add(self, columns: slice, gradient: Tensor) -> None:
        """Take the gradient of some column vectors. As they are added to W, it is that of W.

        A process may take only the rows of its share.
        """
        self.vectors_gradient[columns] += gradient

    def end_epoch(self, batches: Sequence[Batch], precision: torch.dtype) -> None:
        """Make a step, from all rows that have ratings. The vectors' gradient is read in this precision."""
        table = self.vectors_gradient.to(precision)
        gather_blocks_(table, self.collective)
        for batch in batches:
            sums = sum_rows(table, batch.cells.columns, batch.cells.row_offsets, batch.column_inputs)
            self.own_gradient.index_add_(0, batch.rows, sums)  # in a fifth of the time of indexing twice
        self.optimizer.begin()
        self.optimizer.update(self.weight, slice(None), self.own_gradient.div_(len(batches)))
