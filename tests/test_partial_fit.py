"""Going on from a fitted model."""

import copy
import re

import numpy as np
import pandas as pd
import pytest
from conftest import FAST
from surprise import Dataset, Reader, accuracy

from surprise_autorec import AutoRec, datasets

PARAMETERS = {"n_factors": 32, "random_state": 0}


@pytest.fixture(scope="module")
def study():
    """Much structure: ratings to begin with, more of them, and some to predict."""
    frame = datasets.make_ratings(n_users=200, n_items=150, n_ratings=12_000, noise=0.2, random_state=1)
    triples = list(frame.itertuples(index=False, name=None))
    return triples[:8000], triples[8000:10_500], triples[10_500:]


def trainset_of(triples):
    return Dataset(Reader(rating_scale=(1, 5))).construct_trainset([(*triple, None) for triple in triples])


@pytest.fixture(scope="module", params=["item", "user", "hybrid"])
def fitted(study, request):
    return AutoRec(**PARAMETERS, variant=request.param).fit(trainset_of(study[0]))


@pytest.fixture
def algorithm(trainset):
    return AutoRec(**FAST).fit(trainset)


def rmse(algorithm, triples):
    return accuracy.rmse(algorithm.test(triples), verbose=False)


def state(algorithm, pairs=((0, 0), (1, 7), (9, 3))):
    estimates = [algorithm.predict(*pair).est for pair in pairs]
    return estimates, algorithm.trainset, algorithm.model_, algorithm.loss_curve_, algorithm.n_iter_


def test_more_ratings_make_better_predictions_nearly_as_good_as_a_new_fits(fitted, study):
    old, new, asked = study
    before, algorithm = rmse(fitted, asked), copy.deepcopy(fitted)
    assert algorithm.partial_fit(new) is algorithm
    assert algorithm.n_iter_ == len(algorithm.loss_curve_) == 4
    again = AutoRec(**PARAMETERS, variant=fitted.variant).fit(trainset_of(old + new))
    assert rmse(algorithm, asked) < rmse(again, asked) + 0.03
    assert rmse(algorithm, asked) < before - 0.003


def test_it_goes_on_from_the_weights_that_are_there(fitted, study):
    algorithm, fresh = copy.deepcopy(fitted), AutoRec(**{**PARAMETERS, "n_epochs": 1}, variant=fitted.variant)
    algorithm.partial_fit([], n_epochs=1)
    assert abs(rmse(algorithm, study[2]) - rmse(fitted, study[2])) < 0.02
    assert rmse(fresh.fit(trainset_of(study[0])), study[2]) > rmse(algorithm, study[2]) + 0.05


def test_new_users_and_items_are_known_afterwards(fitted, study):
    new = [(f"new {user}", item, rating) for user, item, rating in study[1] if user < 20]
    new += [(user, f"new {item}", rating) for user, item, rating in study[1] if item < 20]
    algorithm = copy.deepcopy(fitted).partial_fit(new)
    asked = [(f"new {user}", item, rating) for user, item, rating in study[2] if user < 20]
    asked += [(user, f"new {item}", rating) for user, item, rating in study[2] if item < 20]
    assert rmse(algorithm, asked) < 0.95 * rmse(fitted, asked)
    assert algorithm.trainset.knows_user(algorithm.trainset.to_inner_uid("new 3"))
    assert algorithm.recommend(["new 3"], n=2)["user"].tolist() == ["new 3"] * 2


def test_the_trainset_holds_old_and_new(algorithm, trainset):
    iid, rated_before = next((trainset.to_raw_iid(item), rating) for item, rating in trainset.ur[0])
    uid = trainset.to_raw_uid(0)
    algorithm.partial_fit([(uid, iid, 6 - rated_before), ("ann", "jaws", 4.0, "a timestamp")], n_epochs=1)
    new = algorithm.trainset
    assert (new.n_users, new.n_items, new.n_ratings) == (81, 51, trainset.n_ratings + 1)
    assert new.rating_scale == trainset.rating_scale
    for user in trainset.all_users():
        assert new.to_raw_uid(user) == trainset.to_raw_uid(user)
        assert len(new.ur[user]) == len(trainset.ur[user])
    ratings = {(new.to_raw_uid(u), new.to_raw_iid(i)): r for u, i, r in new.all_ratings()}
    assert ratings["ann", "jaws"] == 4
    assert ratings[uid, iid] == 6 - rated_before
    assert sum(len(pairs) for pairs in new.ir.values()) == new.n_ratings
    assert trainset.n_users == 80  # the one given to fit is as it was
    assert algorithm.bu.shape == (81,)
    assert algorithm.bi.shape == (51,)


