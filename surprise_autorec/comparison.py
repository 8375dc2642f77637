"""Comparison studies: algorithms measured on the same folds. The parts are in `surprise_autorec.study`."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from surprise import AlgoBase, Dataset, Trainset
from surprise.model_selection import KFold

from surprise_autorec.checks import check, flag, is_integer, number, positive_integer
from surprise_autorec.data.readers import as_pandas
from surprise_autorec.datasets import load, to_dataset
from surprise_autorec.display import as_text
from surprise_autorec.study.fits import Outcome, PackedFold, Test, Wanted, fit_and_test
from surprise_autorec.study.measures import errors_by_count, errors_by_rating, ranking_scores
from surprise_autorec.study.result import Comparison
from surprise_autorec.study.runner import ONLY, Job, Key, Runner, StudyInfo
from surprise_autorec.study.significance import (
    Significance,
    corrected_t_test,
    critical_difference,
    friedman,
    nemenyi,
    rank_tests,
)

__all__ = [
    "Comparison",
    "Significance",
    "compare",
    "corrected_t_test",
    "critical_difference",
    "errors_by_count",
    "errors_by_rating",
    "friedman",
    "nemenyi",
    "rank_tests",
    "ranking_scores",
]


def compare(
    algorithms: Mapping[str, AlgoBase] | Iterable[AlgoBase],
    data: Any,
    cv: Any = None,
    verbose: bool = False,
    rank_at: int | None = None,
    *,
    repeats: int = 1,
    train_sizes: Sequence[float] | None = None,
    n_jobs: int | None = 1,
    n_threads: int | None = None,
    output: str | os.PathLike[str] | None = None,
    keep_predictions: bool = False,
) -> Comparison:
    """Cross-validate algorithms on the same folds.

    Copies of the algorithms take turns on each fold, so that their times can be compared even if the speed of
    the machine drifts. An algorithm that fails is reported, and the others go on. After Ctrl-C,
    the result has the finished fits.

    Parameters
    ----------
    algorithms : mapping of str to AlgoBase, or iterable of AlgoBase
        The algorithms to compare, named by the keys of the mapping or else by their classes.
    data : surprise.Dataset, DataFrame, str, or mapping of str to these
        The ratings. A DataFrame of pandas or polars has columns user, item and rating, by name or in this
        order; its lowest and highest rating are the scale. A str is a name for `datasets.load`. A mapping
        names several data sets.
    cv : int, cross-validation iterator, or None, default=None
        A number of folds n means ``KFold(n, random_state=0)``, and None means 5. Otherwise an iterator of
        Surprise or of `surprise_autorec.splits`, or any with ``split(data)``.
    verbose : bool, default=False
        Whether to show a progress bar and, above it, the result of each fit.
    rank_at : int, optional
        Length of the lists that `ranking_scores` evaluates. Default: rankings are not evaluated.
    repeats : int, default=1
        How often to repeat the folds. Each repeat adds 1 to the ``random_state`` of ``cv``.
    train_sizes : sequence of float, optional
        Shares of the training ratings of each fold to train on, in (0, 1], for a learning curve. Default:
        all ratings.
    n_jobs : int, default=1
        How many fits to run at a time, through joblib, whose ``parallel_config`` chooses the backend; -1
        means one for each core. With integer seeds, the errors are the same for any number. Times are
        comparable only with 1.
    n_threads : int, optional
        Threads of each fit. Default: 1 if several fits run at a time; otherwise unchanged.
    output : str or path-like, optional
        A folder that keeps every finished fit. A second call with the same inputs continues where the first
        stopped. Changed ratings, folds, parameters or classes are noticed and fitted again, with a warning;
        changed code is not noticed. Give algorithms that are not fitted yet.
    keep_predictions : bool, default=False
        Whether to keep all predictions, for `Comparison.errors`: in memory, and in ``output`` as csv files.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If a parameter is not as above. Seeds must be integers or None if ``n_jobs`` is not 1 or there is an
        ``output``.
    """
    given = _as_algorithms(algorithms)
    wanted = Wanted(
        None if rank_at is None else positive_integer("rank_at", rank_at),
        flag("keep_predictions", keep_predictions),
    )
    splitters = _as_splitters(cv, repeats)
    sizes = _train_sizes(train_sizes)
    is_number = is_integer(n_jobs) and n_jobs != 0
    check("n_jobs", n_jobs, "an integer other than 0, or None", n_jobs is None or is_number)
    if n_threads is not None:
        n_threads = positive_integer("n_threads", n_threads)
    datasets = _as_datasets(data)
    if output is not None:
        for splitter in splitters:
            _check_same_folds_each_run(splitter)
    runner = Runner(given, wanted, n_jobs, n_threads, output)
    n_folds = _n_folds(splitters)
    results = runner.run(
        _jobs(given, _folds(datasets, splitters, sizes), wanted, runner),
        n_folds and n_folds * len(datasets) * len(sizes) * len(given),
        verbose,
    )
    info = StudyInfo.of(_describe_splitter(splitters[0]), len(splitters), sizes, results)
    return Comparison(results.folds, info, results.predictions)


def _train_sizes(train_sizes: Sequence[float] | None) -> tuple[float, ...]:
    if train_sizes is None:
        return (1.0,)
    rule = "in (0, 1]"
    sizes = [
        number(f"train_sizes[{n}]", size, rule, lambda size: 0 < size <= 1)
        for n, size in enumerate(train_sizes)
    ]
    check("train_sizes", list(train_sizes), "at least one share", len(sizes) > 0)
    return tuple(sorted(set(sizes)))


class _Fold(NamedTuple):
    data: str
    repeat: int
    fold: int
    train_size: float
    trainset: Trainset
    testset: Test


def _folds(
    datasets: Mapping[str, Dataset], splitters: Sequence[Any], train_sizes: Sequence[float]
) -> Iterator[_Fold]:
    for name, data in datasets.items():
        for repeat, splitter in enumerate(splitters, 1):
            for fold, (trainset, testset) in enumerate(splitter.split(data), 1):
                for size in train_sizes:
                    part = trainset if size == 1 else _part(data, trainset, size, seed=fold)
                    yield _Fold(name, repeat, fold, size, part, testset)


def _part(data: Dataset, trainset: Trainset, size: float, seed: int) -> Trainset:
    """A random part of a trainset. A larger part of the same fold contains every smaller one."""
    ratings = list(trainset.all_ratings())
    order = np.random.default_rng(seed).permutation(len(ratings))
    chosen = np.sort(order[: max(1, round(size * len(ratings)))])
    triples = (ratings[n] for n in chosen)
    raw = [(trainset.to_raw_uid(u), trainset.to_raw_iid(i), rating, None) for u, i, rating in triples]
    return data.construct_trainset(raw)


def _n_folds(splitters: Sequence[Any]) -> int | None:
    try:
        return sum(int(splitter.get_n_folds()) for splitter in splitters)
    except AttributeError:  # Surprise's PredefinedKFold does not know before it has split
        return None


def _jobs(
    algorithms: Mapping[str, AlgoBase], folds: Iterable[_Fold], wanted: Wanted, runner: Runner
) -> Iterator[Job]:
    """The fits: the algorithms take turns on each fold."""
    is_sent, is_kept = runner.n_parallel > 1, runner.store is not None
    for data, repeat, fold, size, trainset, testset in folds:
        packed = PackedFold.of(trainset, testset) if is_sent or is_kept else None
        fingerprint = packed.fingerprint() if packed and is_kept else ""
        for name, algorithm in algorithms.items():
            fit = partial(fit_and_test, algorithm, trainset, testset, wanted)
            if packed and is_sent:
                fit = partial(_fit_and_test_packed, algorithm, packed, wanted)
            yield Job(Key(data, name, repeat, fold, size), fingerprint, fit)


def _fit_and_test_packed(algorithm: AlgoBase, fold: PackedFold, wanted: Wanted) -> Outcome:
    return fit_and_test(algorithm, *fold.unpack(), wanted)


def _as_datasets(data: Any) -> dict[str, Dataset]:
    """Surprise datasets by name, of what `compare` takes."""
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


def _as_algorithms(algorithms: Mapping[str, AlgoBase] | Iterable[AlgoBase]) -> dict[str, AlgoBase]:
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


def _as_splitters(cv: Any, repeats: int) -> list[Any]:
    """An iterator over folds for each repeat.

    The n-th repeat, from 0, adds n to the ``random_state`` of the iterator.
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


def _check_same_folds_each_run(splitter: Any) -> None:
    """Refuse folds that would be others in the next run, so that nothing could be continued."""
    settings = vars(splitter)
    if "random_state" in settings and settings.get("shuffle", True):
        seed = settings["random_state"]
        if not isinstance(seed, Integral):
            raise ValueError(
                "cv must have an integer as random_state if there is an output folder, so that a second run "
                f"has the same folds, got random_state={seed!r}"
            )


def _describe_splitter(splitter: Any) -> str:
    """An iterator as a call, such as ``KFold(n_splits=5, random_state=0)``."""
    settings = {name: value for name, value in vars(splitter).items() if not name.startswith("_")}
    return as_text(type(splitter).__name__, settings)
