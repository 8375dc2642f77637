"""Surprise's trainsets: their ratings as arrays, and arrays of ratings as trainsets."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
from surprise import AlgoBase, Prediction, Trainset

from surprise_autorec.core.arrays import Float64Array
from surprise_autorec.fitting import NO_RATINGS, Ratings
from surprise_autorec.model import AutoRecModel, RatingScale

Made = TypeVar("Made")

#: Why there is no prediction, in Surprise's words.
UNKNOWN = "User and/or item is unknown."


class TrainsetWithoutRatings(Trainset):  # type: ignore[misc]
    """The trainset of a loaded algorithm: ids, scale and mean. What asks for ratings raises ValueError."""

    def __init__(self, model: AutoRecModel) -> None:
        users, items = model.user_index, model.item_index
        nothing: list[dict[int, list[Any]]] = [{n: [] for n in range(len(ids))} for ids in (users, items)]
        n_ratings = len(model.rated.items)
        super().__init__(*nothing, len(users), len(items), n_ratings, tuple(model.scale), users, items)
        self._global_mean = model.mean_rating

    def all_ratings(self) -> Iterator[tuple[int, int, float]]:
        """Raise ValueError."""
        raise ValueError(NO_RATINGS)

    def build_anti_testset(self, fill: float | None = None) -> list[tuple[Any, Any, float]]:  # noqa: ARG002
        """Raise ValueError."""
        raise ValueError(NO_RATINGS)


def ratings_of(trainset: Trainset) -> Ratings:
    """A trainset's ratings as arrays."""
    if isinstance(trainset, TrainsetWithoutRatings):
        raise ValueError(NO_RATINGS)
    users, items = trainset.all_users(), trainset.all_items()
    counts = [len(trainset.ur[user]) for user in users]
    cells = np.fromiter(
        chain.from_iterable(trainset.ur[user] for user in users),
        dtype=[("item", np.int32), ("rating", np.float64)],
        count=sum(counts),
    )
    return Ratings(
        users=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        items=cells["item"],
        values=cells["rating"],
        user_ids=[trainset.to_raw_uid(user) for user in users],
        item_ids=[trainset.to_raw_iid(item) for item in items],
        scale=RatingScale(*trainset.rating_scale),
    )


def trainset_of(ratings: Ratings) -> Trainset:
    """The trainset of ratings, with their indices as inner ids."""
    by_user: dict[int, list[tuple[int, float]]] = {user: [] for user in range(len(ratings.user_ids))}
    by_item: dict[int, list[tuple[int, float]]] = {item: [] for item in range(len(ratings.item_ids))}
    for user, item, value in zip(
        ratings.users.tolist(), ratings.items.tolist(), ratings.values.tolist(), strict=True
    ):
        by_user[user].append((item, value))
        by_item[item].append((user, value))
    return Trainset(
        by_user,
        by_item,
        len(by_user),
        len(by_item),
        len(ratings.values),
        tuple(ratings.scale),
        {uid: index for index, uid in enumerate(ratings.user_ids)},
        {iid: index for index, iid in enumerate(ratings.item_ids)},
    )


class TestsetColumns(NamedTuple):
    """A test set by columns."""

    uids: list[Any]
    iids: list[Any]
    ratings: list[float | None]

    @classmethod
    def of(cls, testset: Iterable[tuple[Any, Any, float | None]]) -> TestsetColumns:
        """The columns of rows as Surprise's splitters make them."""
        # (``zip(*testset)`` would make an iterator of each row, and Python look through all for garbage.)
        testset = list(testset)
        ratings = [r_ui for _, _, r_ui in testset]
        uids, iids = (list(map(itemgetter(place), testset)) for place in (0, 1))
        return cls(uids, iids, ratings)


def predictions_of(algorithm: AlgoBase, columns: TestsetColumns, estimates: Float64Array) -> list[Prediction]:
    """Estimates of a test set as predictions on the rating scale; where one is NaN, Surprise's default."""
    impossible = np.isnan(estimates)
    if impossible.any():
        estimates[impossible] = algorithm.default_prediction()
    estimates = np.clip(estimates, *algorithm.trainset.rating_scale)

    def make_predictions() -> list[Prediction]:
        details = [{"was_impossible": False} for _ in columns.uids]
        fields = zip(*columns, estimates.tolist(), details, strict=True)
        return list(map(partial(tuple.__new__, Prediction), fields))

    predictions = _made_without_garbage_collection(make_predictions)
    for position in np.flatnonzero(impossible):
        predictions[position].details.update(was_impossible=True, reason=UNKNOWN)
    return predictions


def _made_without_garbage_collection(make: Callable[[], Made]) -> Made:
    """Make many objects that are not garbage without Python searching all others for garbage meanwhile.

    Python searches each time that a certain number of objects was made, and a Trainset is millions of objects
    to search. At the end only the new objects are searched; otherwise the next object made would set off a
    search of all. Whatever interrupts this, garbage collection is on again afterwards, if it was on.
    """
    was_on = gc.isenabled()
    try:
        gc.disable()
        made = make()
        gc.collect(0)
        return made
    finally:
        if was_on:
            gc.enable()


def advice_about(data: object) -> str:
    """The message for ratings that are not a Trainset: what to do with them."""
    kind = type(data).__name__
    advice = {
        "DatasetAutoFolds": "call fit(data.build_full_trainset())",
        "DataFrame": "use AutoRecRegressor, which takes X and y, or "
        "Dataset.load_from_df(frame[[user, item, rating]], Reader(rating_scale=...)).build_full_trainset()",
    }.get(kind, "see Surprise's Dataset.load_from_df, which makes data to call build_full_trainset() of")
    return f"fit needs a surprise.Trainset, got a {kind}: {advice}"


def triple_of(row: Any) -> tuple[Any, Any, Any]:
    """The ids of a user and an item, and the rating, without the timestamp that may follow."""
    if not isinstance(row, (tuple, list, np.ndarray)) or len(row) not in (3, 4):
        hint = " (for a DataFrame, pass frame.itertuples(index=False))" if isinstance(row, str) else ""
        raise ValueError(
            f"ratings must be (uid, iid, rating) or (uid, iid, rating, timestamp), got {row!r}{hint}"
        )
    return row[0], row[1], row[2]
