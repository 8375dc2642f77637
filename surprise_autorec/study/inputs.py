"""What users give to a comparison: ratings, algorithms and folds, checked and named."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from surprise import AlgoBase, Dataset
from surprise.model_selection import KFold

from surprise_autorec.checks import check, is_integer, positive_integer
from surprise_autorec.data.sources import as_pandas
from surprise_autorec.datasets import load, to_dataset
from surprise_autorec.display import as_text

#: The name of a data set that was given without one.
ONLY = "data"


def as_datasets(data: Any) -> dict[str, Dataset]:
    """Surprise datasets by name.

    Parameters
    ----------
    data : surprise.Dataset, pandas or polars DataFrame, str, or mapping of str to these
        As in `surprise_autorec.compare`.
    """
    if isinstance(data, Mapping):
        check("data", dict(data), "a mapping with at least one data set", len(data) > 0)
        return {str(name): _as_dataset(f"data[{name!r}]", one) for name, one in data.items()}
    return {data if isinstance(data, str) else ONLY: _as_dataset("data", data)}


def _as_dataset(name: str, data: Any) -> Dataset:
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str):
        return load(data)
    frame = as_pandas(data)
    if isinstance(frame, pd.DataFrame):
        return to_dataset(_three_columns(name, frame))
    raise ValueError(
        f"{name} must be a Surprise Dataset, a pandas or polars DataFrame, a name that datasets.load knows, "
        f"or a mapping of names to these, got {type(data).__name__}"
    )


def _three_columns(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns user, item and rating, found by name or else by position, and timestamp if there is one."""
    roles = ["user", "item", "rating"]
    if not set(roles) <= set(frame.columns):
        rule = "a table with columns user, item and rating, or with these three in this order"
        if frame.shape[1] != 3:
            raise ValueError(f"{name} must be {rule}, got columns {list(frame.columns)}")
        frame = frame.set_axis(roles, axis="columns")
    frame = frame[[*roles, *(name for name in frame.columns if name == "timestamp")]]
    check(name, "an empty one", "a table with at least one rating", len(frame) > 0)
    ratings = pd.to_numeric(frame["rating"], errors="coerce")
    wrong = np.flatnonzero(~np.isfinite(ratings.to_numpy(np.float64, na_value=np.nan)))
    if len(wrong):
        value = frame["rating"].iloc[wrong[0]]
        raise ValueError(f"{name}: the rating in row {wrong[0] + 1} must be a finite number, got {value!r}")
    return frame.assign(rating=ratings.astype(np.float64))


def as_algorithms(algorithms: Mapping[str, AlgoBase] | Iterable[AlgoBase]) -> dict[str, AlgoBase]:
    """Algorithms by name: the keys of the mapping, or else the names of their classes."""
    if isinstance(algorithms, (type, AlgoBase)):
        raise ValueError(
            f"algorithms must be a list of algorithms or a mapping of names to them, got {algorithms!r}"
        )
    if isinstance(algorithms, Mapping):
        named = {str(name): algorithm for name, algorithm in algorithms.items()}
    else:
        listed = list(algorithms)
        for algorithm in listed:
            _check_algorithm("algorithms", algorithm)
        names = [type(algorithm).__name__ for algorithm in listed]
        if len(set(names)) < len(names):
            raise ValueError(
                f"several algorithms of one class must be given as a mapping that names them, got {names}"
            )
        named = dict(zip(names, listed, strict=True))
    if not named:
        raise ValueError("algorithms must contain at least one, got none")
    for name, algorithm in named.items():
        _check_algorithm(f"algorithms[{name!r}]", algorithm)
    return named


def _check_algorithm(name: str, algorithm: Any) -> None:
    if isinstance(algorithm, type):
        raise ValueError(
            f"{name} must be an algorithm, not its class: pass {algorithm.__name__}() instead of "
            f"{algorithm.__name__}"
        )
    if not isinstance(algorithm, AlgoBase):
        raise ValueError(f"{name} must be an algorithm of Surprise (an AlgoBase), got {algorithm!r}")


def check_seeds(algorithms: Mapping[str, AlgoBase]) -> None:
    """Refuse random generators, whose state depends on which fits came before."""
    for name, algorithm in algorithms.items():
        given = vars(algorithm).get("random_state")
        if isinstance(given, np.random.RandomState):
            raise ValueError(
                f"random_state of {name} must be an int where fits are kept or run at the same time, because "
                "a RandomState gives other numbers to each fit; got a RandomState"
            )


def as_splitters(cv: Any, repeats: int) -> list[Any]:
    """An iterator over folds for each repeat.

    Parameters
    ----------
    cv : int, None, or cross-validation iterator
        As in `surprise_autorec.compare`.
    repeats : int
        The n-th repeat, from 0, adds n to the iterator's ``random_state``.
    """
    repeats = positive_integer("repeats", repeats)
    if cv is None or is_integer(cv):
        n_folds = 5 if cv is None else int(cv)
        check("cv", cv, "at least 2 folds", n_folds >= 2)
        cv = KFold(n_folds, random_state=0)
    if isinstance(cv, (str, type)) or not callable(getattr(cv, "split", None)):
        raise ValueError(
            f"cv must be a number of folds or an iterator over folds, such as KFold(5), got {cv!r}"
        )
    if repeats == 1:
        return [cv]
    seed = vars(cv).get("random_state")
    if not isinstance(seed, Integral):
        raise ValueError(f"repeats needs a cv with an integer as random_state, got random_state={seed!r}")
    splitters = []
    for repeat in range(repeats):
        splitter = copy.copy(cv)
        splitter.random_state = int(seed) + repeat
        splitters.append(splitter)
    return splitters


def check_same_folds_each_run(splitter: Any) -> None:
    """Refuse folds that would be others in the next run, so that nothing could be continued."""
    settings = vars(splitter)
    if "random_state" in settings and settings.get("shuffle", True):
        seed = settings["random_state"]
        if not isinstance(seed, Integral):
            raise ValueError(
                "cv must have an integer as random_state if there is an output folder, so that a second run "
                f"has the same folds, got random_state={seed!r}"
            )


def describe_splitter(splitter: Any) -> str:
    """An iterator as a call, such as ``KFold(n_splits=5, random_state=0)``."""
    settings = {name: value for name, value in vars(splitter).items() if not name.startswith("_")}
    return as_text(type(splitter).__name__, settings)