def test_the_newest_rating_of_a_pair_counts(algorithm, trainset):
    uid, iid = trainset.to_raw_uid(3), trainset.to_raw_iid(trainset.ur[3][0][0])
    for rating in (1.0, 5.0):
        algorithm.partial_fit(((uid, iid, rating) for _ in range(1)), n_epochs=1)
    ratings = {(u, i): r for u, i, r in algorithm.trainset.all_ratings()}
    assert ratings[3, algorithm.trainset.to_inner_iid(iid)] == 5
    assert algorithm.trainset.n_ratings == trainset.n_ratings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_factors": 7}, "n_factors must be the same as in the model to continue from, (16,), got (7,)"),
        (
            {"two_sided": False},
            "two_sided must be the same as in the model to continue from, True, got False",
        ),
        (
            {"encoder_activation": "relu"},
            "encoder_activation must be the same as in the model to continue from, 'sigmoid', got",
        ),
        (
            {"variant": "user"},
            "variant, item_weight and n_estimators must be the same as in the model to continue from, ",
        ),
        (
            {"n_estimators": 2},
            "variant, item_weight and n_estimators must be the same as in the model to continue from",
        ),
        ({"early_stopping": True}, "partial_fit needs early_stopping=False"),
        ({"dropout": 7}, "dropout must be a number in [0, 1), got 7"),
    ],
)
def test_changed_parameters_are_named_and_nothing_is_done(algorithm, change, message):
    before = state(algorithm)
    for name, value in change.items():
        setattr(algorithm, name, value)
    with pytest.raises(ValueError, match=re.escape(message)):
        algorithm.partial_fit([(0, 0, 3.0)])
    assert state(algorithm) == before


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ([(0, 0, 6.0)], "ratings must lie on the rating scale, 1 to 5: user 0 rated item 0 6"),
        ([(0, 0, 3.0), ("ann", 0, float("nan"))], "ratings must lie on the rating scale, 1 to 5: user 'ann'"),
        ([(0, 0, "much")], "ratings must be numbers: user 0 rated item 0 'much'"),
        ([(0, 0)], "ratings must be (uid, iid, rating) or (uid, iid, rating, timestamp), got (0, 0)"),
        (["abc"], "ratings must be (uid, iid, rating) or (uid, iid, rating, timestamp), got 'abc'"),
        ([3], "ratings must be (uid, iid, rating) or (uid, iid, rating, timestamp), got 3"),
        (
            pd.DataFrame({"user": [0], "item": [0], "rating": [3.0]}),
            "got 'user' (for a DataFrame, pass frame.itertuples(index=False))",
        ),
    ],
)  # fmt: skip
def test_wrong_ratings_are_named_and_nothing_is_done(algorithm, ratings, message):
    before = state(algorithm)
    with pytest.raises(ValueError, match=re.escape(message)):
        algorithm.partial_fit(ratings)
    assert state(algorithm) == before


@pytest.mark.parametrize("n_epochs", [0, -1, 1.5, "many"])
def test_wrong_n_epochs_is_named(algorithm, n_epochs):
    with pytest.raises(ValueError, match=f"n_epochs must be a positive integer, got {n_epochs!r}"):
        algorithm.partial_fit([(0, 0, 3.0)], n_epochs=n_epochs)


def test_a_pair_given_twice_counts_with_its_mean(algorithm):
    with pytest.warns(UserWarning, match="user 'ann' rated item 0 more than once"):
        algorithm.partial_fit([("ann", 0, 3.0), ("ann", 0, 5.0)], n_epochs=1)


def test_it_is_reproducible(study):
    def run():
        algorithm = AutoRec(**FAST).fit(trainset_of(study[0][:1000]))
        return algorithm.partial_fit(study[1][:100], n_epochs=2).loss_curve_

    assert run() == run()


def test_after_early_stopping_one_may_go_on_without(trainset):
    algorithm = AutoRec(**FAST, early_stopping=True).fit(trainset)
    algorithm.early_stopping = False
    algorithm.partial_fit([("ann", 0, 3.0)], n_epochs=1)
    assert algorithm.validation_scores_ == []
    np.testing.assert_array_equal(algorithm.n_iter_, 1)
