"""Comparison studies: algorithms measured on the same folds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import pandas as pd
from joblib import effective_n_jobs
from surprise import AlgoBase

from surprise_autorec.checks import check, flag, number, positive_integer
from surprise_autorec.study.fits import Wanted
from surprise_autorec.study.info import StudyInfo
from surprise_autorec.study.inputs import (
    as_algorithms,
    as_datasets,
    as_splitters,
    check_same_folds_each_run,
    check_seeds,
)
from surprise_autorec.study.result import Comparison
from surprise_autorec.study.runner import Study
from surprise_autorec.study.storage import Store


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
    given = as_algorithms(algorithms)
    wanted = Wanted(
        None if rank_at is None else positive_integer("rank_at", rank_at),
        flag("keep_predictions", keep_predictions),
    )
    splitters = as_splitters(cv, repeats)
    sizes = _train_sizes(train_sizes)
    is_number = isinstance(n_jobs, Integral) and not isinstance(n_jobs, bool) and n_jobs != 0
    check("n_jobs", n_jobs, "an integer other than 0, or None", n_jobs is None or is_number)
    n_parallel = effective_n_jobs(n_jobs)
    if n_threads is not None:
        n_threads = positive_integer("n_threads", n_threads)
    elif n_parallel > 1:
        n_threads = 1
    if n_parallel > 1 or output is not None:
        check_seeds(given, "with n_jobs" if n_parallel > 1 else "with an output folder")
    datasets = as_datasets(data)
    store = None
    if output is not None:
        for splitter in splitters:
            check_same_folds_each_run(splitter)
        store = Store(output, wanted)
    study = Study(given, datasets, splitters, sizes, wanted, store)
    results = study.run(n_parallel, n_jobs, n_threads, verbose)
    info = StudyInfo.of(study.describe_folds(), len(splitters), sizes, results.n_planned, results.interrupted)
    return Comparison(_folds(results.rows, list(datasets), list(given)), info, results.predictions)


def _train_sizes(train_sizes: Sequence[float] | None) -> tuple[float, ...]:
    if train_sizes is None:
        return (1.0,)
    rule = "in (0, 1]"
    sizes = [number(f"train_sizes[{n}]", size, rule, _is_share) for n, size in enumerate(train_sizes)]
    check("train_sizes", list(train_sizes), "at least one share", len(sizes) > 0)
    return tuple(sorted(set(sizes)))


def _is_share(size: float) -> bool:
    return 0 < size <= 1


def _folds(rows: list[dict[str, Any]], datasets: list[str], algorithms: list[str]) -> pd.DataFrame:
    """The rows as a table, in the order of the study whatever the order in which they finished."""
    frame = pd.DataFrame(rows)
    for column in ("rmse", "mae", "fit_time", "test_time", "peak_memory"):
        if column not in frame:  # every fit failed
            frame[column] = float("nan")
    frame["error"] = frame["error"].fillna("") if "error" in frame else ""
    places = frame[["repeat", "fold", "train_size"]].assign(
        data=frame["data"].map(datasets.index), algorithm=frame["algorithm"].map(algorithms.index)
    )
    order = places.sort_values(["data", "repeat", "fold", "train_size", "algorithm"]).index
    last = ["fit_time", "test_time", "peak_memory", "n_jobs", "error"]
    return frame.loc[order, [*frame.columns.difference(last, sort=False), *last]].reset_index(drop=True)
