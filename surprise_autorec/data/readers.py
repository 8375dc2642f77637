"""Everything that ratings can be read from, files and tables in memory, in batches of rows."""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias, runtime_checkable
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse

from surprise_autorec.checks import pyarrow
from surprise_autorec.data.tables import BATCH_ROWS, ROLES, Table, role_batches

Source = str | os.PathLike[str] | IO[str]

_GROUPLENS = ("user", "item", "rating", "timestamp")
#: What is wrong with texts that are no table.
_TEXT_ERRORS = (csv.Error, pd.errors.ParserWarning)
#: What may separate the fields of a csv or tsv file.
_DELIMITERS = ",;\t|"


def _slices(n_rows: int) -> Iterator[slice]:
    """The batches of a table in memory."""
    return (slice(start, start + BATCH_ROWS) for start in range(0, n_rows, BATCH_ROWS))


def _batches_of(columns: Mapping[str, npt.NDArray[Any]]) -> Iterator[pd.DataFrame]:
    """Columns in memory, in batches."""
    for rows in _slices(len(next(iter(columns.values())))):
        yield pd.DataFrame({name: column[rows] for name, column in columns.items()})


class _FromTheStart(io.TextIOBase):
    """A stream whose first line has been read already, from its start."""

    def __init__(self, first_line: str, rest: IO[str]) -> None:
        self._first_line, self._rest = first_line, rest

    def read(self, size: int | None = -1, /) -> str:
        """About as many characters; the first line is never cut."""
        first_line, self._first_line = self._first_line, ""
        return first_line or self._rest.read(-1 if size is None else size)


def _text(
    name: str,
    source: Path | IO[str],
    names: Sequence[str] | None,
    separator: str | None = None,
    usual_names: Sequence[str] = (),
) -> Table:
    """A table in a text file. It has a header unless names, or usual names, are given."""
    handle: Any = source
    if isinstance(source, Path):
        first_line = _first_line(source)
    else:
        first_line = source.readline()
        handle = _FromTheStart(first_line, source)
    if separator is None:
        separator = max(_DELIMITERS, key=first_line.count)
    fields = next(csv.reader([first_line], delimiter=separator), [])
    names = _names(names, usual_names, fields)
    options = {} if names is None else {"names": names, "header": None}
    frames = _frames_of_text(handle, sep=separator, **options)
    first = next(frames)
    return Table(
        name, list(first.columns), lambda _: chain([first], frames), "," if separator == ";" else "."
    )


def _dat(name: str, file: Path, names: Sequence[str] | None) -> Table:
    """Fields separated by ``::``: to pandas's fast parser, there is an empty field between the colons."""
    names = _names(names, _GROUPLENS, _first_line(file).split("::")) or _GROUPLENS
    with_gaps = [part for n, column in enumerate(names) for part in (f"gap {n}", column)][1:]

    def batches(_: list[str]) -> Iterator[pd.DataFrame]:
        for frame in _frames_of_text(file, sep=":", names=with_gaps, header=None, encoding="latin-1"):
            if (frame[with_gaps[1::2]] != "").any(axis=None):
                raise ValueError("fields must be separated by '::'")
            yield frame

    return Table(name, names, batches)


def _first_line(file: Path) -> str:
    open_text = gzip.open if file.suffix.lower() == ".gz" else open
    with open_text(file, "rt", encoding="utf-8-sig", errors="replace") as opened:
        return str(opened.readline())


def _names(
    names: Sequence[str] | None, usual_names: Sequence[str], fields: Sequence[str]
) -> Sequence[str] | None:
    """The names of columns of a file without a header, by the fields of its first row."""
    if names is None:
        return usual_names[: max(len(fields), 3)] or None
    if fields and len(fields) != len(names):
        raise ValueError(f"{len(names)} names are given, and row 1 has {len(fields)} fields")
    return names


def _frames_of_text(handle: Any, **options: Any) -> Iterator[pd.DataFrame]:
    with pd.read_csv(
        handle, dtype=str, keep_default_na=False, index_col=False, chunksize=BATCH_ROWS, **options
    ) as reader:
        while True:
            with warnings.catch_warnings():  # (not around the yield, where others' warnings would be caught)
                warnings.simplefilter("error", pd.errors.ParserWarning)  # of rows longer than the header
                frame = next(reader, None)
            if frame is None:
                return
            yield frame


def _json_lines(name: str, file: Path, names: Sequence[str] | None) -> Table:
    _check_header(names)

    def read() -> Iterator[pd.DataFrame]:
        with pd.read_json(file, lines=True, chunksize=BATCH_ROWS, dtype=False, precise_float=True) as reader:
            yield from reader

    frames = read()
    first = next(frames, pd.DataFrame())
    return Table(name, [str(column) for column in first.columns], lambda _: chain([first], frames))


def _parquet(name: str, file: Path, names: Sequence[str] | None) -> Table:
    _check_header(names)
    pa = pyarrow("a .parquet file")
    contents = pa.parquet.ParquetFile(file)

    def batches(columns: list[str]) -> Iterator[pd.DataFrame]:
        with contents:
            for batch in contents.iter_batches(BATCH_ROWS, columns=columns):
                yield batch.to_pandas()

    return Table(name, contents.schema_arrow.names, batches)


