"""Rating data: the MovieLens data sets, files of your own, and synthetic ratings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from surprise import Dataset, Reader
from surprise.builtin_datasets import BUILTIN_DATASETS, download_builtin_dataset

from surprise_autorec.data.readers import read, tables_of
from surprise_autorec.data.tables import ROLES, TIMED_ROLES, role_batches

__all__ = ["DATA_FOLDER", "DatasetNotFoundError", "load", "make_ratings", "read"]

#: The environment variable for a folder of data sets, each in a subfolder of its own name.
DATA_FOLDER = "SURPRISE_AUTOREC_DATA"


class _Source(NamedTuple):
    """A known data set: its rating scale, and the names that GroupLens and others give to its file."""

    scale: tuple[float, float]
    files: tuple[str, ...]


_SOURCES = {
    "ml-100k": _Source((1, 5), ("u.data", "ml-100k.inter", "ml-100k/u.data")),
    "ml-1m": _Source((1, 5), ("ratings.dat", "ml1m.npz", "ml-1m/ratings.dat")),
    "ml-latest-small": _Source((0.5, 5), ("ratings.csv", "ml-latest-small/ratings.csv")),
}


class DatasetNotFoundError(FileNotFoundError):
    """A data set was not found in any of the places searched."""


class Opened(NamedTuple):
    """Ratings that are yet to be read, in batches, and the rating scale, if it is known."""

    batches: Iterator[pd.DataFrame]
    scale: tuple[float, float] | None


def load(
    name: str,
    path: str | os.PathLike[str] | None = None,
    rating_scale: tuple[float, float] | None = None,
    columns: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
) -> Dataset:
    """Load ratings as a Surprise dataset.

    If ``path`` is given, a known data set is read from there. Otherwise these places are searched in order:
    the folder given by the environment variable ``SURPRISE_AUTOREC_DATA``, Surprise's own cache and, for
    ML-100K, an installed recbole package, which contains a copy. If none of them has it, Surprise downloads
    it (ML-100K and ML-1M only). The ratings, their order and their ids (strings, as in
    ``surprise.Dataset.load_builtin``) are the same wherever they come from. Timestamps are kept in the
    dataset's ``raw_ratings``, as Surprise's readers do, or None where there are none.

    Parameters
    ----------
    name : str
        "ml-100k", "ml-1m", "ml-latest-small", or the path of a file of your own, or of a folder of files,
        which are read one after another.
    path : str or path-like, optional
        A file, or a folder that contains one of the data set's files. Formats, by suffix: ``.csv`` and
        ``.tsv`` with a header (what separates the fields is found out: a comma, semicolon, tab or ``|``; with
        semicolons, ratings may have decimal commas); GroupLens's ``.data`` (tabs) and ``.dat`` (``::``), both
        without a header; ``.inter``; ``.jsonl``, with an object in each line; ``.parquet``; ``.npz`` with
        arrays ``user``, ``item`` and ``rating``. Text files may be compressed: ``.csv.gz``. Usual names of
        columns, such as ``userId`` and ``movieId``, are understood, and columns other than those of user,
        item, rating and perhaps timestamp are ignored. Ids and timestamps from text files are strings; those
        from ``.jsonl``, ``.parquet`` and ``.npz`` have the type stored there.
    rating_scale : tuple of float, optional
        Lowest and highest rating. Default: the scale of the known data set, or the lowest and highest rating
        in the file.
    columns : mapping of str to str, optional
        The names of columns that have others than the usual ones, as in ``{"user": "Customer No", "rating":
        "stars"}``; by "user", "item", "rating" and "timestamp".
    names : sequence of str, optional
        The names of all columns of text files without a header.

    Returns
    -------
    surprise.Dataset

    Raises
    ------
    DatasetNotFoundError
        If a data set or file is not found; the message lists every place searched.
    TypeError
        If ``name`` is neither a text nor a path.
    ValueError
        If a file cannot be read as ratings.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise TypeError(
            f"name must be that of a data set or the path of a file, got a {type(name).__name__}; "
            "surprise.Dataset.load_from_df makes a dataset of a DataFrame"
        )
    batches, scale = open_ratings(name, path, columns, names, TIMED_ROLES)
    return to_dataset(pd.concat(list(batches), ignore_index=True), rating_scale or scale)


def open_ratings(
    name: str,
    path: str | os.PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    names: Sequence[str] | None = None,
    roles: Sequence[str] = ROLES,
) -> Opened:
    """Find ratings as `load` does, and their columns of some roles. Reading them may raise ValueError."""
    source = _SOURCES.get(name)
    if source is None:
        file = Path(path if path is not None else name)
        if not file.exists():
            raise DatasetNotFoundError(
                f"name must be one of {sorted(_SOURCES)} or the path of an existing file, got {str(file)!r}"
            )
        return Opened(role_batches(tables_of(file, names), roles, columns), None)
    batches = role_batches(tables_of(_find(name, source, path), names), roles, columns)
    return Opened(map(_with_texts, batches), source.scale)


def _with_texts(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({column: "str" for column in frame.columns if column != "rating"})


def to_dataset(frame: pd.DataFrame, rating_scale: tuple[float, float] | None = None) -> Dataset:
    """A Surprise dataset of columns user, item, rating and perhaps timestamp.

    The default scale is the range of the ratings.
    """
    found = float(frame["rating"].min()), float(frame["rating"].max())
    data = Dataset.load_from_df(frame[["user", "item", "rating"]], Reader(rating_scale=rating_scale or found))
    if "timestamp" in frame:
        with_times = zip(data.raw_ratings, frame["timestamp"], strict=True)
        data.raw_ratings = [(uid, iid, rating, time) for (uid, iid, rating, _), time in with_times]
    return data


def _find(name: str, source: _Source, path: str | os.PathLike[str] | None) -> Path:
    """The file of a known data set, downloaded if necessary."""
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
        f"{name} was not found in any of these places:\n  {places}\n"
        f"Give the path of {source.files[0]}, or set {DATA_FOLDER} to a folder that contains "
        f"{name}/{source.files[0]}"
    )


