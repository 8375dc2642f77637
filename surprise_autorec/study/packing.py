"""Folds as arrays, so that they can be sent to another process and recognised in another run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from surprise import Trainset

Test = list[tuple[Hashable, Hashable, float]]


@dataclass(frozen=True)
class PackedRatings:
    """The ratings of each user, or of each item, one after another, in the order of the trainset.

    Attributes
    ----------
    raw_ids : list
        The raw ids of users (items), by inner id.
    lengths : array of shape (n_users,)
        How many ratings each has.
    others : array of shape (n_ratings,)
        Inner ids of the items (users).
    ratings : array of shape (n_ratings,)
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
