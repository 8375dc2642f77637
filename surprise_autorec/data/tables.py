"""Tables of ratings in batches of rows: their columns are found, their rows checked, their ids numbered."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from surprise_autorec.core.arrays import check_count

#: Rows of a batch, at most. A batch is what reading needs besides its result.
BATCH_ROWS = 500_000

ROLES = ("user", "item", "rating")
TIMED_ROLES = (*ROLES, "timestamp")
#: The roles of columns, and the names that a column of each may have (in lower case).
_KNOWN_NAMES = {
    "user": ("user", "userid", "user_id", "uid", "user_id:token"),
    "item": ("item", "itemid", "item_id", "iid", "movieid", "movie_id", "movie", "item_id:token"),
    "rating": ("rating", "r_ui", "score", "rating:float"),
    "timestamp": ("timestamp", "time", "date", "timestamp:float"),
}


class Table(NamedTuple):
    """A table, or a part of one, whose rows are yet to be read.

    Messages call it by its ``name``. ``batches`` makes, from the names of some columns, an iterator of
    DataFrames, which have these columns and perhaps more. ``decimal`` is the decimal mark of numbers that are
    texts, besides the point.
    """

    name: str
    columns: Sequence[str]
    batches: Callable[[list[str]], Iterator[pd.DataFrame]]
    decimal: str = "."


def role_batches(
    tables: Iterable[Table], roles: Sequence[str] = ROLES, columns: Mapping[str, str] | None = None
) -> Iterator[pd.DataFrame]:
    """Read the user, item and rating columns of a table, which may come in parts, one after another.

    Each of the roles must be present. Other columns are ignored. "timestamp" may be added, which is read as
    it is, if it is there. ``columns`` has the names of columns by role; by default, the usual names, upper or
    lower case. Each batch has some rows, in order, with columns named by their roles. Ratings are floats.

    Raises ValueError if a part lacks a column, its ids are numbers where those before are texts (or the other
    way round), an id is missing, or a rating is not a finite number; at the end, if there was no row.
    """
    columns = dict(columns or {})
    unknown = [role for role in columns if role not in TIMED_ROLES]
    if unknown:
        raise ValueError(f"columns must give names to some of {', '.join(TIMED_ROLES)}, got {unknown[0]!r}")
    is_empty, names = True, []
    kinds: dict[str, tuple[str, str]] = {}  # of the ids so far, and the name of the first table that has them
    for table in tables:
        names.append(table.name)
        found = {role: _column(table, role, columns.get(role)) for role in roles}
        chosen = {role: name for role, name in found.items() if name is not None}
        n_before = 0
        for batch in table.batches(list(chosen.values())):
            frame = pd.DataFrame({role: batch[name] for role, name in chosen.items()})
            if frame.empty:
                continue
            _check(frame, table, n_before)
            for role in ROLES:
                if role not in chosen:
                    continue
                kind = _kind(frame[role])
                first_kind, first_name = kinds.setdefault(role, (kind, table.name))
                if kind != first_kind:
                    raise ValueError(
                        f"{table.name}: the {role} column must be of one type in all parts, got {kind} in "
                        f"data row {n_before + 1} and {first_kind} in {first_name}"
                    )
            is_empty = False
            n_before += len(frame)
            yield frame
    if is_empty:
        row = "rating" if "rating" in roles else "row"
        raise ValueError(f"{', '.join(names[:1]) or 'the ratings'} must have at least one {row}, got none")


def _column(table: Table, role: str, name: str | None) -> str | None:
    """The name of a table's column for a role; None for a timestamp that is not there."""
    if name is not None:
        if name not in table.columns:
            raise ValueError(
                f"{table.name} must have a column {name!r} for the {role}, got columns {list(table.columns)}"
            )
        return _only(table, role, name)
    names = _KNOWN_NAMES[role]
    by_lower_name = {column.strip().lower(): column for column in reversed(table.columns)}
    found = next((by_lower_name[known] for known in names if known in by_lower_name), None)
    if found is None and role != "timestamp":
        raise ValueError(
            f"{table.name} must have a column for the {role}, named one of {list(names)}, got columns "
            f"{list(table.columns)}. If it has another name, give it as columns={{{role!r}: NAME}}, "
            f"{role}_column=NAME or, on the command line, --{role}-column NAME"
        )
    return found and _only(table, role, found)