def _npz(name: str, file: Path, names: Sequence[str] | None) -> Table:
    _check_header(names)
    arrays = np.load(file, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise ValueError("it contains a single array without a name")

    def batches(columns: list[str]) -> Iterator[pd.DataFrame]:
        with arrays:
            chosen = {column: arrays[column] for column in columns}
        shapes = {column: array.shape for column, array in chosen.items()}
        if len(set(shapes.values())) > 1 or len(next(iter(shapes.values()))) != 1:
            raise ValueError(f"its arrays must have one dimension and one length, got {shapes}")
        return _batches_of(chosen)

    return Table(name, arrays.files, batches)


def _check_header(names: Sequence[str] | None) -> None:
    if names is not None:
        raise ValueError("names of columns can be given for text files only: this one has its own")


#: A reader for each format, by suffix.
_READERS: dict[str, Callable[[str, Path, Sequence[str] | None], Table]] = {
    ".data": lambda name, file, names: _text(name, file, names, "\t", _GROUPLENS),
    ".dat": _dat,
    ".inter": lambda name, file, names: _text(name, file, names, "\t"),
    ".csv": lambda name, file, names: _text(name, file, names),
    ".tsv": lambda name, file, names: _text(name, file, names),
    ".jsonl": _json_lines,
    ".parquet": _parquet,
    ".npz": _npz,
}
_PACKED = {".data", ".dat", ".inter", ".csv", ".tsv", ".jsonl"}


def _format(file: Path) -> str | None:
    """The suffix of a file that can be read, less that of its compression."""
    name = file.name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    is_known = suffix in (_PACKED if name.endswith(".gz") else _READERS)
    return suffix if is_known else None


@contextmanager
def _problems_named(name: str, suffix: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, EOFError, BadZipFile, gzip.BadGzipFile, zlib.error, *_TEXT_ERRORS) as error:
        text = " ".join(str(error).split())
        raise ValueError(f"{name} must be a valid {suffix} file: {text}") from error


def _table_of_file(name: str, suffix: str, make: Callable[[], Table]) -> Table:
    """A table of a file; what is wrong with the file is reported by its name, whenever it shows."""
    with _problems_named(name, suffix):
        table = make()

    def batches(columns: list[str]) -> Iterator[pd.DataFrame]:
        with _problems_named(name, suffix):
            frames = table.batches(columns)
        while True:
            with _problems_named(name, suffix):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    return table._replace(batches=batches)


def tables_of(source: Source, names: Sequence[str] | None = None) -> Iterator[Table]:
    """The table in a file, in a folder of parts or in a text stream (which is read as csv).

    A file is in one of the formats that `load` reads. The parts of a folder are all files in such formats, in
    the order of their names, in subfolders too, except for hidden files and those that begin with an
    underscore. ``names`` are the names of the columns of text files that have no header.

    Raises ValueError if a file cannot be read, or a folder has no parts.
    """
    if not isinstance(source, (str, os.PathLike)):
        yield _table_of_file("standard input", ".csv", lambda: _text("standard input", source, names))
        return
    path = Path(source)
    files = [path]
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if _format(file) and not any(part[0] in "._" for part in file.relative_to(path).parts)
        )
        if not files:
            raise ValueError(
                f"the folder {path} must have files that end in one of {sorted(_READERS)}, got none"
            )
    for file in files:
        suffix = _format(file)
        if suffix is None:
            raise ValueError(
                f"{file} must end in one of {sorted(_READERS)} (texts also with .gz), got {file.suffix!r}"
            )
        yield _table_of_file(str(file), suffix, partial(_READERS[suffix], str(file), file, names))


def read(
    source: Source,
    roles: Sequence[str] = ROLES,
    columns: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read the user, item and rating columns of a table, whatever their names in the file.

    Parameters
    ----------
    source : path, or text stream
        A file or a folder of parts, in the formats that `load` reads; a stream is read as csv.
    roles : sequence of str, default=("user", "item", "rating")
        Which of these columns to read; each must be present. Other columns are ignored. "timestamp" may be
        added, which is read as it is, if it is there.
    columns : mapping of str to str, optional
        The names of columns by role, as in ``{"user": "Customer No"}``. Default: the usual names.
    names : sequence of str, optional
        The names of the columns of text files that have no header.

    Returns
    -------
    DataFrame
        The columns, named by their roles, with rows in the order of the file. Ratings are floats.

    Raises
    ------
    ValueError
        If the source cannot be read, lacks a column or has no rows, if an id is missing, or if a rating is
        not a finite number.
    """
    batches: Iterable[pd.DataFrame] = role_batches(tables_of(source, names), roles, columns)
    return pd.concat(list(batches), ignore_index=True)


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
    """Read ratings from a file, a folder, a table in memory, or several of these, as by `role_batches`.

    A table is a DataFrame of pandas, a table, record batch or reader of pyarrow, a frame of polars, a
    structured array of NumPy, or a sparse matrix of SciPy: its rows are users, its columns items, and its
    stored elements the ratings.

    Raises TypeError if the source is neither a path nor a table, nor an iterable of them.
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
    table = _table_in_memory(source, name)
    return None if table is None else [table]


def _rule(what: str, got: object) -> str:
    return (
        f"{what} must be a file, a folder, or a table: a frame of pandas or polars, a table, record batch or "
        "reader of pyarrow, a structured array of NumPy or a sparse matrix of SciPy, got "
        f"{type(got).__name__}"
    )


def _table_in_memory(source: Any, name: str) -> Table | None:
    """A table in memory, if it is one."""
    if isinstance(source, pd.DataFrame):
        return Table(
            name,
            [str(column) for column in source.columns],
            lambda _: (source.iloc[rows].rename(columns=str) for rows in _slices(len(source))),
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
    return Table(
        name,
        array.dtype.names or (),
        lambda columns: _batches_of({column: array[column] for column in columns}),
    )


def _of_sparse(matrix: Any, name: str) -> Table:
    _check_dimensions(matrix, name, 2)

    def batches(_: list[str]) -> Iterator[pd.DataFrame]:
        cells = matrix.tocoo()
        return _batches_of({"user": cells.row, "item": cells.col, "rating": cells.data})

    return Table(name, ROLES, batches)


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
