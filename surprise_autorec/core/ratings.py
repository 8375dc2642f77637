"""Observed ratings as a sparse matrix with both orders at hand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from surprise_autorec.core.arrays import Float32Array, Int32Array, Int64Array, check_count


def csr_array(contents: tuple[Any, ...], shape: tuple[int, int]) -> Any:
    """SciPy's sparse array. Imported when first needed, as it takes longer than all of this package."""
    import scipy.sparse

    return scipy.sparse.csr_array(contents, shape=shape)


def cells_of_rows(row_offsets: Int32Array, rows: npt.NDArray[np.integer]) -> tuple[Int32Array, Int64Array]:
    """Where the cells of the given rows stand, row by row.

    Parameters
    ----------
    row_offsets : ndarray of int32, shape (n_all_rows + 1,)
        As of a `RatingMatrix`.
    rows : ndarray of int, shape (n_rows,)

    Returns
    -------
    offsets : ndarray of int32, shape (n_rows + 1,)
        The cells of ``rows[n]`` are ``cells[offsets[n] : offsets[n + 1]]``.
    cells : ndarray of int64, shape (n_cells,)

    Raises
    ------
    ValueError
        If the rows, which may repeat, have more cells than int32 offsets count.
    """
    counts = np.diff(row_offsets)[rows]
    check_count("ratings of the rows asked for", int(counts.sum(dtype=np.int64)))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return offsets, np.arange(offsets[-1]) + np.repeat(row_offsets[rows] - offsets[:-1], counts)


@dataclass(frozen=True, eq=False)
class RatingMatrix:
    """The observed cells of a ratings matrix, in compressed sparse row order.

    A cell that is not stored is unobserved; a stored zero is a rating of zero. Nothing of size rows x columns
    is ever made.

    Parameters
    ----------
    row_offsets : ndarray of int32, shape (n_rows + 1,)
        The cells of row ``z`` are ``row_offsets[z]:row_offsets[z + 1]``.
    columns : ndarray of int32, shape (n_ratings,)
        The column of each cell, ascending inside a row.
    values : ndarray of float32, shape (n_ratings,)
        The rating of each cell.
    n_columns : int
        Number of columns.
    """

    row_offsets: Int32Array
    columns: Int32Array
    values: Float32Array
    n_columns: int

    @classmethod
    def from_cells(
        cls,
        rows: npt.ArrayLike,
        columns: npt.ArrayLike,
        values: npt.ArrayLike,
        shape: tuple[int, int],
    ) -> RatingMatrix:
        """Sort observed cells into a matrix.

        Parameters
        ----------
        rows, columns : array-like of int, shape (n_ratings,)
            Where each rating stands.
        values : array-like of float, shape (n_ratings,)
            The ratings. A cell that is given more than once gets the mean of its ratings.
        shape : tuple of int
            Numbers of rows and columns.

        Raises
        ------
        ValueError
            If the three differ in length, or there are more ratings, rows or columns than int32 indices can
            tell apart.
        """
        check_count("rows and columns", max(shape))
        for name, array in (("rows", rows), ("columns", columns), ("values", values)):
            check_count(name, np.size(array))
        rows, columns = np.asarray(rows, np.int32), np.asarray(columns, np.int32)
        values = np.asarray(values, np.float32)
        if not rows.shape == columns.shape == values.shape:
            raise ValueError(
                "rows, columns and values must have the same length, got "
                f"{rows.shape}, {columns.shape}, {values.shape}"
            )
        total = csr_array((values, (rows, columns)), shape)
        if total.nnz < len(values):
            counts = csr_array((np.ones_like(values), (rows, columns)), shape)
            total.data /= counts.data
        total.sort_indices()
        return cls(total.indptr, total.indices, total.data, shape[1])

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.row_offsets) - 1

    @property
    def n_ratings(self) -> int:
        """Number of observed cells."""
        return len(self.values)

    @property
    def rows(self) -> Int32Array:
        """The row of each cell, shape (n_ratings,): computed at each call, as it need not stay in memory."""
        return np.repeat(np.arange(self.n_rows, dtype=np.int32), self.row_counts)

    @cached_property
    def row_counts(self) -> Int32Array:
        """Number of ratings in each row, shape (n_rows,)."""
        return np.diff(self.row_offsets)

    @cached_property
    def column_counts(self) -> Int32Array:
        """Number of ratings in each column, shape (n_columns,)."""
        return np.bincount(self.columns, minlength=self.n_columns).astype(np.int32)

    @property
    def transposed(self) -> RatingMatrix:
        """The same ratings with rows and columns exchanged: a copy."""
        csc = csr_array((self.values, self.columns, self.row_offsets), (self.n_rows, self.n_columns)).tocsc()
        return RatingMatrix(csc.indptr, csc.indices, csc.data, self.n_rows)

    def take_rows(self, rows: npt.NDArray[np.integer]) -> RatingMatrix:
        """The matrix of the given rows, in the given order."""
        offsets, cells = cells_of_rows(self.row_offsets, rows)
        return RatingMatrix(offsets, self.columns[cells], self.values[cells], self.n_columns)

    def take_cells(self, chosen: npt.NDArray[np.bool_]) -> RatingMatrix:
        """The matrix, of the same shape, of the cells where ``chosen`` (shape (n_ratings,)) is true."""
        check_count("ratings chosen", int(np.count_nonzero(chosen)))
        offsets = np.concatenate([[0], np.cumsum(chosen)])[self.row_offsets].astype(np.int32)
        return RatingMatrix(offsets, self.columns[chosen], self.values[chosen], self.n_columns)

    def split(self, fraction: float, generator: torch.Generator) -> tuple[RatingMatrix, RatingMatrix]:
        """Hold out a random fraction of the ratings: at least one, and not the last one.

        Returns
        -------
        kept, held_out : RatingMatrix
            Both of this matrix's shape.
        """
        size = min(max(round(fraction * self.n_ratings), 1), self.n_ratings - 1)
        held_out = np.zeros(self.n_ratings, dtype=np.bool_)
        held_out[torch.randperm(self.n_ratings, generator=generator)[:size].numpy()] = True
        return self.take_cells(~held_out), self.take_cells(held_out)
