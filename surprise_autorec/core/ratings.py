"""Observed ratings as a sparse matrix with both orders at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from surprise_autorec.core.arrays import Float32Array, Int32Array, Int64Array, check_count
from surprise_autorec.core.collective import ALONE, Collective

T = TypeVar("T")


def csr_array(contents: tuple[Any, ...], shape: tuple[int, int]) -> Any:
    """SciPy's sparse array. Imported when first needed, as it takes longer than all of this package."""
    import scipy.sparse

    return scipy.sparse.csr_array(contents, shape=shape)


def check_cells(
    row_offsets: npt.NDArray[np.integer], columns: npt.NDArray[np.integer], n_columns: int
) -> None:
    """Raise IndexError unless cells in row order lie inside a matrix, as kernels do not check that.

    The cells of row ``z`` are ``row_offsets[z]:row_offsets[z + 1]``.
    """
    if not len(row_offsets) or row_offsets[0] != 0 or row_offsets[-1] != len(columns):
        raise IndexError(f"row offsets must lead from 0 to the number of cells, {len(columns)}")
    if (np.diff(row_offsets) < 0).any():
        raise IndexError("row offsets must not fall")
    if len(columns) and not (columns.min() >= 0 and columns.max() < n_columns):
        raise IndexError(f"columns must be 0 to {n_columns - 1}, got {columns.min()} to {columns.max()}")


