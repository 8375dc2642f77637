"""Cross-validation iterators that Surprise lacks: by time, by user, and for new users."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from surprise import Dataset, Trainset
from surprise.utils import get_rng

from surprise_autorec.checks import integer, is_positive_integer, number, positive_integer
from surprise_autorec.core.arrays import Float64Array, Int64Array

__all__ = ["LastOfEachUser", "NewUsers", "RandomOfEachUser", "TimeSplit"]

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Fold = tuple[Trainset, list[tuple[Any, Any, float]]]
RandomState = int | np.random.RandomState | None


class Splitter(ABC):
    """Base of the iterators over folds, which Surprise takes as ``cv``.

    A subclass says which ratings of a fold are trained on, and which are tested.

    Attributes
    ----------
    n_splits : int
        Number of folds.
    """

    n_splits: int

    @abstractmethod
    def _folds(self, data: Dataset) -> Iterator[tuple[Mask, Mask]]:
        """Whether each rating is trained on, and whether it is tested, for each fold."""

    def split(self, data: Dataset) -> Iterator[Fold]:
        """Yield a trainset and a testset for each fold.

        Parameters
        ----------
        data : surprise.Dataset

        Raises
        ------
        ValueError
            If the ratings do not allow such folds: there are too few of them, or they lack timestamps that
            are needed.
        """
        for masks in self._folds(data):
            train, test = ([data.raw_ratings[row] for row in np.flatnonzero(mask)] for mask in masks)
            yield data.construct_trainset(train), data.construct_testset(test)

    def get_n_folds(self) -> int:
        """Number of folds."""
        return self.n_splits


class TimeSplit(Splitter):
    """Train on the past, test on the future, in expanding windows, the earliest first.

    The ratings, which need timestamps (numbers, or dates in ISO 8601), are ordered by time. The last ones are
    divided into ``n_splits`` test parts of the same size, and each fold trains on all ratings before its
    test part. Ratings with equal timestamps stay together, so that no test rating is as old as a training
    rating.

    Parameters
    ----------
    n_splits : int, default=5
    test_size : float or int, optional
        Size of each test part: a share of all ratings, if it is a float, or a number of ratings. Default: all
        ratings are divided into ``n_splits + 1`` parts, and the first is never tested on.

    Raises
    ------
    ValueError
        If a parameter is not as above.
    """

    def __init__(self, n_splits: int = 5, test_size: float | None = None) -> None:
        self.n_splits = positive_integer("n_splits", n_splits)
        if test_size is not None and not is_positive_integer(test_size):
            rule = "a share between 0 and 1 or a positive number of ratings"
            number("test_size", test_size, rule, lambda size: 0 < size < 1)
        self.test_size = test_size

    def _folds(self, data: Dataset) -> Iterator[tuple[Mask, Mask]]:
        times = _times(data)
        in_order = np.sort(times)
        n_ratings, size = len(times), self.test_size
        if size is None:
            n_test = n_ratings // (self.n_splits + 1)
        else:
            n_test = int(size) if is_positive_integer(size) else math.ceil(size * n_ratings)
        if not 0 < self.n_splits * n_test < n_ratings:
            raise ValueError(
                "n_splits and test_size must leave ratings to train and to test on, got "
                f"{self.n_splits} parts of {n_test} of {n_ratings} ratings"
            )
        starts = in_order[n_ratings - n_test * np.arange(self.n_splits, 0, -1)]
        for start, end in zip(starts, [*starts[1:], np.inf], strict=True):
            is_train, is_test = times < start, (times >= start) & (times < end)
            if not is_train.any() or not is_test.any():
                raise ValueError(
                    "n_splits must be such that each part has timestamps of its own, got "
                    f"{self.n_splits} for {len(np.unique(times))} distinct timestamps"
                )
            yield is_train, is_test


class LastOfEachUser(Splitter):
    """Test on the last ratings of each user, and train on the earlier ones: one fold.

    Ratings need timestamps: numbers, or dates in ISO 8601. Of ratings with equal timestamps, the one that
    comes later in the data is the later one. Users with ``n`` ratings or less are only trained on. The
    training ratings of one user may be later than the test ratings of another; `TimeSplit` avoids this.

    Parameters
    ----------
    n : int, default=1
        Number of test ratings of each user.

    Raises
    ------
    ValueError
        If ``n`` is not a positive integer.
    """

    n_splits = 1

    def __init__(self, n: int = 1) -> None:
        self.n = positive_integer("n", n)

    def _folds(self, data: Dataset) -> Iterator[tuple[Mask, Mask]]:
        is_test = _last_of_each_user(_users(data), _times(data), self.n)
        yield ~is_test, is_test


class RandomOfEachUser(Splitter):
    """Test on random ratings of each user, and train on the others.

    Each fold draws anew. Users with ``n`` ratings or less are only trained on.

    Parameters
    ----------
    n : int, default=1
        Number of test ratings of each user.
    n_splits : int, default=5
    random_state : int, RandomState instance or None, default=None
        As in the iterators of Surprise.

    Raises
    ------
    ValueError
        If a parameter is not as above.
    """

    def __init__(self, n: int = 1, n_splits: int = 5, random_state: RandomState = None) -> None:
        self.n = positive_integer("n", n)
        self.n_splits = positive_integer("n_splits", n_splits)
        self.random_state = random_state

    def _folds(self, data: Dataset) -> Iterator[tuple[Mask, Mask]]:
        users, generator = _users(data), get_rng(self.random_state)
        for _ in range(self.n_splits):
            is_test = _last_of_each_user(users, generator.permutation(len(users)), self.n)
            yield ~is_test, is_test


class NewUsers(Splitter):
    """Test on users with only a few known ratings.

    The users are divided at random into ``n_splits`` groups, and each group is new in one fold: ``k`` random
    ratings of each of its users are trained on, and the others are tested. Users with ``k`` ratings or less
    are only trained on.

    Parameters
    ----------
    k : int, default=5
        Number of training ratings of each new user. With 0, new users are unknown.
    n_splits : int, default=5
    random_state : int, RandomState instance or None, default=None
        As in the iterators of Surprise.

    Raises
    ------
    ValueError
        If a parameter is not as above.
    """

    def __init__(self, k: int = 5, n_splits: int = 5, random_state: RandomState = None) -> None:
        self.k = integer("k", k, least=0)
        self.n_splits = integer("n_splits", n_splits, least=2)
        self.random_state = random_state

    def _folds(self, data: Dataset) -> Iterator[tuple[Mask, Mask]]:
        users, generator = _users(data), get_rng(self.random_state)
        n_users = int(users.max()) + 1
        if n_users < self.n_splits:
            raise ValueError(f"n_splits must be at most the number of users, {n_users}, got {self.n_splits}")
        group_of = generator.permutation(n_users) % self.n_splits
        is_beyond = _places(users, generator.permutation(len(users))) >= self.k
        for group in range(self.n_splits):
            is_test = (group_of[users] == group) & is_beyond
            if not is_test.any():
                raise ValueError(
                    f"k must be less than the number of ratings of some user in each fold, got {self.k}: "
                    f"fold {group + 1} has no such user"
                )
            yield ~is_test, is_test


def _users(data: Dataset) -> Int64Array:
    """A number for the user of each rating, from 0."""
    uids = pd.Series([uid for uid, *_ in data.raw_ratings], dtype=object)
    return np.asarray(uids.factorize()[0], np.int64)


def _times(data: Dataset) -> Float64Array:
    """The timestamp of each rating as a number."""
    stamps = pd.Series([stamp for *_, stamp in data.raw_ratings], dtype=object)
    times = pd.to_numeric(stamps, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if not np.isfinite(times).any():
        dates = pd.to_datetime(stamps, errors="coerce", format="ISO8601", utc=True)
        times = (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy()
    wrong = np.flatnonzero(~np.isfinite(times))
    if len(wrong):
        uid, iid, _, stamp = data.raw_ratings[wrong[0]]
        raise ValueError(
            f"data must have a timestamp for each rating, a number or a date, got {stamp!r} for user {uid!r} "
            f"and item {iid!r}"
        )
    return times


def _places(users: Int64Array, keys: Any) -> Int64Array:
    """The place of each rating among those of its user, from 0, by increasing key and then by row."""
    return pd.Series(keys).groupby(users).rank(method="first").to_numpy(np.int64) - 1


def _last_of_each_user(users: Int64Array, keys: Any, n: int) -> Mask:
    """Whether a rating is one of the n of its user with the highest keys; none of a user with n or fewer."""
    counts = np.bincount(users)[users]
    if counts.max() <= n:
        raise ValueError(f"n must be less than the number of ratings of some user, {counts.max()}, got {n}")
    chosen: Mask = (counts > n) & (_places(users, keys) >= counts - n)
    return chosen
