"""Reading files of ratings, in every supported format, as tables."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

#: The roles of columns, and the names that a column of each may have in a file (in lower case).
_COLUMNS = {
    "user": ("user", "userid", "user_id", "uid", "user_id:token"),
    "item": ("item", "itemid", "item_id", "iid", "movieid", "movie_id", "movie", "item_id:token"),
    "rating": ("rating", "r_ui", "score", "rating:float"),
    "timestamp": ("timestamp", "time", "date", "timestamp:float"),
}


def _read_npz(file: Path) -> pd.DataFrame:
    known = {name for names in _COLUMNS.values() for name in names}
    arrays = np.load(file, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise ValueError("it contains a single array without a name")
    with arrays:
        return pd.DataFrame({name: arrays[name] for name in arrays.files if name.lower() in known})


def _read_text(file: Path | IO[str], **options: Any) -> pd.DataFrame:
    frame: pd.DataFrame = pd.read_csv(file, dtype=str, keep_default_na=False, **options)
    return frame


_GROUPLENS = ["user", "item", "rating", "timestamp"]
#: A reader for each format, by suffix.
_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".data": lambda file: _read_text(file, sep="\t", names=_GROUPLENS),
    ".dat": lambda file: _read_text(file, sep="::", names=_GROUPLENS, engine="python", encoding="latin-1"),
    ".inter": lambda file: _read_text(file, sep="\t"),
    ".csv": _read_text,
    ".parquet": pd.read_parquet,
    ".npz": _read_npz,
}


def read(
    source: str | os.PathLike[str] | IO[str], roles: Sequence[str] = ("user", "item", "rating")
) -> pd.DataFrame:
    """Read the user, item and rating columns of a table, whatever their names in the file.

    Parameters
    ----------
    source : path, or text stream
        A file in one of the formats that `load` reads; a stream is read as csv.
    roles : sequence of str, default=("user", "item", "rating")
        Which of these columns to read; each must be present. Other columns are ignored. "timestamp" can be
        added; it is read as it is, if it is present.

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
    if isinstance(source, (str, os.PathLike)):
        name, suffix = str(source), Path(source).suffix.lower()
        if suffix not in _READERS:
            raise ValueError(f"{name} must end in one of {sorted(_READERS)}, got {suffix!r}")
        reader: Callable[[], pd.DataFrame] = partial(_READERS[suffix], Path(source))
    else:
        name, suffix, reader = "standard input", ".csv", partial(_read_text, source)
    row = "rating" if "rating" in roles else "row"
    try:
        frame = reader()
    except (ValueError, BadZipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{name} must be a {suffix} file of {row}s: {str(error).strip()}") from error
    by_lower_name = {str(column).lower(): column for column in frame.columns}
    chosen = {}
    for role in roles:
        names = _COLUMNS[role]
        column = next((by_lower_name[known] for known in names if known in by_lower_name), None)
        if column is None and role == "timestamp":
            continue
        if column is None:
            raise ValueError(
                f"{name} must have a column for the {role}, named one of {list(names)}, got columns "
                f"{list(frame.columns)}"
            )
        chosen[role] = frame[column]
    if frame.empty:
        raise ValueError(f"{name} must have at least one {row}, got none")
    if "rating" in roles:
        ratings = pd.to_numeric(chosen["rating"], errors="coerce").astype(np.float64)
        is_finite = ratings.abs() < np.inf
        _check_rows(f"{name}: the rating", "be a finite number", chosen["rating"], is_finite)
        chosen["rating"] = ratings
    for role in (role for role in roles if role in ("user", "item")):
        is_there = chosen[role].notna() & (chosen[role] != "")
        _check_rows(f"{name}: the {role}", "not be missing", chosen[role], is_there)
    return pd.DataFrame(chosen)


def _check_rows(what: str, rule: str, values: pd.Series[Any], holds: pd.Series[bool]) -> None:
    wrong = np.flatnonzero(~holds.to_numpy())
    if len(wrong):
        raise ValueError(f"{what} in data row {wrong[0] + 1} must {rule}, got {values.iloc[wrong[0]]!r}")
