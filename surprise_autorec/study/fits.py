"""One fit of a study: an algorithm is fitted and tested on a fold, which may come from another process."""

from __future__ import annotations

import copy
import re
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from surprise import AlgoBase, Prediction, Trainset, accuracy

from surprise_autorec.study.measures import ranking_scores, training_counts

#: The columns of predictions that are not ids.
NUMBERS = ["rating", "estimate", "n_user", "n_item"]
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

Test = list[tuple[Hashable, Hashable, float]]


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


@dataclass(frozen=True)
class PackedRatings:
    """The ratings of each user, or of each item, one after another, in the order of the trainset.

    ``raw_ids`` has the raw ids of users (items) by inner id, ``lengths`` how many ratings each has, and
    ``others`` the inner ids of the items (users).
    """

    raw_ids: list[Hashable]
    lengths: NDArray[np.intp]
    others: NDArray[np.int32]
    ratings: NDArray[np.float64]

    @classmethod
    def of(
        cls, raw_ids: list[Hashable], lists: Sequence[Sequence[tuple[int, float]]], n: int
    ) -> PackedRatings:
        """Pack lists of (inner id, rating), with n ratings in all."""
        lengths = np.fromiter(map(len, lists), np.intp, len(lists))
        others = np.fromiter((other for other, _ in chain.from_iterable(lists)), np.int32, n)
        ratings = np.fromiter((rating for _, rating in chain.from_iterable(lists)), np.float64, n)
        return cls(raw_ids, lengths, others, ratings)

    def lists(self) -> defaultdict[int, list[tuple[int, float]]]:
        """The lists by inner id, as in a trainset."""
        pairs = list(zip(self.others.tolist(), self.ratings.tolist(), strict=True))
        ends = np.cumsum(self.lengths).tolist()
        starts = [0, *ends[:-1]]
        slices = (pairs[start:end] for start, end in zip(starts, ends, strict=True))
        return defaultdict(list, enumerate(slices))


@dataclass(frozen=True)
class PackedFold:
    """A trainset and a testset as arrays.

    joblib writes large arrays to disk once and maps them into the memory of each worker, which costs less
    than sending a `Trainset` with a tuple for each rating to each fit.
    """

    by_user: PackedRatings
    by_item: PackedRatings
    rating_scale: tuple[float, float]
    test_ids: tuple[list[Hashable], list[Hashable]]
    test_codes: tuple[NDArray[np.int32], NDArray[np.int32]]
    test_ratings: NDArray[np.float64]

    @classmethod
    def of(cls, trainset: Trainset, testset: Test) -> PackedFold:
        """Pack a fold."""
        users = [trainset.ur[user] for user in trainset.all_users()]
        items = [trainset.ir[item] for item in trainset.all_items()]
        uids = [trainset.to_raw_uid(user) for user in trainset.all_users()]
        iids = [trainset.to_raw_iid(item) for item in trainset.all_items()]
        test_uids, user_codes = _encoded(uid for uid, _, _ in testset)
        test_iids, item_codes = _encoded(iid for _, iid, _ in testset)
        return cls(
            PackedRatings.of(uids, users, trainset.n_ratings),
            PackedRatings.of(iids, items, trainset.n_ratings),
            trainset.rating_scale,
            (test_uids, test_iids),
            (user_codes, item_codes),
            np.array([rating for _, _, rating in testset], np.float64),
        )

    def unpack(self) -> tuple[Trainset, Test]:
        """The trainset and the testset, equal to those that were packed."""
        trainset = Trainset(
            self.by_user.lists(),
            self.by_item.lists(),
            len(self.by_user.raw_ids),
            len(self.by_item.raw_ids),
            len(self.by_user.ratings),
            self.rating_scale,
            {raw: inner for inner, raw in enumerate(self.by_user.raw_ids)},
            {raw: inner for inner, raw in enumerate(self.by_item.raw_ids)},
        )
        (uids, iids), (users, items) = self.test_ids, self.test_codes
        columns = zip(users.tolist(), items.tolist(), self.test_ratings.tolist(), strict=True)
        return trainset, [(uids[user], iids[item], rating) for user, item, rating in columns]

    def fingerprint(self) -> str:
        """A hash of all ratings, ids and their order."""
        parts = [self.by_user, self.by_item]
        packed = [[part.raw_ids, part.lengths, part.others, part.ratings] for part in parts]
        test = [*self.test_ids, *self.test_codes, self.test_ratings]
        return str(joblib.hash([packed, list(map(float, self.rating_scale)), test]))


def _encoded(ids: Iterable[Any]) -> tuple[list[Hashable], NDArray[np.int32]]:
    """The distinct ids, and for each id its place among them."""
    places: dict[Hashable, int] = {}
    codes = [places.setdefault(one, len(places)) for one in ids]
    return list(places), np.array(codes, np.int32)
