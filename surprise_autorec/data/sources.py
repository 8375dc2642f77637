"""Everything that ratings can be read from, files and tables in memory, in batches of rows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse

from surprise_autorec.checks import pyarrow
from surprise_autorec.data.readers import slices, tables_of
from surprise_autorec.data.tables import BATCH_ROWS, Table, role_batches


@runtime_checkable
class ArrowStream(Protocol):
    """What hands on its rows as Arrow does: tables and readers of pyarrow, frames of polars and others."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Give the stream."""


@runtime_checkable
class ArrowArray(Protocol):
    """What hands on its rows at once: a record batch of pyarrow."""

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        """Give the rows."""


#: A table of ratings in one piece.
Piece: TypeAlias = (
    str
    | os.PathLike[str]
    | pd.DataFrame
    | npt.NDArray[np.void]
    | scipy.sparse.sparray
    | scipy.sparse.spmatrix
    | ArrowStream
    | ArrowArray
)


def as_pandas(table: Any) -> Any:
    """A frame of polars as one of pandas; anything else as it is."""
    polars = sys.modules.get("polars")  # nobody has a frame without importing it
    if polars is not None and isinstance(table, polars.DataFrame):
        return pd.DataFrame(table.to_dict(as_series=False))
    return table


def rating_batches(
    source: Piece | Iterable[Piece], columns: Mapping[str, str] | None = None
) -> Iterator[pd.DataFrame]:
    """Read ratings from a file, a folder, a table in memory, or several of these.

    Parameters
    ----------
    source : path, table, or iterable of paths and tables
        A table is a DataFrame of pandas, a table, record batch or reader of pyarrow, a frame of polars, a
        structured array of NumPy, or a sparse matrix of SciPy: its rows are users, its columns items, and
        its stored elements the ratings.
    columns : mapping of str to str, optional
        The names of columns by role. Default: the usual names.

    Yields
    ------
    DataFrame
        As by `role_batches`.

    Raises
    ------
    TypeError
        If the source is neither a path nor a table, nor an iterable of them.
    ValueError
        As by `role_batches`.
    """
    return role_batches(_tables(source), columns=columns)


def _tables(source: Any) -> Iterator[Table]:
    tables = _tables_of_piece(source, "the ratings")
    if tables is not None:
        yield from tables
        return
    if not isinstance(source, Iterable) or isinstance(source, pd.Series):
        raise TypeError(_rule("the ratings", source))
    for number, piece in enumerate(source, start=1):
        tables = _tables_of_piece(piece, f"batch {number}")
        if tables is None:
            raise TypeError(_rule(f"batch {number}", piece))
        yield from tables


def _tables_of_piece(source: Any, name: str) -> Iterable[Table] | None:
    """The tables in a file or a folder, or the one that a table in memory is; None for anything else."""
    if isinstance(source, (str, os.PathLike)):
        return tables_of(source)
    table = _table(source, name)
    return None if table is None else [table]


def _rule(what: str, got: object) -> str:
    return (
        f"{what} must be a file, a folder, or a table: a frame of pandas or polars, a table, record batch or "
        "reader of pyarrow, a structured array of NumPy or a sparse matrix of SciPy, got "
        f"{type(got).__name__}"
    )


def _table(source: Any, name: str) -> Table | None:
    """A table in memory, if it is one."""
    if isinstance(source, pd.DataFrame):
        return Table(
            name,
            [str(column) for column in source.columns],
            lambda _: slices(lambda rows: source.iloc[rows].rename(columns=str), len(source)),
        )
    if isinstance(source, np.ndarray):
        return _of_structured(source, name) if source.dtype.names else None
    if scipy.sparse.issparse(source):
        return _of_sparse(source, name)
    if isinstance(source, (ArrowStream, ArrowArray)):
        return _of_arrow(source, name)
    return None


def _check_dimensions(array: Any, name: str, n: int) -> None:
    if array.ndim != n:
        raise ValueError(f"{name} must have {n} dimension(s) as {type(array).__name__}, got {array.ndim}")


def _of_structured(array: npt.NDArray[Any], name: str) -> Table:
    _check_dimensions(array, name, 1)

    def batches(columns: list[str]) -> Iterator[pd.DataFrame]:
        return slices(
            lambda rows: pd.DataFrame({column: array[column][rows] for column in columns}), len(array)
        )

    return Table(name, array.dtype.names or (), batches)


def _of_sparse(matrix: Any, name: str) -> Table:
    _check_dimensions(matrix, name, 2)

    def batches(_: list[str]) -> Iterator[pd.DataFrame]:
        cells = matrix.tocoo()
        columns = {"user": cells.row, "item": cells.col, "rating": cells.data}
        return slices(
            lambda rows: pd.DataFrame({key: array[rows] for key, array in columns.items()}), cells.nnz
        )

    return Table(name, ("user", "item", "rating"), batches)


def _of_arrow(source: ArrowStream | ArrowArray, name: str) -> Table:
    pa = pyarrow("an Arrow table or a frame of polars")
    if isinstance(source, ArrowStream):
        try:
            reader = pa.RecordBatchReader.from_stream(source)
        except pa.ArrowInvalid:  # a single column
            raise TypeError(_rule(name, source)) from None
    else:
        batch = pa.record_batch(source)
        reader = pa.RecordBatchReader.from_batches(batch.schema, [batch])

    def batches(columns: list[str]) -> Iterator[pd.DataFrame]:
        for batch in reader:
            chosen = batch.select(columns)
            for start in range(0, len(chosen), BATCH_ROWS):
                yield chosen.slice(start, BATCH_ROWS).to_pandas()

    return Table(name, reader.schema.names, batches)
