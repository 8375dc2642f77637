"""Mini-batches of rows, as the encoders see them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surprise_autorec.core.arrays import Int32Array
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import Cells


class Batch(NamedTuple):
    """Some rows: where they have ratings, what the encoders see there, and what the output should be.

    Attributes
    ----------
    rows : Tensor of int64, shape (n_rows,)
        Which rows of the matrix these are, by place among the rows held here.
    cells : Cells
        Where they have ratings.
    inputs, column_inputs : Tensor, shape (n_cells,)
        What the encoder of rows and that of columns see, in row order.
    targets : Tensor, shape (n_cells,)
        The ratings minus their baselines, in row order.
    size : int
        Number of rows of the batch, of all processes.
    """

    rows: Tensor
    cells: Cells
    inputs: Tensor
    column_inputs: Tensor
    targets: Tensor
    size: int


class RowsAndColumns(NamedTuple):
    """A number for the encoder of rows and one for that of columns."""

    rows: float
    columns: float


class InputRules(NamedTuple):
    """How ratings become inputs of the encoders.

    A raw rating says two things: that something was rated, and how. The rating minus its baseline says only
    how. The centering is the share of the baseline that is subtracted. The scaling lets a row with many
    ratings drive the hidden units about as hard as a row with few.

    Attributes
    ----------
    centering : RowsAndColumns
        Shares of the baselines that are subtracted from the encoders' inputs.
    row_scaling : float
        Inputs are divided by this power of their row's number of ratings, over the typical number. The column
        encoder's are divided by the square root of their column's.
    typical_count : float
        The typical number of ratings of a row, see `typical_count`.
    """

    centering: RowsAndColumns
    row_scaling: float
    typical_count: float


class BatchCutter:
    """Cuts rows of ratings into batches, on a device."""

    def __init__(self, rules: InputRules, baselines: Baselines, device: torch.device) -> None:
        self.rules, self.baselines, self.device = rules, baselines, device

    def with_baselines(self, baselines: Baselines) -> BatchCutter:
        """The same with other baselines."""
        return BatchCutter(self.rules, baselines, self.device)

    def cut(self, ratings: RatingMatrix, rows: npt.NDArray[np.integer], batch_size: int) -> Iterator[Batch]:
        """Batches of the given rows, in their order, of nearly one size."""
        rules, column_scale = self.rules, np.maximum(ratings.column_counts, 1) ** -0.5
        for batch_rows in np.array_split(rows, math.ceil(len(rows) / batch_size)):
            own_rows = ratings.collective.own(batch_rows)
            places = own_rows // ratings.collective.size
            part = ratings.take_rows(places)
            baselines = self.baselines.take_rows(own_rows).at(part.rows, part.columns)
            row_scale = (np.maximum(part.row_counts, 1) / rules.typical_count) ** -rules.row_scaling
            arrays = (
                (part.values - rules.centering.rows * baselines) * row_scale[part.rows],
                (part.values - rules.centering.columns * baselines) * column_scale[part.columns],
                part.values - baselines,
            )
            inputs, column_inputs, targets = (
                torch.from_numpy(array.astype(np.float32)).to(self.device) for array in arrays
            )
            yield Batch(
                torch.from_numpy(places).to(self.device),
                Cells.of(part, self.device),
                inputs,
                column_inputs,
                targets,
                len(batch_rows),
            )


def typical_count(counts: Int32Array) -> float:
    """The number of ratings of the row that the median rating stands in."""
    ascending = np.sort(counts)
    return float(ascending[np.searchsorted(np.cumsum(ascending), ascending.sum() / 2)])
