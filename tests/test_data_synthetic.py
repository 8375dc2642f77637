"""Synthetic ratings."""

import numpy as np
import pandas as pd
import pytest

from surprise_autorec.datasets import make_ratings


def test_made_ratings_are_as_many_as_asked_with_no_pair_twice():
    frame = make_ratings(n_users=60, n_items=40, n_ratings=500)
    assert len(frame) == 500
    assert not frame.duplicated(["user", "item"]).any()
    assert frame["user"].between(0, 59).all()
    assert frame["item"].between(0, 39).all()
    assert frame.dtypes.astype(str).to_dict() == {"user": "int32", "item": "int32", "rating": "float64"}


def test_made_ratings_follow_the_seed():
    settings = {"n_users": 60, "n_items": 40, "n_ratings": 500}
    first = make_ratings(**settings, random_state=3)
    pd.testing.assert_frame_equal(first, make_ratings(**settings, random_state=3))
    assert not first.equals(make_ratings(**settings, random_state=4))


@pytest.mark.parametrize("scale", [(1, 5), (-10, 10), (1, 100), (0.7, 4.3)])
def test_made_ratings_lie_on_the_scale_and_use_it(scale):
    ratings = make_ratings(rating_scale=scale, noise=1)["rating"].to_numpy(np.float64)
    low, high = scale
    assert low <= ratings.min() < low + (high - low) / 5
    assert high - (high - low) / 5 < ratings.max() <= high


def test_noise_is_the_standard_deviation_of_what_cannot_be_predicted():
    quiet, loud = (
        make_ratings(noise=noise, rating_scale=(-100, 100), random_state=5)["rating"].to_numpy(np.float64)
        for noise in (1, 4)
    )
    inside = (np.abs(quiet) < 100) & (np.abs(loud) < 100)
    assert inside.mean() > 0.99
    assert np.std((loud - quiet)[inside]) == pytest.approx(4 - 1, rel=0.03)


def test_noiseless_ratings_have_the_rank_asked_for():
    frame = make_ratings(20, 15, 300, n_factors=2, noise=0, rating_scale=(-1000, 1000))
    matrix = frame.pivot_table(index="user", columns="item", values="rating").to_numpy(np.float64)
    values = np.linalg.svd(matrix, compute_uv=False)
    assert np.abs(matrix).max() < 1000  # none was clipped
    assert (values > 0.1).sum() == 2 + 2  # the factors, and the biases of users and of items


@pytest.mark.parametrize(("skew", "low", "high"), [(0, 0.10, 0.14), (1, 0.25, 0.4)])
def test_popularity_skew_sets_the_share_of_the_top_tenth_of_items(skew, low, high):
    counts = make_ratings(n_items=300, popularity_skew=skew)["item"].value_counts()
    assert low < counts.iloc[:30].sum() / 20_000 < high


@pytest.mark.parametrize("share", [0.7, 1.0])
def test_dense_ratings_can_be_made(share):
    frame = make_ratings(n_users=50, n_items=40, n_ratings=int(share * 2000))
    assert len(frame.drop_duplicates(["user", "item"])) == share * 2000


def test_dense_ratings_do_not_depend_on_the_order_that_a_machine_leaves_a_partition_in(monkeypatch):
    frame = make_ratings(20, 10, 100)
    monkeypatch.setattr(np, "argpartition", lambda keys, _: np.argsort(keys))
    pd.testing.assert_frame_equal(make_ratings(20, 10, 100), frame)


@pytest.mark.parametrize("n_ratings", [0, 13])
def test_more_ratings_than_pairs_or_none_are_refused(n_ratings):
    with pytest.raises(ValueError, match=rf"n_ratings must be in .*12.*got {n_ratings}"):
        make_ratings(n_users=4, n_items=3, n_ratings=n_ratings)


def test_a_million_ratings_have_no_pair_twice():
    frame = make_ratings(n_users=20_000, n_items=5_000, n_ratings=1_000_000)
    assert len(np.unique(frame["user"].to_numpy(np.int64) * 5_000 + frame["item"])) == 1_000_000


def test_items_rated_once_are_the_last_and_the_others_share_the_other_ratings():
    frame = make_ratings(n_users=60, n_items=140, n_ratings=600, n_rated_once=100)
    counts = np.bincount(frame["item"], minlength=140)
    assert (counts[40:] == 1).all()
    assert counts[:40].sum() == 500
    assert not frame.duplicated(["user", "item"]).any()
    assert 0 < frame["item"].head(60).gt(39).sum() < 60  # in random order
    assert frame["user"].nunique() > 50


@pytest.mark.parametrize("n_rated_once", [-1, 3, 10])
def test_items_rated_once_must_leave_the_others_their_ratings(n_rated_once):
    with pytest.raises(ValueError, match=rf"n_rated_once must leave .* got {n_rated_once} of 3 items"):
        make_ratings(n_users=4, n_items=3, n_ratings=10, n_rated_once=n_rated_once)
