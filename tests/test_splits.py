"""Splits by time, by user and for new users."""

import datetime as dt
import inspect
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from surprise import BaselineOnly, Dataset, NormalPredictor, Reader
from surprise.model_selection import GridSearchCV, cross_validate

from surprise_autorec import AutoRec, datasets, splits
from surprise_autorec.datasets import to_dataset
from surprise_autorec.splits import LastOfEachUser, NewUsers, RandomOfEachUser, TimeSplit

N_RATINGS = 600


@pytest.fixture(scope="module")
def timed():
    """600 ratings by 30 users of 40 items, with timestamps as texts, in random order."""
    frame = datasets.make_ratings(n_users=30, n_items=40, n_ratings=N_RATINGS, random_state=0)
    # (Some timestamps occur several times, and as texts they would be in another order: "1000" < "900".)
    times = np.random.default_rng(0).integers(500, 1500, N_RATINGS)
    return to_dataset(frame.assign(timestamp=times.astype(str)), (1, 5))


def small(ratings):
    """A data set of (user, item, timestamp)."""
    frame = pd.DataFrame(ratings, columns=["user", "item", "timestamp"], dtype=object)
    return to_dataset(frame.assign(rating=3.0), (1, 5))


def train_pairs(trainset):
    return {(trainset.to_raw_uid(u), trainset.to_raw_iid(i)) for u, i, _ in trainset.all_ratings()}


def pairs_of(testset):
    return {(uid, iid) for uid, iid, _ in testset}


def times_of(data):
    return {(uid, iid): float(time) for uid, iid, _, time in data.raw_ratings}


ALL = [
    TimeSplit(3),
    LastOfEachUser(2),
    RandomOfEachUser(2, n_splits=3, random_state=0),
    NewUsers(4, n_splits=3, random_state=0),
]


@pytest.mark.parametrize("cv", ALL, ids=lambda cv: type(cv).__name__)
def test_folds_are_disjoint_and_keep_the_ratings(timed, cv):
    rating_of = {(uid, iid): rating for uid, iid, rating, _ in timed.raw_ratings}
    n_folds = 0
    for trainset, testset in cv.split(timed):
        assert testset
        assert not train_pairs(trainset) & pairs_of(testset)
        assert all(rating_of[uid, iid] == rating for uid, iid, rating in testset)
        assert trainset.rating_scale == (1, 5)
        n_folds += 1
    assert n_folds == cv.get_n_folds()


@pytest.mark.parametrize("cv", ALL, ids=lambda cv: type(cv).__name__)
def test_cross_validate_and_grid_search_take_them(timed, cv):
    scores = cross_validate(NormalPredictor(), timed, measures=["rmse"], cv=cv)
    assert len(scores["test_rmse"]) == cv.get_n_folds()
    grid = {"bsl_options": {"reg_u": [5, 50]}, "verbose": [False]}
    search = GridSearchCV(BaselineOnly, grid, measures=["rmse"], cv=cv)
    search.fit(timed)
    assert f"split{cv.get_n_folds() - 1}_test_rmse" in search.cv_results
    assert np.isfinite(search.best_score["rmse"])


def test_autorec_is_tested_on_users_that_it_does_not_know(timed):
    scores = cross_validate(
        AutoRec(n_factors=8, n_epochs=3, random_state=0), timed, ["rmse"], NewUsers(0, 2, random_state=0)
    )
    assert np.isfinite(scores["test_rmse"]).all()


@pytest.mark.parametrize("cv", ALL[2:], ids=lambda cv: type(cv).__name__)
def test_random_state_decides_the_folds(timed, cv):
    def folds(random_state):
        parameters = inspect.signature(type(cv)).parameters
        given = {name: getattr(cv, name) for name in parameters}
        again = type(cv)(**{**given, "random_state": random_state})
        return [frozenset(pairs_of(testset)) for _, testset in again.split(timed)]

    assert (
        folds(0)
        == folds(0)
        == folds(np.random.RandomState(0))
        == [frozenset(pairs_of(testset)) for _, testset in cv.split(timed)]
    )
    assert folds(0) != folds(1)
    assert len(set(folds(0))) == cv.get_n_folds()
    generator = np.random.RandomState(0)
    assert folds(generator) != folds(generator)


