"""Rating data: the MovieLens sets from wherever they lie, your own files, and synthetic ratings."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
from surprise import Dataset, Reader
from surprise.builtin_datasets import BUILTIN_DATASETS, download_builtin_dataset

FloatArray = npt.NDArray[np.floating]

#: The environment variable that names a folder of data sets, each in a folder of its own name.
DATA_FOLDER = "SURPRISE_AUTOREC_DATA"


class _Source(NamedTuple):
    """A known data set: its scale, and the files that hold it, by the names GroupLens and others give them."""

    scale: tuple[float, float]
    files: tuple[str, ...]


_SOURCES = {
    "ml-100k": _Source((1, 5), ("u.data", "ml-100k.inter", "ml-100k/u.data")),
    "ml-1m": _Source((1, 5), ("ratings.dat", "ml1m.npz", "ml-1m/ratings.dat")),
    "ml-latest-small": _Source((0.5, 5), ("ratings.csv", "ml-latest-small/ratings.csv")),
}

_COLUMNS = {
    "user": ("user", "userid", "user_id", "uid", "user_id:token"),
    "item": ("item", "itemid", "item_id", "iid", "movieid", "movie_id", "movie", "item_id:token"),
    "rating": ("rating", "r_ui", "score", "rating:float"),
}


class DatasetNotFoundError(FileNotFoundError):
    """A data set is in none of the places where it was looked for."""


def load(
    name: str, path: str | os.PathLike[str] | None = None, rating_scale: tuple[float, float] | None = None
) -> Dataset:
    """Load ratings as a Surprise dataset.

    A known data set is taken from ``path`` if that is given; else from the folder that the environment variable
    ``SURPRISE_AUTOREC_DATA`` names, Surprise's own cache, or (ML-100K) the copy inside an installed recbole package,
    the first that has it; else Surprise downloads it, if it knows it (ML-100K and ML-1M). Wherever it came from, the
    ratings, their order and their ids (strings, as in ``surprise.Dataset.load_builtin``) are the same.

    Parameters
    ----------
    name : str
        "ml-100k", "ml-1m", "ml-latest-small", or the path of a file of your own.
    path : str or path-like, optional
        A file, or a folder that holds one of the data set's files. Formats, by suffix: GroupLens's ``.data`` (tabs) and
        ``.dat`` (``::``); ``.csv`` and ``.parquet`` with columns for user, item and rating (names such as ``userId``
        and ``movieId`` are understood); ``.inter``; ``.npz`` with arrays ``user``, ``item`` and ``rating``.
        Text files give ids that are strings, the others ids of the type stored.
    rating_scale : tuple of float, optional
        Lowest and highest rating. Default: the known data set's, or else the lowest and highest of the file.

    Returns
    -------
    surprise.Dataset

    Raises
    ------
    DatasetNotFoundError
        If a data set or file is not found; the message names every place that was tried.
    ValueError
        If a file cannot be read as ratings.
    """
    source = _SOURCES.get(name)
    if source is None:
        file = Path(path if path is not None else name)
        if not file.is_file():
            raise DatasetNotFoundError(
                f"name must be one of {sorted(_SOURCES)} or the path of a file, got {str(file)!r}"
            )
        frame = _read(file)
        scale = (float(frame["rating"].min()), float(frame["rating"].max()))
    else:
        frame = _read(_find(name, source, path)).astype({"user": "str", "item": "str"})
        scale = source.scale
    return Dataset.load_from_df(frame, Reader(rating_scale=rating_scale or scale))


def _find(name: str, source: _Source, path: str | os.PathLike[str] | None) -> Path:
    """The file of a known data set, downloaded if need be."""
    tried = []
    for place, file in _places(name, source, path):
        if file is not None and file.is_file():
            return file
        tried.append(place)
    if path is None and name in BUILTIN_DATASETS:
        builtin = BUILTIN_DATASETS[name]
        try:
            download_builtin_dataset(name)
            return Path(builtin.path)
        except OSError as error:
            tried.append(f"{builtin.url} (Surprise's download: {error})")
    places = "\n  ".join(tried)
    raise DatasetNotFoundError(
        f"{name} is in none of these places:\n  {places}\n"
        f"To mend it, give the path of {source.files[0]}, or set {DATA_FOLDER} to a folder that has "
        f"{name}/{source.files[0]}"
    )


def _places(name: str, source: _Source, path: str | os.PathLike[str] | None) -> Iterator[tuple[str, Path | None]]:
    """Where to look, in order: each place in words, and the file that it may have."""
    if path is not None:
        for file in (Path(path), *(Path(path, file) for file in source.files)):
            yield str(file), file
        return
    folder = os.environ.get(DATA_FOLDER)
    if not folder:
        yield f"the folder that {DATA_FOLDER} names (it is not set)", None
    else:
        for file in (Path(folder, name, file) for file in source.files):
            yield str(file), file
    if name in BUILTIN_DATASETS:
        cached = Path(BUILTIN_DATASETS[name].path)
        yield f"{cached} (Surprise's cache)", cached
    if name == "ml-100k":
        recbole = find_spec("recbole")
        if recbole is None or not recbole.submodule_search_locations:
            yield "the recbole package (it is not installed)", None
        else:
            file = Path(recbole.submodule_search_locations[0], "dataset_example", name, f"{name}.inter")
            yield f"{file} (the recbole package)", file


def _read_npz(file: Path) -> pd.DataFrame:
    known = {name for names in _COLUMNS.values() for name in names}
    arrays = np.load(file, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise ValueError("it holds one array without a name")
    with arrays:
        return pd.DataFrame({name: arrays[name] for name in arrays.files if name.lower() in known})


def _read_text(file: Path | IO[str], **options: Any) -> pd.DataFrame:
    frame: pd.DataFrame = pd.read_csv(file, dtype=str, keep_default_na=False, **options)
    return frame


_GROUPLENS = ["user", "item", "rating", "timestamp"]
_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".data": lambda file: _read_text(file, sep="\t", names=_GROUPLENS),
    ".dat": lambda file: _read_text(file, sep="::", names=_GROUPLENS, engine="python", encoding="latin-1"),
    ".inter": lambda file: _read_text(file, sep="\t"),
    ".csv": _read_text,
    ".parquet": pd.read_parquet,
    ".npz": _read_npz,
}


def _read(file: Path) -> pd.DataFrame:
    """A file's ratings, in its order, as columns user, item and rating (float)."""
    return read(file, ("user", "item", "rating"))


