"""Explanations: contributions against folding in with each rating taken out, and parts that add up."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import FAST
from surprise import Dataset, Reader

import surprise_autorec
from surprise_autorec import AutoRec, AutoRecRegressor

#: Settings of a network whose outputs matter beside the baselines.
LEARNT = {**FAST, "n_epochs": 20, "lr_all": 0.02, "reg_all": 0.5}

KINDS = {
    "item": {},
    "user": {"variant": "user"},
    "hybrid": {"variant": "hybrid", "item_weight": 0.6},
    "several networks": {"n_estimators": 2},
    "one-sided": {"two_sided": False},
    "not biased": {"biased": False},
    "deep, not biased": {"variant": "hybrid", "n_factors": (12, 8), "biased": False},
    "tanh": {"variant": "hybrid", "decoder_activation": "tanh"},
    "sigmoid, not biased": {"decoder_activation": "sigmoid", "biased": False},
    "baselines by SGD": {"variant": "user", "bsl_options": {"method": "sgd"}, "input_scaling": 0.0},
    "without a penalty": {"reg_all": 0.0, "reg_bias": 0.0, "n_epochs": 3},
}
PARTS = ["baseline", "other ratings", "shared", "training", "clipping"]


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def fitted(request, data):
    return AutoRec(**{**LEARNT, **request.param}).fit(data.build_full_trainset())


@pytest.fixture(scope="module")
def algorithm(data):
    return AutoRec(**LEARNT).fit(data.build_full_trainset())


@pytest.fixture(scope="module")
def regressor(data):
    users, items, values = rows_of(data)
    return AutoRecRegressor(**LEARNT).fit(np.column_stack([users, items]), values)


@pytest.fixture
def loaded(algorithm, tmp_path):
    algorithm.save(tmp_path / "model")
    return surprise_autorec.load(tmp_path / "model")


def rows_of(data):
    return zip(*[row[:3] for row in data.raw_ratings], strict=True)


def ratings_by(algorithm, uid):
    trainset = algorithm.trainset
    return {trainset.to_raw_iid(item): rating for item, rating in trainset.ur[trainset.to_inner_uid(uid)]}


def part(frame, name):
    (amount,) = frame.loc[frame["part"] == name, "contribution"]
    return amount


def folded_in(algorithm, ratings, iid):
    """What `predict_new_user` predicts, not clipped."""
    model = algorithm._with_new("user", {"someone": ratings})
    return model.estimate(0, model.item_index[iid])


def losses(algorithm, ratings, iid):
    """What the estimate loses if each rating is taken out."""
    whole = folded_in(algorithm, ratings, iid)
    return {
        out: whole - folded_in(algorithm, {one: r for one, r in ratings.items() if one != out}, iid)
        for out in ratings
    }


def assert_explains(frame, ratings, wanted):
    """The parts are there, and the ratings contribute what is wanted, those that contribute most first."""
    assert list(frame.columns) == ["part", "item", "rating", "contribution"]
    assert frame["part"].tolist() == ["baseline", *["rating"] * len(ratings), *PARTS[1:]]
    listed = frame[frame["part"] == "rating"]
    assert dict(zip(listed["item"], listed["rating"], strict=True)) == ratings
    np.testing.assert_allclose(listed["contribution"], [wanted[iid] for iid in listed["item"]], atol=1e-4)
    assert listed["contribution"].abs().is_monotonic_decreasing
    assert part(frame, "other ratings") == 0
    assert frame.loc[frame["part"] != "rating", ["item", "rating"]].isna().all(axis=None)


def test_contributions_are_what_is_lost_if_a_rating_is_taken_out(fitted):
    ratings = ratings_by(fitted, 7)
    unrated = next(iid for iid in range(50) if iid not in ratings)
    for iid in (unrated, next(iter(ratings))):
        frame, wanted = fitted.explain(7, iid, n=99), losses(fitted, ratings, iid)
        assert_explains(frame, ratings, wanted)
        # (In single precision, the weights of a regression without a penalty have few digits.)
        assert part(frame, "training") == pytest.approx(
            fitted.model_.estimate(fitted.trainset.to_inner_uid(7), fitted.trainset.to_inner_iid(iid))
            - folded_in(fitted, ratings, iid),
            abs=1e-4,
        )
        assert max(map(abs, wanted.values())) > 0.01  # far more than the tolerance


def test_the_parts_add_up_to_the_estimate(fitted):
    for uid, iid in [(uid, iid) for uid in range(0, 80, 15) for iid in range(0, 50, 11)]:
        frame = fitted.explain(uid, iid, n=3)
        assert frame["contribution"].sum() == pytest.approx(fitted.predict(uid, iid).est, abs=1e-6)


@pytest.mark.parametrize(("bias", "end"), [(9.0, 5.0), (-9.0, 1.0), (0.0, None)])
def test_clipping_is_a_part(data, bias, end):
    algorithm = AutoRec(**LEARNT).fit(data.build_full_trainset())
    model, trainset = algorithm.model_, algorithm.trainset
    user, item = trainset.to_inner_uid(7), trainset.to_inner_iid(11)
    model.baselines.column_biases[item] += bias
    frame, estimate = algorithm.explain(7, 11), model.estimate(user, item)
    assert part(frame, "clipping") == (0 if end is None else end - estimate)
    assert frame["contribution"].sum() == pytest.approx(estimate if end is None else end, abs=1e-6)


def test_new_users_are_explained_alike(fitted):
    ratings = {3: 5, 7: 1, "strange": 4, 20: 2.5, "stranger": 1}
    frame = fitted.explain_new_user(ratings, 11)
    assert_explains(frame, ratings, losses(fitted, ratings, 11))
    (wanted,) = fitted.predict_new_user(ratings, [11])
    assert frame["contribution"].sum() == pytest.approx(wanted, abs=1e-5)
    assert part(frame, "training") == 0


def test_the_baseline_is_that_of_the_estimate(algorithm, data):
    bu, bi, trainset = algorithm.bu, algorithm.bi, algorithm.trainset
    wanted = trainset.global_mean + bu[trainset.to_inner_uid(7)] + bi[trainset.to_inner_iid(11)]
    assert part(algorithm.explain(7, 11), "baseline") == pytest.approx(wanted)
    bias = (5 - trainset.global_mean - bi[trainset.to_inner_iid(3)]) / (
        algorithm.model_.baselines.row_reg + 1
    )
    wanted = trainset.global_mean + bias + bi[trainset.to_inner_iid(11)]
    assert part(algorithm.explain_new_user({3: 5}, 11), "baseline") == pytest.approx(wanted)
    without = AutoRec(**FAST, biased=False).fit(data.build_full_trainset())
    assert part(without.explain(7, 11), "baseline") == trainset.global_mean


def test_training_tells_where_users_are_decoded_and_not_where_they_are_encoded(data):
    trainset = data.build_full_trainset()
    encoded = AutoRec(**LEARNT, variant="user").fit(trainset)
    assert part(encoded.explain(7, 11), "training") == pytest.approx(0, abs=1e-5)
    decoded = AutoRec(**LEARNT).fit(trainset)
    assert abs(part(decoded.explain(7, 11), "training")) > 1e-3


@pytest.mark.parametrize("biased", [True, False])
def test_without_the_only_rating_the_user_is_unknown(data, biased):
    algorithm = AutoRec(**LEARNT, variant="hybrid", biased=biased).fit(data.build_full_trainset())
    frame = algorithm.explain_new_user({3: 5}, 11)
    wanted = folded_in(algorithm, {3: 5}, 11) - algorithm.predict("nobody", 11).est
    assert part(frame, "rating") == pytest.approx(wanted, abs=1e-5)
    assert abs(wanted) > 1e-3


def test_contributions_are_rating_points(data):
    frame = pd.DataFrame(dict(zip(["user", "item", "rating"], rows_of(data), strict=True)))
    wide = Dataset.load_from_df(frame.assign(rating=25 * frame["rating"] - 25), Reader(rating_scale=(0, 100)))
    narrow, wide = (AutoRec(**LEARNT).fit(one.build_full_trainset()).explain(7, 11) for one in (data, wide))
    assert wide["item"].tolist() == narrow["item"].tolist()
    in_points = 25 * narrow["contribution"]
    in_points[0] -= 25
    np.testing.assert_allclose(wide["contribution"], in_points, atol=0.05)


def test_n_ratings_are_listed_and_all_others_added_up(algorithm):
    ratings = ratings_by(algorithm, 7)
    whole, some = algorithm.explain(7, 11, n=len(ratings)), algorithm.explain(7, 11, n=4)
    pd.testing.assert_frame_equal(some.iloc[:5], whole.iloc[:5])
    rest = whole.loc[whole["part"] == "rating", "contribution"].iloc[4:]
    assert part(some, "other ratings") == pytest.approx(rest.sum())
    assert abs(rest.sum()) > 1e-3
    assert some["part"].tolist() == ["baseline", *["rating"] * 4, *PARTS[1:]]
    assert len(algorithm.explain(7, 11)) == 10 + 5


def test_ids_are_as_they_were(algorithm):
    assert all(type(iid) is int for iid in algorithm.explain(7, 11)["item"][1:-4])
    assert algorithm.explain_new_user({"strange": 4}, 11)["item"].tolist()[1] == "strange"


def test_a_regressor_explains_what_it_predicts(regressor, algorithm):
    frame = regressor.explain(7, 11)
    pd.testing.assert_frame_equal(frame, algorithm.explain(7, 11), atol=1e-6)
    assert frame["contribution"].sum() == pytest.approx(regressor.predict([[7, 11]])[0], abs=1e-6)
    pd.testing.assert_frame_equal(
        regressor.explain_new_user({3: 5}, 11), algorithm.explain_new_user({3: 5}, 11)
    )


@pytest.mark.parametrize("make", [AutoRec, AutoRecRegressor])
def test_of_several_ratings_of_an_item_the_mean_counts(make):
    triples = [
        ("ann", "jaws", 5),
        ("ann", "heat", 2),
        ("ann", "jaws", 2),
        ("bob", "jaws", 3),
        ("bob", "alien", 4),
    ]
    frame = pd.DataFrame(triples, columns=["user", "item", "rating"])
    given = [frame[["user", "item"]], frame["rating"]]
    if make is AutoRec:
        given = [Dataset.load_from_df(frame, Reader(rating_scale=(2, 5))).build_full_trainset()]
    with pytest.warns(UserWarning, match="more than once"):
        algorithm = make(**FAST).fit(*given)
    explained = algorithm.explain("ann", "alien")
    listed = explained[explained["part"] == "rating"]
    assert dict(zip(listed["item"], listed["rating"], strict=True)) == {"jaws": 3.5, "heat": 2}
    new = algorithm.explain_new_user({"jaws": 3.5, "heat": 2}, "alien")
    np.testing.assert_allclose(listed["contribution"], new.loc[new["part"] == "rating", "contribution"])


def test_ratings_added_by_partial_fit_count(data):
    algorithm = AutoRec(**LEARNT).fit(data.build_full_trainset())
    algorithm.partial_fit([("ann", 3, 5), ("ann", 4, 1)], n_epochs=1)
    frame = algorithm.explain("ann", 11)
    assert set(frame.loc[frame["part"] == "rating", "item"]) == {3, 4}
    assert frame["contribution"].sum() == pytest.approx(algorithm.predict("ann", 11).est, abs=1e-6)


# Loaded models


def test_a_loaded_model_explains_ratings_that_are_given(loaded, algorithm):
    ratings = ratings_by(algorithm, 7)
    pd.testing.assert_frame_equal(loaded.explain(7, 11, ratings=ratings), algorithm.explain(7, 11))
    pd.testing.assert_frame_equal(
        loaded.explain_new_user({3: 5, 7: 1}, 11), algorithm.explain_new_user({3: 5, 7: 1}, 11)
    )


def test_a_loaded_model_does_not_have_ratings(loaded, regressor, tmp_path):
    regressor.save(tmp_path / "regressor")
    for one in (loaded, surprise_autorec.load(tmp_path / "regressor")):
        with pytest.raises(
            ValueError, match="a loaded model does not have the ratings that it was trained on"
        ):
            one.explain(7, 11)


@pytest.mark.parametrize("more", [{}, {"strange": 3}])
def test_ratings_of_other_items_than_in_training_are_a_warning(algorithm, more):
    ratings = ratings_by(algorithm, 7)
    some = {**dict(list(ratings.items())[bool(not more) :]), **more}
    with pytest.warns(UserWarning, match="the items of ratings are not those that user 7 rated in training"):
        frame = algorithm.explain(7, 11, n=99, ratings=some)
    assert_explains(frame, some, losses(algorithm, some, 11))
    assert frame["contribution"].sum() == pytest.approx(algorithm.predict(7, 11).est, abs=1e-6)


# Errors


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda one: one.explain("zoe", 11), "the user must be in the training ratings, got 'zoe'"),
        (lambda one: one.explain(7, "x"), "the item must be in the training ratings, got 'x'"),
        (lambda one: one.explain_new_user({3: 5}, "x"), "item must be in the training ratings, got 'x'"),
        (lambda one: one.explain(7, 11, n=0), "n must be a positive integer, got 0"),
        (lambda one: one.explain_new_user({3: 5}, 11, n=2.5), "n must be a positive integer, got 2.5"),
        (lambda one: one.explain(7, 11, ratings={}), "every user needs at least one rating, got none for"),
        (lambda one: one.explain(7, 11, ratings={3: 9}), "user 7 rated item 3 9"),
        (lambda one: one.explain(7, 11, ratings=[3]), "the ratings of 7 must be a mapping, got [3]"),
        (
            lambda one: one.explain_new_user({}, 11),
            "every new user needs at least one rating, got none for 'the new user'",
        ),
        (lambda one: one.explain_new_user({3: "much"}, 11), "ratings must be numbers"),
    ],
)  # fmt: skip
def test_wrong_questions_are_named(algorithm, ask, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ask(algorithm)
