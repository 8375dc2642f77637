"""Ratings that no model can be made of are refused with a clear word; odd ones that can be, are."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import FAST
from surprise import Dataset, Reader

from surprise_autorec import AutoRec


def trainset_of(triples, scale=(1, 5)):
    frame = pd.DataFrame(triples, columns=["user", "item", "rating"])
    return Dataset.load_from_df(frame, Reader(rating_scale=scale)).build_full_trainset()


def test_no_ratings():
    with pytest.raises(ValueError, match="training needs at least one rating, got none"):
        AutoRec(**FAST).fit(trainset_of([]))


@pytest.mark.parametrize("rating", [float("nan"), float("inf"), 0.5, 6, -1])
def test_rating_off_the_scale_is_named(rating):
    ratings = trainset_of([("ann", "jaws", 3), ("bob", "heat", rating), ("bob", "jaws", rating)])
    with pytest.raises(ValueError, match=rf"scale, 1 to 5: user 'bob' rated item 'heat' {rating:g} \(2 of 3"):
        AutoRec(**FAST).fit(ratings)


def test_pair_rated_twice_gives_a_warning_and_counts_with_its_mean():
    triples = [("ann", "jaws", 3), ("bob", "heat", 2), ("bob", "jaws", 1), ("bob", "heat", 5)]
    with pytest.warns(
        UserWarning, match=r"user 'bob' rated item 'heat' more than once \(number of such pairs: 1\)"
    ):
        repeated = AutoRec(**FAST).fit(trainset_of(triples))
    mean = AutoRec(**FAST).fit(trainset_of([*triples[:1], ("bob", "heat", 3.5), triples[2]]))
    assert repeated.predict("bob", "heat").est == mean.predict("bob", "heat").est


@pytest.mark.parametrize("variant", ["item", "user", "hybrid"])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(
    "triples",
    [
        [("ann", "jaws", 4)],
        [("ann", item, 1 + item % 5) for item in range(20)],
        [(user, "jaws", 1 + user % 5) for user in range(20)],
        [(user, item, 4) for user in range(9) for item in range(7)],
    ],
    ids=["one rating", "one user", "one item", "all equal"],
)
def test_degenerate_ratings_are_learnt(triples, variant, biased):
    ratings = trainset_of(triples)
    algorithm = AutoRec(
        n_factors=16, n_epochs=100, lr_all=0.01, reg_all=0.01, variant=variant, biased=biased, random_state=0
    )
    predictions = algorithm.fit(ratings).test(ratings.build_testset())
    errors = [prediction.est - prediction.r_ui for prediction in predictions]
    spread = np.std([prediction.r_ui for prediction in predictions])
    assert np.sqrt(np.mean(np.square(errors))) <= max(spread, 0.35)


def test_scale_of_a_single_value():
    ratings = trainset_of([(user, item, 3) for user in range(5) for item in range(5)], scale=(3, 3))
    assert AutoRec(**FAST).fit(ratings).predict(0, 0).est == 3


@pytest.mark.parametrize(
    "scale", [(0, 1e155), (-1e155, 1e155), (5, 1), (float("nan"), 5), (1, float("inf"))], ids=str
)
def test_scale_that_cannot_be_computed_with_is_named(scale):
    rule = r"the rating scale must be two numbers from -1e\+100 to 1e\+100, the lower one first, got "
    with pytest.raises(ValueError, match=rule + re.escape(str(scale))):
        AutoRec(**FAST).fit(trainset_of([("ann", "jaws", 4), ("bob", "jaws", 3)], scale))


def test_early_stopping_needs_a_rating_to_hold_out():
    with pytest.raises(
        ValueError, match="early_stopping=True needs at least 2 ratings, one of them to hold out, got 1"
    ):
        AutoRec(**FAST, early_stopping=True).fit(trainset_of([("ann", "jaws", 4)]))
    AutoRec(**FAST, early_stopping=True).fit(trainset_of([("ann", "jaws", 4), ("bob", "jaws", 3)]))