def read(source: str | os.PathLike[str] | IO[str], roles: Sequence[str]) -> pd.DataFrame:
    """Read some of the columns user, item and rating, whatever they are named.

    Parameters
    ----------
    source : path, or text stream
        A file of one of the formats that `load` knows; a stream is read as csv.
    roles : sequence of str
        Which of "user", "item" and "rating" there must be. Other columns are left out.

    Returns
    -------
    DataFrame
        The columns, under these names, in the order of the file; ratings are floats.

    Raises
    ------
    ValueError
        If it cannot be read, lacks a column, has no rows, or a value is missing or no number.
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
        if column is None:
            raise ValueError(
                f"{name} must have a column for the {role}, named one of {list(names)}, got {list(frame.columns)}"
            )
        chosen[role] = frame[column]
    if frame.empty:
        raise ValueError(f"{name} must have at least one {row}, got none")
    if "rating" in roles:
        ratings = pd.to_numeric(chosen["rating"], errors="coerce").astype(np.float64)
        _check_rows(f"{name}: the rating of rating", "a finite number", chosen["rating"], ratings.abs() < np.inf)
        chosen["rating"] = ratings
    for role in (role for role in roles if role != "rating"):
        is_there = chosen[role].notna() & (chosen[role] != "")
        _check_rows(f"{name}: the {role} of {row}", "an id", chosen[role], is_there)
    return pd.DataFrame(chosen)


def _check_rows(what: str, rule: str, values: pd.Series[Any], holds: pd.Series[bool]) -> None:
    wrong = np.flatnonzero(~holds.to_numpy())
    if len(wrong):
        raise ValueError(f"{what} {wrong[0] + 1} must be {rule}, got {values.iloc[wrong[0]]!r}")


def make_ratings(
    n_users: int = 500,
    n_items: int = 300,
    n_ratings: int = 20_000,
    *,
    n_factors: int = 5,
    noise: float = 0.5,
    popularity_skew: float = 1.0,
    rating_scale: tuple[float, float] = (1.0, 5.0),
    random_state: int = 0,
) -> pd.DataFrame:
    """Make synthetic ratings of known structure, for tests and benchmarks.

    A rating is the scale's middle plus biases of user and item plus an inner product of their factors plus Gaussian
    noise, clipped to the scale. Few ratings need that, so that no predictor can have an RMSE much below ``noise``.

    Parameters
    ----------
    n_users, n_items : int, default=500, 300
        Numbers of users and items.
    n_ratings : int, default=20_000
        Number of ratings, at most ``n_users * n_items``; no pair is rated twice.
    n_factors : int, default=5
        Rank of the structure.
    noise : float, default=0.5
        Standard deviation of the noise, in rating points.
    popularity_skew : float, default=1.0
        The n-th most popular item is rated in proportion to ``(n + 10) ** -popularity_skew``; 0 for equal shares.
    rating_scale : tuple of float, default=(1.0, 5.0)
        Lowest and highest rating.
    random_state : int, default=0
        Seed.

    Returns
    -------
    DataFrame
        Columns user (int32), item (int32) and rating (float64), in random order, ready for
        ``surprise.Dataset.load_from_df``.

    Raises
    ------
    ValueError
        If there are fewer pairs than ratings, or the noise or the scale is negative.
    """
    if not 0 < n_ratings <= n_users * n_items:
        raise ValueError(f"n_ratings must be in 1..n_users * n_items ({n_users * n_items}), got {n_ratings}")
    if not noise >= 0:
        raise ValueError(f"noise must be a number >= 0, got {noise}")
    low, high = rating_scale
    if not low < high:
        raise ValueError(f"rating_scale must be a lower and a higher number, got {rating_scale}")
    generator = np.random.default_rng(random_state)
    popularity: FloatArray = (generator.permutation(n_items) + 10.0) ** -popularity_skew
    activity = generator.lognormal(sigma=1.0, size=n_users)
    users, items = _draw_pairs(generator, activity, popularity, n_ratings)

    unit = (high - low) / 8  # a standard deviation of the structure, to keep nearly all ratings inside the scale
    structure = generator.normal(size=n_users, scale=0.5)[users] + generator.normal(size=n_items, scale=0.5)[items]
    for _ in range(n_factors):
        tastes, traits = generator.normal(size=n_users), generator.normal(size=n_items)
        structure += tastes[users] * traits[items] / np.sqrt(2 * n_factors)
    ratings = (low + high) / 2 + unit * structure + generator.normal(size=n_ratings, scale=noise)
    return pd.DataFrame({"user": users, "item": items, "rating": np.clip(ratings, low, high)})


def _draw_pairs(
    generator: np.random.Generator, activity: FloatArray, popularity: FloatArray, size: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Distinct pairs in random order, drawn in proportion to the user's activity and the item's popularity."""
    n_users, n_items = len(activity), len(popularity)
    if size > n_users * n_items // 20:  # dense: the largest of all pairs' logarithmic weights plus Gumbel noise
        keys = np.log(activity)[:, None] + np.log(popularity) + generator.gumbel(size=(n_users, n_items))
        pairs = np.sort(np.argpartition(keys.ravel(), -size)[-size:])  # unsorted, their order depends on the machine
    else:  # sparse: draw with replacement until enough are distinct
        users_upto, items_upto = np.cumsum(activity), np.cumsum(popularity)
        pairs = np.empty(0, np.int64)
        while len(pairs) < size:
            n_more = int(1.1 * (size - len(pairs))) + 100
            users = np.searchsorted(users_upto, generator.random(n_more) * users_upto[-1])
            items = np.searchsorted(items_upto, generator.random(n_more) * items_upto[-1])
            pairs = np.unique(np.concatenate([pairs, users * n_items + items]))
    pairs = generator.permutation(pairs)[:size]
    return (pairs // n_items).astype(np.int32), (pairs % n_items).astype(np.int32)
