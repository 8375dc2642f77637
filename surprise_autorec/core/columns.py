"""The second encoder: from a column's own ratings to a vector that is added to its decoder weights.

The decoder of column c is ``W_c + sum(y_zc * E_z for z in the rows that rate c)``, y the ratings as this encoder sees
them. Of a column with few ratings the sum knows more than W_c can learn. It is the asymmetric factor model of Koren
("Factor in the Neighbors", ACM TKDD 2010, section 4) with hidden activations in the place of item factors.

Such a sum would know the rating that is to be predicted. As it is linear, that part can be left out exactly: at cell
(z, c) the output is less by ``y_zc * E_z . h_z``. So this encoder needs no dropout. And as every batch needs the sums
over all rows, while E learns slowly, they are made once an epoch, and E takes one step at its end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Adam

from surprise_autorec.core.batches import Batch
from surprise_autorec.core.sparse import sum_rows


def column_vectors(weight: Tensor, batches: Sequence[Batch]) -> Tensor:
    """What the encoder makes of each column: the sums of ``y_zc * E_z``.

    Parameters
    ----------
    weight : Tensor, shape (n_rows, k)
        E.
    batches : sequence of Batch
        All rows that have ratings.

    Returns
    -------
    Tensor, shape (n_columns, k)
    """
    total = weight.new_zeros(len(batches[0].cells.column_offsets) - 1, weight.shape[1])
    for rows, cells, _, inputs, _ in batches:
        total += sum_rows(weight[rows], cells.rows, cells.column_offsets, inputs.index_select(0, cells.order))
    return total


class ColumnEncoder:
    """The column encoder in training: one step of Adam an epoch, along the gradients of all its batches.

    Parameters
    ----------
    weight : Tensor, shape (n_rows, k)
        E.
    learning_rate : float
    penalty : float
        Weight decay.
    """

    def __init__(self, weight: Tensor, learning_rate: float, penalty: float) -> None:
        self.weight = weight
        self.optimizer = Adam([weight], lr=learning_rate, weight_decay=penalty, fused=True)

    def begin_epoch(self, batches: Sequence[Batch]) -> None:
        """Encode the columns for the steps of an epoch."""
        self.vectors = column_vectors(self.weight.detach(), batches)
        self.vectors_gradient = torch.zeros_like(self.vectors)
        self.weight_gradient = torch.zeros_like(self.weight)
        self.total = torch.empty_like(self.vectors, requires_grad=True)

    def begin_step(self, batch: Batch) -> None:
        """Make ready for the gradients of a batch."""
        self.own_weight = self.weight.detach()[batch.rows].requires_grad_()

    def own_part(self, hidden: Tensor, batch: Batch) -> Tensor:
        """What a cell's own rating adds to the output there: ``y_zc * E_z . h_z``, shape (n_cells,)."""
        products = (self.own_weight * hidden).sum(1)
        return batch.column_inputs * products.repeat_interleave(batch.cells.row_counts)

    def add_vectors(self, decoder_weight: Tensor) -> Tensor:
        """The decoder's weights and the vectors, for an evaluation of the objective: a leaf with its own gradient."""
        with torch.no_grad():
            return torch.add(decoder_weight, self.vectors, out=self.total)

    def hand_gradient_on(self, decoder_weight: Tensor, batch: Batch | None) -> None:
        """Give the gradient of the sum of both to the decoder's weights, and keep that of a batch, if it is given."""
        gradient, self.total.grad = self.total.grad, None
        assert gradient is not None
        if batch is not None:
            assert self.own_weight.grad is not None
            self.vectors_gradient += gradient
            self.weight_gradient[batch.rows] = self.own_weight.grad
        decoder_weight.grad = gradient if decoder_weight.grad is None else gradient.add_(decoder_weight.grad)

    def end_epoch(self, batches: Sequence[Batch]) -> None:
        """Step along the mean gradient."""
        for batch in batches:
            self.weight_gradient[batch.rows] += sum_rows(
                self.vectors_gradient, batch.cells.columns, batch.cells.row_offsets, batch.column_inputs
            )
        self.weight.grad = self.weight_gradient.div_(len(batches))
        self.optimizer.step()
        del self.vectors, self.vectors_gradient, self.total
