"""Cross-validation of AutoRec on arrays: the folds of Surprise's KFold, without its trainsets."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd

from surprise_autorec.algorithm import AutoRec
from surprise_autorec.fitting import Ratings, fit_model
from surprise_autorec.study.fits import Outcome, Wanted, reason_of
from surprise_autorec.study.runner import Job, Key, Results, Runner


class Fold(NamedTuple):
    """Ratings to train on, and others, with the same numbers for users and items, to test with.

    In the ``test`` part, -1 is a user or item that the training part does not have.
    """

    train: Ratings
    test: Ratings


def kfold(ratings: Ratings, n_folds: int, seed: int) -> Iterator[Fold]:
    """Split ratings as ``surprise.model_selection.KFold(n_folds, random_state=seed)`` does.

    Users and items of each training part are numbered as they appear in it, as in a trainset. Raises
    ValueError if there are fewer ratings than folds.
    """
    all_users, all_items, values, user_ids, item_ids, scale = ratings
    n_ratings = len(values)
    if n_folds > n_ratings:
        raise ValueError(
            f"the number of folds must be at most that of the ratings, {n_ratings}, got {n_folds}"
        )
    order = np.arange(n_ratings)
    np.random.RandomState(seed).shuffle(order)
    ends = np.cumsum([len(part) for part in np.array_split(order, n_folds)])
    for start, end in zip([0, *ends], ends, strict=False):
        trained_on, tested = np.concatenate([order[:start], order[end:]]), order[start:end]
        users = _renumbered(all_users, trained_on, tested)
        items = _renumbered(all_items, trained_on, tested)
        ids = [user_ids[user] for user in users.kept], [item_ids[item] for item in items.kept]
        yield Fold(
            Ratings(users.train, items.train, values[trained_on], *ids, scale),
            Ratings(users.test, items.test, values[tested], *ids, scale),
        )


class _Numbers(NamedTuple):
    """Numbers of users or items, and the old numbers by the new ones."""

    train: npt.NDArray[np.int32]
    test: npt.NDArray[np.int32]
    kept: npt.NDArray[np.int32]


def _renumbered(
    codes: npt.NDArray[np.int32], trained_on: npt.NDArray[np.int64], tested: npt.NDArray[np.int64]
) -> _Numbers:
    train, kept = pd.factorize(codes[trained_on])
    new_numbers = np.full(codes.max() + 1, -1, np.int32)
    new_numbers[kept] = np.arange(len(kept), dtype=np.int32)
    return _Numbers(train.astype(np.int32), new_numbers[codes[tested]], kept)


def measure_autorec(
    algorithms: Mapping[str, AutoRec],
    ratings: Ratings,
    n_folds: int,
    seed: int,
    n_jobs: int | None = 1,
    output: str | os.PathLike[str] | None = None,
) -> Results:
    """Fit and test AutoRec, with one set of parameters or several, on the same folds; show a progress bar.

    ``algorithms`` has the parameters by name. For the folds see `kfold`. ``n_jobs`` and ``output`` are as in
    `surprise_autorec.compare`.

    Raises ValueError if a seed is not an integer where it must be, or ``output`` cannot be written, and
    KeyboardInterrupt if Ctrl-C comes before a fit is done.
    """
    runner = Runner(algorithms, Wanted(), n_jobs, output=output)

    def jobs() -> Iterator[Job]:
        for number, fold in enumerate(kfold(ratings, n_folds, seed), start=1):
            fingerprint = str(joblib.hash(fold)) if runner.store else ""
            for name, parameters in algorithms.items():
                key = Key("ratings", name, repeat=1, fold=number, train_size=1.0)
                yield Job(key, fingerprint, partial(_fit_and_test, parameters, fold))

    return runner.run(jobs(), n_folds * len(algorithms), verbose=True)


def _fit_and_test(parameters: AutoRec, fold: Fold) -> Outcome:
    """Errors and times of a fit, or why it failed."""
    start = time.perf_counter()
    try:
        model = fit_model(fold.train, parameters).model
    except Exception as error:
        return Outcome({"error": reason_of(error)})
    fitted = time.perf_counter()
    users, items, values, *_ = fold.test
    errors = model.answer(users, items) - values
    return Outcome(
        {
            "rmse": float(np.sqrt(np.mean(errors**2))),
            "mae": float(np.mean(np.abs(errors))),
            "fit_time": fitted - start,
            "test_time": time.perf_counter() - fitted,
        }
    )