def _only(table: Table, role: str, name: str) -> str:
    """The name of a column, which no other one of the table has."""
    if (n := list(table.columns).count(name)) > 1:
        raise ValueError(f"{table.name} must have one column {name!r} for the {role}, got {n} of that name")
    return name


def _check(frame: pd.DataFrame, table: Table, n_before: int) -> None:
    """Make floats of a batch's ratings. Raises ValueError for the first row that breaks a rule."""
    for role in frame:
        values = frame[role]
        if role == "timestamp":
            continue
        if _kind(values).startswith("mixed") and not (are_hashable := values.map(_is_hashable)).all():
            holds, rule = are_hashable.to_numpy(bool), "be a text or a number"
        elif role == "rating":
            numbers = _numbers(values, table.decimal)
            holds, rule = np.isfinite(numbers), "be a finite number"
            frame["rating"] = numbers
        else:
            holds, rule = (values.notna() & (values != "")).to_numpy(bool), "not be missing"
        wrong = np.flatnonzero(~holds)
        if len(wrong):
            value = values.iloc[wrong[0]]
            raise ValueError(
                f"{table.name}: the {role} in data row {n_before + wrong[0] + 1} must {rule}, got "
                f"{value.item() if isinstance(value, np.generic) else value!r}"
            )


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _numbers(values: pd.Series[Any], decimal: str) -> npt.NDArray[np.float64]:
    """Values as numbers, NaN where one is none. Equal texts, of which there are many, are read once."""
    if values.dtype.kind in "cmM":  # complex numbers, spans of time and dates, which pandas would convert
        return np.full(len(values), np.nan)
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(np.float64, na_value=np.nan)
    try:
        codes, distinct = pd.factorize(values)
        texts = pd.Series(np.asarray(distinct, object))
        if decimal != ".":
            texts = texts.astype(str).str.replace(decimal, ".", regex=False)
        numbers = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    except OverflowError:  # of an integer that no float is as large as
        return _numbers(values.map(str), decimal)
    return np.append(numbers, np.nan)[codes]  # -1, the last, is a missing one


def _kind(values: pd.Series[Any]) -> str:
    """What a column's values are, in a word."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _kind(values.cat.categories.to_series())
    if pd.api.types.is_bool_dtype(values):
        return "booleans"
    if pd.api.types.is_integer_dtype(values):
        return "integers"
    if pd.api.types.is_float_dtype(values):
        return "numbers"
    kind = pd.api.types.infer_dtype(values)
    return "texts" if kind == "string" else kind


class Encoded(NamedTuple):
    """Ratings as triples of indices and values, with the ids that the indices stand for.

    It is like `surprise_autorec.fitting.Ratings`, without the scale. Ids are in the order in which they
    appear.
    """

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    values: npt.NDArray[np.float64]
    user_ids: list[Hashable]
    item_ids: list[Hashable]


def factorized(column: pd.Series[Any]) -> tuple[npt.NDArray[np.int32], list[Hashable]]:
    """For each row the place of its id among the distinct ones, -1 if missing, and these as they appear."""
    codes, distinct = pd.factorize(column)
    ids = [one.item() if isinstance(one, np.generic) else one for one in distinct.tolist()]
    return codes.astype(np.int32), ids


class _Ids:
    """The ids of one side so far, and the indices of the batches' rows."""

    def __init__(self) -> None:
        self.index: dict[Hashable, int] = {}
        self.parts: list[npt.NDArray[np.int32]] = []

    def add(self, column: pd.Series[Any]) -> None:
        codes, ids = factorized(column)
        places = np.array([self.index.setdefault(one, len(self.index)) for one in ids], np.int32)
        self.parts.append(places[codes])


def encode(batches: Iterable[pd.DataFrame]) -> Encoded:
    """Encode batches of ratings, of which only one is in memory at a time.

    The batches are those of `role_batches`. At the peak this takes 24 bytes a rating, besides ids and a
    batch: the result, 16, and one of its arrays again, as it is joined.

    Raises ValueError as soon as there are more ratings than int32 indices can number.
    """
    users, items = _Ids(), _Ids()
    n_ratings = 0
    values: list[npt.NDArray[np.float64]] = []
    for batch in batches:
        n_ratings += len(batch)
        check_count("ratings", n_ratings)
        users.add(batch["user"])
        items.add(batch["item"])
        values.append(batch["rating"].to_numpy(np.float64, copy=True))
    return Encoded(
        _joined(users.parts), _joined(items.parts), _joined(values), list(users.index), list(items.index)
    )


def _joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The arrays as one. They are let go."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole
