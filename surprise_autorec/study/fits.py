"""One fit of a study: an algorithm is fitted and tested on a fold."""

from __future__ import annotations

import copy
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from surprise import AlgoBase, Prediction, Trainset, accuracy

from surprise_autorec.study.measures import ranking_scores, training_counts
from surprise_autorec.study.packing import Test

#: The columns of predictions that are not ids.
NUMBERS = ["rating", "estimate", "n_user", "n_item"]
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Wanted(NamedTuple):
    """What to record of each fit."""

    rank_at: int | None = None
    predictions: bool = False


class Outcome(NamedTuple):
    """What is recorded: figures or the text of an error, and the predictions if they are wanted."""

    figures: dict[str, Any]
    predictions: pd.DataFrame | None = None


def fit_and_test(algorithm: AlgoBase, trainset: Trainset, testset: Test, wanted: Wanted) -> Outcome:
    """Fit a copy of an algorithm and test it. An exception becomes the figure ``error``."""
    figures: dict[str, Any] = {"n_train": trainset.n_ratings, "n_test": len(testset)}
    try:
        algorithm = copy.deepcopy(algorithm)
        _forget_peak_memory()
        start = time.perf_counter()
        algorithm.fit(trainset)
        fitted = time.perf_counter()
        predictions = algorithm.test(testset)
        tested = time.perf_counter()
        figures |= {
            "rmse": float(accuracy.rmse(predictions, verbose=False)),
            "mae": float(accuracy.mae(predictions, verbose=False)),
            "fit_time": fitted - start,
            "test_time": tested - fitted,
            "peak_memory": _peak_memory(),
        }
        if wanted.rank_at is not None:
            figures |= ranking_scores(predictions, trainset, wanted.rank_at)
        return Outcome(figures, _frame(predictions, trainset) if wanted.predictions else None)
    except Exception as error:
        return Outcome({**figures, "error": reason_of(error)})


def reason_of(error: Exception) -> str:
    """An exception in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def _frame(predictions: list[Prediction], trainset: Trainset) -> pd.DataFrame:
    """Predictions as a table, with the number of training ratings of user and item."""
    n_user, n_item = training_counts(trainset, "user"), training_counts(trainset, "item")
    return pd.DataFrame(
        {
            "user": [prediction.uid for prediction in predictions],
            "item": [prediction.iid for prediction in predictions],
            "rating": [float(prediction.r_ui) for prediction in predictions],
            "estimate": [float(prediction.est) for prediction in predictions],
            "n_user": [n_user.get(prediction.uid, 0) for prediction in predictions],
            "n_item": [n_item.get(prediction.iid, 0) for prediction in predictions],
        }
    )


def _forget_peak_memory() -> None:
    """Let the system measure this process's peak memory from now on, where it can (Linux)."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return


def _peak_memory() -> float:
    """Peak resident memory of this process in MiB; NaN where the system does not tell (not Linux)."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"))
    except OSError:
        return float("nan")
    return float("nan") if found is None else int(found[1]) / 1024
