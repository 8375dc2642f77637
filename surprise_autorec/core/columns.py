"""The second encoder: from a column's own ratings to a vector that is added to its decoder weights.

The decoder of column c is ``W_c + sum(y_zc * E_z for z in the rows that rate c)``, y the ratings as this encoder sees
them. Of a column with few ratings the sum knows more than W_c can learn. It is the asymmetric factor model of Koren
("Factor in the Neighbors", ACM TKDD 2010, section 4) with hidden activations in the place of item factors.

Such a sum would know the rating that is to be predicted. As it is linear, that part can be left out exactly: at cell
(z, c) the output is less by ``y_zc * E_z . h_z``. So this encoder needs no dropout. And as every batch needs the sums
over all rows, while E learns slowly, they are made once an epoch, and E takes one step at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from surprise_autorec.core.batches import Batch
from surprise_autorec.core.optimizers import AdamStepper, Setting
from surprise_autorec.core.precision import WorkingCopy
from surprise_autorec.core.sparse import Block, sum_rows, weight_gradient


def column_vectors(weight: Tensor, batches: Sequence[Batch], precision: torch.dtype = torch.float32) -> Tensor:
    """What the encoder makes of each column: the sums of ``y_zc * E_z``.

    Parameters
    ----------
    weight : Tensor, shape (n_rows, k)
        E.
    batches : sequence of Batch
        All rows that have ratings.
    precision : torch.dtype
        What the sums are rounded to.

    Returns
    -------
    Tensor of precision, shape (n_columns, k)
    """
    vectors = weight.new_empty(len(batches[0].cells.column_offsets) - 1, weight.shape[1], dtype=precision)
    parts = [
        weight_gradient(inputs, weight.index_select(0, rows), cells).blocks() for rows, cells, _, inputs, _ in batches
    ]
    for blocks in zip(*parts, strict=True):
        columns, total = blocks[0]
        for _, sums in blocks[1:]:
            total += sums
        vectors[columns] = total
    return vectors


class ColumnEncoder:
    """The column encoder in training: one step of Adam an epoch, along the gradients of all its batches.

    Parameters
    ----------
    weight : Tensor, shape (n_rows, k)
        E.
    decoder : WorkingCopy, shape (n_columns, k)
        W. In an epoch, column vectors are added to it.
    learning_rate : float
    penalty : float
        Weight decay.
    """

    def __init__(self, weight: Tensor, decoder: WorkingCopy, learning_rate: float, penalty: float) -> None:
        self.weight, self.decoder = weight.detach(), decoder
        self.optimizer = AdamStepper([Setting(self.weight, learning_rate, penalty)])

    def begin_epoch(self, batches: Sequence[Batch]) -> None:
        """Encode the columns for the steps of an epoch."""
        self.decoder.add(column_vectors(self.weight, batches, self.decoder.precision))
        self.vectors_gradient = torch.zeros_like(self.decoder.weight)
        self.weight_gradient = torch.zeros_like(self.weight)

    def begin_step(self, batch: Batch) -> None:
        """Make ready for a batch."""
        self.own_weight = self.weight.index_select(0, batch.rows).requires_grad_()

    def own_part(self, hidden: Tensor, batch: Batch) -> Tensor:
        """What a cell's own rating adds to the output there: ``y_zc * E_z . h_z``, shape (n_cells,)."""
        products = (self.own_weight * hidden).sum(1)
        return batch.column_inputs * products.repeat_interleave(batch.cells.row_counts)

    def keep_gradients(self, batch: Batch, own_gradient: Tensor, decoder_gradient: Iterable[Block]) -> Iterator[Block]:
        """Keep the gradients of a batch; that of the decoder's weights, which is the vectors' too, as it passes by."""
        self.weight_gradient[batch.rows] = own_gradient
        for columns, gradient in decoder_gradient:
            self.vectors_gradient[columns] += gradient
            yield columns, gradient

    def end_epoch(self, batches: Sequence[Batch]) -> None:
        """Step along the mean gradient."""
        self.decoder.add(None)
        table = self.vectors_gradient.to(self.decoder.precision)
        for batch in batches:
            self.weight_gradient[batch.rows] += sum_rows(
                table, batch.cells.columns, batch.cells.row_offsets, batch.column_inputs
            )
        self.optimizer.follow({self.weight: [(slice(None), self.weight_gradient.div_(len(batches)))]})
        del self.vectors_gradient, self.weight_gradient