def _places(
    name: str, source: _Source, path: str | os.PathLike[str] | None
) -> Iterator[tuple[str, Path | None]]:
    """Where to look, in order: a description of each place, and the file that may be there."""
    if path is not None:
        for file in (Path(path), *(Path(path, file) for file in source.files)):
            yield str(file), file
        return
    folder = os.environ.get(DATA_FOLDER)
    if not folder:
        yield f"the folder given by {DATA_FOLDER} (not set)", None
    else:
        for file in (Path(folder, name, file) for file in source.files):
            yield str(file), file
    if name in BUILTIN_DATASETS:
        cached = Path(BUILTIN_DATASETS[name].path)
        yield f"{cached} (Surprise's cache)", cached
    if name == "ml-100k":
        recbole = find_spec("recbole")
        if recbole is None or not recbole.submodule_search_locations:
            yield "the recbole package (not installed: pip install --no-deps recbole)", None
        else:
            file = Path(recbole.submodule_search_locations[0], "dataset_example", name, f"{name}.inter")
            yield f"{file} (the recbole package)", file


FloatArray = npt.NDArray[np.floating]


def make_ratings(
    n_users: int = 500,
    n_items: int = 300,
    n_ratings: int = 20_000,
    *,
    n_factors: int = 5,
    noise: float = 0.5,
    popularity_skew: float = 1.0,
    n_rated_once: int = 0,
    rating_scale: tuple[float, float] = (1.0, 5.0),
    random_state: int = 0,
) -> pd.DataFrame:
    """Make synthetic ratings with a known structure, for tests and benchmarks.

    A rating is the middle of the scale, plus the biases of user and item, plus the inner product of their
    factors, plus Gaussian noise, clipped to the scale. Few ratings have to be clipped, so no predictor can
    reach an RMSE much below ``noise``.

    Parameters
    ----------
    n_users, n_items : int, default=500, 300
        Numbers of users and items.
    n_ratings : int, default=20_000
        Number of ratings, at most ``n_users * n_items``; no user rates an item twice.
    n_factors : int, default=5
        Rank of the structure.
    noise : float, default=0.5
        Standard deviation of the noise, in rating points.
    popularity_skew : float, default=1.0
        The n-th most popular item is rated in proportion to ``(n + 10) ** -popularity_skew``; with 0, all
        items are equally popular.
    n_rated_once : int, default=0
        So many of the items have one rating each, and only the others are rated by popularity: wide, very
        sparse ratings are like that.
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
        If there are more ratings than pairs, or no more than items rated once, ``noise`` is negative, or
        ``rating_scale`` does not ascend.
    """
    if not 0 < n_ratings <= n_users * n_items:
        raise ValueError(f"n_ratings must be in 1..n_users * n_items ({n_users * n_items}), got {n_ratings}")
    n_others = n_items - n_rated_once
    if not (0 <= n_rated_once < n_ratings and n_ratings - n_rated_once <= n_users * n_others):
        raise ValueError(
            "n_rated_once must leave at least one rating, and at most n_users for each other item, got "
            f"{n_rated_once} of {n_items} items and {n_ratings} ratings"
        )
    if not noise >= 0:
        raise ValueError(f"noise must be a number >= 0, got {noise}")
    low, high = rating_scale
    if not low < high:
        raise ValueError(f"rating_scale must be a lower number and a higher one, got {rating_scale}")
    generator = np.random.default_rng(random_state)
    popularity: FloatArray = (generator.permutation(n_others) + 10.0) ** -popularity_skew
    activity = generator.lognormal(sigma=1.0, size=n_users)
    users, items = _draw_pairs(generator, activity, popularity, n_ratings - n_rated_once)
    if n_rated_once:
        order = generator.permutation(n_ratings)
        once = generator.choice(n_users, n_rated_once, p=activity / activity.sum())
        users = np.append(users, once.astype(np.int32))[order]
        items = np.append(items, np.arange(n_others, n_items, dtype=np.int32))[order]

    unit = (high - low) / 8  # one standard deviation of the structure: nearly all ratings fit the scale
    user_biases, item_biases = (generator.normal(size=n, scale=0.5) for n in (n_users, n_items))
    structure = user_biases[users] + item_biases[items]
    for _ in range(n_factors):
        tastes, traits = generator.normal(size=n_users), generator.normal(size=n_items)
        structure += tastes[users] * traits[items] / np.sqrt(2 * n_factors)
    ratings = (low + high) / 2 + unit * structure + generator.normal(size=n_ratings, scale=noise)
    return pd.DataFrame({"user": users, "item": items, "rating": np.clip(ratings, low, high)})


def _draw_pairs(
    generator: np.random.Generator, activity: FloatArray, popularity: FloatArray, size: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Distinct pairs in random order, drawn in proportion to user activity and item popularity."""
    n_users, n_items = len(activity), len(popularity)
    if size > n_users * n_items // 20:  # dense: the largest log weights of all pairs, plus Gumbel noise
        keys = np.log(activity)[:, None] + np.log(popularity) + generator.gumbel(size=(n_users, n_items))
        # Sorted, because the order within a partition depends on the machine.
        pairs = np.sort(np.argpartition(keys.ravel(), -size)[-size:])
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