def test_training_ratings_are_older_than_test_ratings_and_windows_expand(timed):
    times = times_of(timed)
    seen, tested = [], []
    for trainset, testset in TimeSplit(4).split(timed):
        latest = max(times[pair] for pair in train_pairs(trainset))
        assert latest < min(times[pair] for pair in pairs_of(testset))
        seen.append(train_pairs(trainset))
        tested.append(pairs_of(testset))
    for earlier, later, test in zip(seen[:-1], seen[1:], tested[:-1], strict=True):
        assert later == earlier | test
    assert seen[-1] | tested[-1] == set(times)
    sizes = [len(seen[0]), *map(len, tested)]
    assert sizes == pytest.approx([N_RATINGS / 5] * 5, abs=5)  # equal timestamps stay together


@pytest.mark.parametrize("test_size", [0.1, 60])
def test_test_size_is_a_share_or_a_number(timed, test_size):
    folds = [(trainset.n_ratings, len(testset)) for trainset, testset in TimeSplit(2, test_size).split(timed)]
    assert [n_test for _, n_test in folds] == pytest.approx([60, 60], abs=5)
    assert folds[0][0] == pytest.approx(480, abs=5)


@pytest.mark.parametrize("n_splits", [1, 2, 3, 4])
def test_few_ratings_are_divided_too(n_splits):
    data = small([("a", item, item) for item in range(5)])
    assert len(list(TimeSplit(n_splits).split(data))) == n_splits


def test_ratings_of_one_time_stay_together():
    data = small([("a", "x", 1), ("a", "y", 2), ("b", "x", 2), ("b", "y", 2), ("c", "x", 3), ("c", "y", 4)])
    ((trainset, testset),) = TimeSplit(1).split(data)
    assert train_pairs(trainset) == {("a", "x")}
    assert len(testset) == 5


@pytest.mark.parametrize(
    "stamps",
    [
        ["900", "1000", "1100.5"],
        [900, 1000, 1100.5],
        ["2024-05-09", "2024-05-10 08:00", "2024-05-10T08:00:00.5"],
        ["2024-05-10 08:00+02:00", "2024-05-10 07:00+00:00", "2024-05-10 07:30+00:00"],
        [pd.Timestamp(2024, 5, 9), pd.Timestamp(2024, 5, 10), pd.Timestamp(2024, 5, 10, 8)],
        [dt.datetime(2024, 5, day) for day in (9, 10, 11)],
    ],
)
def test_timestamps_may_be_numbers_or_dates(stamps):
    data = small([("a", "z", stamps[2]), ("a", "x", stamps[0]), ("a", "y", stamps[1])])
    assert [testset[0][1] for _, testset in TimeSplit(2).split(data)] == ["y", "z"]


def test_the_last_ratings_of_each_user_are_tested(timed):
    times, of_user = times_of(timed), Counter(uid for uid, *_ in timed.raw_ratings)
    ((trainset, testset),) = LastOfEachUser(3).split(timed)
    assert Counter(uid for uid, *_ in testset) == {uid: 3 for uid, count in of_user.items() if count > 3}
    latest = {}
    for uid, iid in train_pairs(trainset):
        latest[uid] = max(latest.get(uid, 0), times[uid, iid])
    assert all(times[uid, iid] >= latest[uid] for uid, iid in pairs_of(testset))
    assert trainset.n_ratings + len(testset) == N_RATINGS


def test_of_equal_timestamps_the_later_row_is_the_last():
    data = small([("a", "x", 5), ("a", "y", 5), ("a", "z", 4)])
    ((_, testset),) = LastOfEachUser().split(data)
    assert [iid for _, iid, _ in testset] == ["y"]


@pytest.mark.parametrize("cv", [LastOfEachUser(2), RandomOfEachUser(2, 4, 0), NewUsers(2, 2, 0)])
def test_users_with_too_few_ratings_are_only_trained_on(cv):
    ratings = [
        (user, item, item) for user, count in {"a": 2, "b": 3, "c": 3}.items() for item in range(count)
    ]
    tested = set()
    for trainset, testset in cv.split(small(ratings)):
        tested |= {uid for uid, *_ in testset}
        assert len(trainset.ur[trainset.to_inner_uid("a")]) == 2
    assert tested == {"b", "c"}