def cells_of_rows(row_offsets: Int32Array, rows: npt.NDArray[np.integer]) -> tuple[Int32Array, Int64Array]:
    """The positions of the cells of the given rows, row by row, as offsets and cells.

    The cells of ``rows[n]`` are ``cells[offsets[n] : offsets[n + 1]]``. Raises ValueError if the rows, which
    may repeat, have more cells than int32 offsets count.
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

    The rows may be spread over several processes. Arrays of cells, and ``row_offsets``, are those of the rows
    that are held here; numbers of rows and of ratings, and counts, are those of all rows. With one process,
    both are the same.

    Parameters
    ----------
    row_offsets : ndarray of int32, shape (n_own_rows + 1,)
        The cells of the row at place ``n`` are ``row_offsets[n]:row_offsets[n + 1]``.
    columns : ndarray of int32, shape (n_ratings,)
        The column of each cell, ascending inside a row.
    values : ndarray of float32, shape (n_ratings,)
        The rating of each cell.
    n_columns : int
        Number of columns.
    collective : Collective, default=ALONE
        The processes that hold the rows.

    Raises
    ------
    IndexError
        If offsets or columns lead out of the matrix.
    """

    row_offsets: Int32Array
    columns: Int32Array
    values: Float32Array
    n_columns: int
    collective: Collective = ALONE

    def __post_init__(self) -> None:
        check_cells(self.row_offsets, self.columns, self.n_columns)

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

    @classmethod
    def spread(
        cls,
        rows: npt.ArrayLike,
        columns: npt.ArrayLike,
        values: npt.ArrayLike,
        shape: tuple[int, int],
        collective: Collective,
    ) -> RatingMatrix:
        """Sort observed cells that several processes have into a matrix whose rows are spread over them.

        Parameters are those of `from_cells`, each process giving the cells that it has.
        """
        if collective.size == 1:
            return cls.from_cells(rows, columns, values, shape)
        rows = np.asarray(rows, np.int32)
        owners = (rows % collective.size).astype(np.int64)
        rows, columns, values = (
            collective.exchange(array, owners)
            for array in (rows, np.asarray(columns, np.int32), np.asarray(values, np.float32))
        )
        own_shape = (collective.n_own(shape[0]), shape[1])
        own = cls.from_cells(rows // collective.size, columns, values, own_shape)
        return replace(own, collective=collective)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self._once("n_rows", lambda: int(self.collective.sums(self.n_own_rows)[0]))

    @property
    def n_own_rows(self) -> int:
        """Number of rows that are held here."""
        return len(self.row_offsets) - 1

    @property
    def n_ratings(self) -> int:
        """Number of observed cells."""
        return self._once("n_ratings", lambda: int(self.collective.sums(len(self.values))[0]))

    @property
    def mean(self) -> float:
        """The mean rating."""
        (total,) = self.collective.sums(self.values.sum(dtype=np.float64))
        return total / self.n_ratings

    @property
    def rows(self) -> Int32Array:
        """The row of each cell held here: computed at each call, as it need not stay in memory."""
        rows = np.arange(self.n_own_rows, dtype=np.int32) * self.collective.size + self.collective.rank
        return np.repeat(rows, np.diff(self.row_offsets))

    @property
    def row_counts(self) -> Int32Array:
        """Number of ratings in each row, shape (n_rows,)."""
        return self._once("row_counts", lambda: self.collective.all_rows(np.diff(self.row_offsets)))

    @property
    def column_counts(self) -> Int32Array:
        """Number of ratings in each column, shape (n_columns,)."""

        def count() -> Int32Array:
            counts = np.bincount(self.columns, minlength=self.n_columns)
            return self.collective.sum_array(counts).astype(np.int32)

        return self._once("column_counts", count)

    def _once(self, name: str, make: Callable[[], T]) -> T:
        """The value, made at the first call; functools.cached_property has one lock for all matrices."""
        made: dict[str, Any] = vars(self).setdefault("_made", {})
        if name not in made:
            made[name] = make()
        result: T = made[name]
        return result

    @property
    def transposed(self) -> RatingMatrix:
        """The same ratings with rows and columns exchanged: a copy."""
        if self.collective.size > 1:
            shape = self.n_columns, self.n_rows
            return RatingMatrix.spread(self.columns, self.rows, self.values, shape, self.collective)
        csc = csr_array((self.values, self.columns, self.row_offsets), (self.n_rows, self.n_columns)).tocsc()
        return RatingMatrix(csc.indptr, csc.indices, csc.data, self.n_rows)

    def all_cells(self) -> tuple[Int32Array, Int32Array]:
        """``row_offsets`` and ``columns`` of all rows, those that other processes hold included."""
        if self.collective.size == 1:
            return self.row_offsets, self.columns
        offsets = np.concatenate([[0], np.cumsum(self.row_counts)]).astype(np.int32)
        columns = np.empty(offsets[-1], np.int32)
        for rank, part in enumerate(self.collective.gather(self.columns)):
            columns[cells_of_rows(offsets, np.arange(rank, self.n_rows, self.collective.size))[1]] = part
        return offsets, columns

    def take_rows(self, rows: npt.NDArray[np.integer]) -> RatingMatrix:
        """The matrix, of this process alone, of the rows at the given places, in the given order."""
        offsets, cells = cells_of_rows(self.row_offsets, rows)
        return RatingMatrix(offsets, self.columns[cells], self.values[cells], self.n_columns)

    def take_cells(self, chosen: npt.NDArray[np.bool_]) -> RatingMatrix:
        """The matrix, of the same shape, of the cells held here where ``chosen`` is true."""
        check_count("ratings chosen", int(np.count_nonzero(chosen)))
        offsets = np.concatenate([[0], np.cumsum(chosen)])[self.row_offsets].astype(np.int32)
        return RatingMatrix(
            offsets, self.columns[chosen], self.values[chosen], self.n_columns, self.collective
        )

    def split(self, fraction: float, generator: torch.Generator) -> tuple[RatingMatrix, RatingMatrix]:
        """Hold out a random fraction of the ratings: at least one, and not the last one.

        Returns those that are kept and those that are held out, both of this matrix's shape.
        """
        size = min(max(round(fraction * self.n_ratings), 1), self.n_ratings - 1)
        held_out = np.zeros(self.n_ratings, dtype=np.bool_)
        held_out[torch.randperm(self.n_ratings, generator=generator)[:size].numpy()] = True
        if self.collective.size > 1:  # its own cells, where they stand among those of all rows
            ends = np.cumsum(self.row_counts, dtype=np.int64)[self.collective.rank :: self.collective.size]
            moved_by = ends - self.row_offsets[1:]
            held_out = held_out[np.arange(len(self.values)) + np.repeat(moved_by, np.diff(self.row_offsets))]
        return self.take_cells(~held_out), self.take_cells(held_out)
