"""The loop that fits and tests algorithms on folds, shared by ``compare``, ``evaluate`` and ``tune``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from surprise import AlgoBase, Dataset, Prediction, Trainset, accuracy
from surprise.model_selection.split import get_cv

#: Computes further figures from the predictions for a fold's test ratings, in addition to RMSE and MAE.
Score = Callable[[list[Prediction], Trainset], Mapping[str, float]]

#: Called with the name of an algorithm that failed and its exception. It raises to end the study, or returns
#: to continue without the algorithm.
OnFailure = Callable[[str, Exception], object]

_TIMES = ["fit_time", "test_time"]


def measure(
    makers: Mapping[str, Callable[[], AlgoBase]],
    data: Dataset,
    cv: Any = None,
    *,
    score: Score | None = None,
    on_failure: OnFailure | None = None,
    verbose: bool = False,
) -> pd.DataFrame:
    """Fit and test algorithms on the same folds.

    All algorithms take their turn on one fold before the next fold begins, so that their times can be
    compared even if the speed of the machine drifts.

    Parameters
    ----------
    makers : mapping of str to callable
        For each name a callable that returns the algorithm, called whenever it is the algorithm's turn. If it
        returns a new object each time, only one fitted model is in memory at a time.
    data : surprise.Dataset
    cv : int, cross-validation iterator of Surprise, or None, default=None
        As in ``surprise.model_selection.cross_validate``: None means 5 folds.
    score : callable, optional
        Called with the predictions and the trainset. It returns further figures by name.
    on_failure : callable, optional
        Called with the name of an algorithm and the exception that its ``fit`` or ``test`` raised. If it
        returns, the study continues without this algorithm. Default: the exception is raised.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        A row for each fold and algorithm, in the order of measurement: ``fold`` (from 1), ``algorithm``,
        ``rmse``, ``mae``, ``fit_time`` and ``test_time`` (in seconds), and the figures of ``score``. An
        algorithm that failed on any fold has no rows.
    """
    from tqdm.auto import tqdm  # here, to keep the import of the package fast

    splitter = get_cv(cv)
    try:
        n_fits = splitter.get_n_folds() * len(makers)
    except AttributeError:  # Surprise's PredefinedKFold does not know before it has split
        n_fits = None
    rows: list[dict[str, Any]] = []
    failed: set[str] = set()
    with tqdm(total=n_fits, unit="fit", disable=not verbose) as bar:
        for fold, (trainset, testset) in enumerate(splitter.split(data), 1):
            for name, make in makers.items():
                bar.set_description(name)
                if name not in failed:
                    try:
                        figures = _fit_and_test(make(), trainset, testset, score)
                        rows.append({"fold": fold, "algorithm": name, **figures})
                    except Exception as error:
                        if on_failure is None:
                            raise
                        on_failure(name, error)
                        failed.add(name)
                bar.update()
    return pd.DataFrame([row for row in rows if row["algorithm"] not in failed])


def _fit_and_test(
    algorithm: AlgoBase, trainset: Trainset, testset: list[Any], score: Score | None
) -> dict[str, float]:
    """Errors, times and further figures of one algorithm on one fold."""
    start = time.perf_counter()
    algorithm.fit(trainset)
    fitted = time.perf_counter()
    predictions = algorithm.test(testset)
    tested = time.perf_counter()
    return {
        "rmse": accuracy.rmse(predictions, verbose=False),
        "mae": accuracy.mae(predictions, verbose=False),
        "fit_time": fitted - start,
        "test_time": tested - fitted,
        **({} if score is None else score(predictions, trainset)),
    }


def summarise(folds: pd.DataFrame) -> pd.DataFrame:
    """Summarise the rows of `measure`.

    Parameters
    ----------
    folds : DataFrame
        The result of `measure`.

    Returns
    -------
    DataFrame
        A row for each algorithm, indexed by name: ``rmse``, ``rmse_std``, ``mae``, ``mae_std`` (means and
        standard deviations over folds), ``fit_time``, ``test_time`` (medians over folds), ``time_ratio`` (fit
        plus test time, divided by that of the fastest algorithm), and the means of all further figures.
    """
    by_algorithm = folds.drop(columns="fold").groupby("algorithm")
    means = by_algorithm.mean().drop(columns=_TIMES)
    spreads = by_algorithm[["rmse", "mae"]].std(ddof=0).add_suffix("_std")
    times = by_algorithm[_TIMES].median()
    seconds = times.sum(axis=1)
    frame = means.join(spreads).join(times).assign(time_ratio=seconds / seconds.min())
    first = ["rmse", "rmse_std", "mae", "mae_std", *_TIMES, "time_ratio"]
    return frame[[*first, *frame.columns.difference(first, sort=False)]]