def test_random_ratings_of_each_user_are_tested(timed):
    of_user = Counter(uid for uid, *_ in timed.raw_ratings)
    for trainset, testset in RandomOfEachUser(3, n_splits=2, random_state=0).split(timed):
        assert Counter(uid for uid, *_ in testset) == {uid: 3 for uid, count in of_user.items() if count > 3}
        assert trainset.n_ratings + len(testset) == N_RATINGS


@pytest.mark.parametrize("k", [0, 1, 5])
def test_new_users_have_k_training_ratings_and_each_user_is_new_once(timed, k):
    of_user = Counter(uid for uid, *_ in timed.raw_ratings)
    new = []
    for trainset, testset in NewUsers(k, n_splits=4, random_state=0).split(timed):
        in_training = Counter(uid for uid, _ in train_pairs(trainset))
        for uid in {uid for uid, *_ in testset}:
            assert in_training[uid] == k
            new.append(uid)
        assert trainset.n_ratings + len(testset) == N_RATINGS
        old = set(of_user) - {uid for uid, *_ in testset}
        assert all(in_training[uid] == of_user[uid] for uid in old)
    assert Counter(new) == {uid: 1 for uid, count in of_user.items() if count > k}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TimeSplit(0), "n_splits must be a positive integer, got 0"),
        (
            lambda: TimeSplit(2, 1.5),
            "test_size must be a share between 0 and 1 or a positive number of ratings",
        ),
        (
            lambda: TimeSplit(2, 0),
            "test_size must be a share between 0 and 1 or a positive number of ratings",
        ),
        (lambda: LastOfEachUser(0), "n must be a positive integer, got 0"),
        (lambda: RandomOfEachUser(1.5), r"n must be a positive integer, got 1\.5"),
        (lambda: RandomOfEachUser(1, 0), "n_splits must be a positive integer, got 0"),
        (lambda: NewUsers(-1), "k must be an integer, 0 or more, got -1"),
        (lambda: NewUsers(False), "k must be an integer, 0 or more, got False"),
        (lambda: NewUsers(3, 1), "n_splits must be an integer, 2 or more, got 1"),
    ],
)
def test_wrong_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (TimeSplit(2, 300), "n_splits and test_size must leave .* got 2 parts of 300 of 600 ratings"),
        (TimeSplit(600), "n_splits and test_size must leave .* got 600 parts of 0 of 600 ratings"),
        (LastOfEachUser(40), r"n must be less than the number of ratings of some user, \d+, got 40"),
        (RandomOfEachUser(40), r"n must be less than the number of ratings of some user, \d+, got 40"),
        (
            NewUsers(40),
            r"k must be less than the number of ratings of some user in each fold, got 40: fold 1",
        ),
        (NewUsers(1, 31), "n_splits must be at most the number of users, 30, got 31"),
    ],
)
def test_what_the_data_do_not_allow_is_named_in_one_line(timed, cv, message):
    with pytest.raises(ValueError, match=rf"{message}[^\n]*\Z"):
        list(cv.split(timed))


@pytest.mark.parametrize("cv", [TimeSplit(2), LastOfEachUser()])
@pytest.mark.parametrize("stamp", [None, "", "soon", np.nan, pd.NaT])
def test_rating_without_a_timestamp_is_named_in_one_line(cv, stamp):
    data = small([("a", "x", 1), ("a", "y", stamp), ("a", "z", 2)])
    message = (
        r"data must have a timestamp for each rating, a number or a date, got .* for user 'a' and item 'y'"
    )
    with pytest.raises(ValueError, match=rf"{message}\Z"):
        list(cv.split(data))


def test_data_without_timestamps_are_an_error():
    frame = datasets.make_ratings(n_users=5, n_items=5, n_ratings=20)
    with pytest.raises(ValueError, match=r"data must have a timestamp for each rating.*got None"):
        list(TimeSplit(2).split(Dataset.load_from_df(frame, Reader())))


def test_too_few_distinct_timestamps_are_an_error():
    data = small([("a", item, 7) for item in range(9)])
    with pytest.raises(
        ValueError, match="each part has timestamps of its own, got 2 for 1 distinct timestamps"
    ):
        list(TimeSplit(2).split(data))


def test_public_names_are_in_the_module_that_the_documentation_names():
    assert set(splits.__all__) == {type(cv).__name__ for cv in ALL}
