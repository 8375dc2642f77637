"""What a fitted AutoRec can do, by ids."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from conftest import FAST
from sklearn.exceptions import NotFittedError
from surprise import Dataset, Reader, accuracy

from surprise_autorec import AutoRec, datasets

VARIANTS = ["item", "user", "hybrid"]


def dataset_of(frame, scale=(1, 5)):
    return Dataset.load_from_df(frame, Reader(rating_scale=scale))


@pytest.fixture(params=VARIANTS)
def algorithm(trainset, request):
    return AutoRec(**FAST, variant=request.param).fit(trainset)


@pytest.fixture
def item_algorithm(trainset):
    return AutoRec(**FAST).fit(trainset)


def ratings_by(trainset, user):
    return {trainset.to_raw_iid(item): rating for item, rating in trainset.ur[user]}


# New users and items


@pytest.fixture(scope="module")
def study():
    """Ratings with much structure: of old users, some of new users', and the rest of new users'."""
    frame = datasets.make_ratings(n_users=300, n_items=200, n_ratings=14_000, noise=0.2, random_state=2)
    generator = np.random.default_rng(0)
    is_new, is_given = frame["user"] >= 250, generator.random(len(frame)) < 0.8
    return frame[~is_new], frame[is_new & is_given], frame[is_new & ~is_given]


@pytest.mark.parametrize("variant", VARIANTS)
def test_new_users_are_predicted_nearly_as_well_as_if_they_had_been_there(study, variant):
    old, given, asked = study
    parameters = {"n_factors": 64, "variant": variant, "random_state": 0}
    without = AutoRec(**parameters).fit(dataset_of(old).build_full_trainset())
    with_them = AutoRec(**parameters).fit(dataset_of(pd.concat([old, given])).build_full_trainset())
    errors, baseline_errors = [], []
    baselines = without.model_.baselines
    for user, part in asked.groupby("user"):
        ratings = given[given["user"] == user]
        known = dict(zip(ratings["item"], ratings["rating"], strict=True))
        errors += (without.predict_new_user(known, part["item"]) - part["rating"]).tolist()
        item_biases = pd.Series(baselines.column_biases, without.model_.item_ids)
        offset = np.sum([r - baselines.mean - item_biases[i] for i, r in known.items()]) / (15 + len(known))
        baseline_errors += (baselines.mean + offset + part["item"].map(item_biases) - part["rating"]).tolist()
    rmse, baseline_rmse = np.sqrt(np.mean(np.square(errors))), np.sqrt(np.mean(np.square(baseline_errors)))
    wanted = accuracy.rmse(with_them.test(list(asked.itertuples(index=False))), verbose=False)
    assert rmse < wanted + 0.03
    assert rmse < 0.85 * baseline_rmse


def test_a_user_who_was_there_is_predicted_as_before_where_users_are_encoded(trainset):
    algorithm = AutoRec(**FAST, variant="user").fit(trainset)
    user = 7
    items = [trainset.to_raw_iid(item) for item in range(50)]
    wanted = [
        prediction.est
        for prediction in algorithm.test([(trainset.to_raw_uid(user), iid, 3) for iid in items])
    ]
    np.testing.assert_allclose(
        algorithm.predict_new_user(ratings_by(trainset, user), items), wanted, rtol=1e-5
    )


def test_an_item_that_was_there_is_predicted_as_before_where_items_are_encoded(trainset):
    algorithm = AutoRec(**FAST).fit(trainset)
    item = 7
    ratings = {trainset.to_raw_uid(user): rating for user, rating in trainset.ir[item]}
    users = [trainset.to_raw_uid(user) for user in range(80)]
    wanted = [
        prediction.est
        for prediction in algorithm.test([(uid, trainset.to_raw_iid(item), 3) for uid in users])
    ]
    # (All but the item's bias, which was estimated before the users' last: they are close.)
    np.testing.assert_allclose(algorithm.predict_new_item(ratings, users), wanted, rtol=2e-2)


def test_the_model_stays_as_it_is(algorithm, trainset):
    before = pickle.dumps(algorithm.model_.baselines.row_biases)
    first = algorithm.predict_new_user({3: 5, 4: 1}, [7, 8])
    algorithm.recommend(new_users={"ann": {3: 5}})
    np.testing.assert_array_equal(algorithm.predict_new_user({3: 5, 4: 1}, [7, 8]), first)
    assert pickle.dumps(algorithm.model_.baselines.row_biases) == before
    assert not trainset.knows_user("ann")


def test_taste_tells(algorithm):
    loves, hates = (algorithm.predict_new_user({3: rating, 4: rating}, [3, 7, 8]) for rating in (5, 1))
    assert (loves > hates).all()


def test_items_the_model_does_not_know_count_for_the_bias_only(item_algorithm):
    known, more = ({3: 4}, {3: 4, "unknown": 5})
    alone, with_strange = (item_algorithm.predict_new_user(ratings, ["unknown"]) for ratings in (known, more))
    assert with_strange > alone
    only_strange = item_algorithm.predict_new_user({"unknown": 5}, [7, "other"])
    baselines = item_algorithm.model_.baselines
    bias = (5 - baselines.mean) / (baselines.row_reg + 1)
    assert only_strange[1] == pytest.approx(baselines.mean + bias)


def test_without_baselines_unknown_items_are_answered_with_the_mean(trainset):
    algorithm = AutoRec(**FAST, biased=False).fit(trainset)
    estimates = algorithm.predict_new_user({3: 4, 5: 2}, ["unknown", 7])
    assert estimates[0] == pytest.approx(trainset.global_mean)
    assert estimates[1] != pytest.approx(trainset.global_mean)


def test_estimates_are_clipped_and_on_the_scale_of_the_ratings(data):
    frame = pd.DataFrame(data.raw_ratings, columns=["user", "item", "rating", "time"]).drop(columns="time")
    wide = frame.assign(rating=25 * frame["rating"] - 25)
    narrow = AutoRec(**FAST).fit(data.build_full_trainset())
    wide = AutoRec(**FAST).fit(dataset_of(wide, (0, 100)).build_full_trainset())
    ratings = dict.fromkeys(range(20), 5)
    estimates = narrow.predict_new_user(ratings, range(50))
    wide_estimates = wide.predict_new_user(dict.fromkeys(ratings, 100), range(50))
    np.testing.assert_allclose(wide_estimates, 25 * estimates - 25, atol=0.05)
    assert estimates.max() <= 5


@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ({}, "every new {side} needs at least one rating, got none for 'the new {side}'"),
        ({3: 6}, "ratings must lie on the rating scale, 1 to 5: user .* rated item .* 6"),
        ({3: float("nan")}, "ratings must lie on the rating scale, 1 to 5: user .* rated item .* nan"),
        ({3: 10**400}, "ratings must lie on the rating scale, 1 to 5: user .* rated item .* inf"),
        ({3: "much"}, "ratings must be numbers: user .* rated item .* 'much'"),
        ([3, 4], "the ratings of 'the new {side}' must be a mapping, got"),
    ],
)
def test_wrong_ratings_of_new_ones_are_named(item_algorithm, side, ratings, message):
    ask = item_algorithm.predict_new_user if side == "user" else item_algorithm.predict_new_item
    with pytest.raises(ValueError, match=message.format(side=side)):
        ask(ratings, [3])


# Top-N


def test_recommend_lists_the_best_for_everyone(algorithm, trainset):
    frame = algorithm.recommend(n=3)
    assert list(frame.columns) == ["user", "item", "rank", "estimate"]
    assert frame["user"].unique().tolist() == [trainset.to_raw_uid(user) for user in range(80)]
    assert set(frame["rank"]) <= {1, 2, 3}
    for uid, part in list(frame.groupby("user", sort=False))[:5]:
        unseen = [iid for iid in range(50) if iid not in ratings_by(trainset, trainset.to_inner_uid(uid))]
        predictions = sorted(algorithm.test([(uid, iid, 3) for iid in unseen]), key=lambda p: -p.est)
        assert part["item"].tolist() == [prediction.iid for prediction in predictions[:3]]
        assert part["estimate"].tolist() == [prediction.est for prediction in predictions[:3]]


def test_ids_keep_their_types(data):
    triples = [(f"u{uid}", iid, rating, None) for uid, iid, rating, _ in data.raw_ratings]
    algorithm = AutoRec(**FAST).fit(data.construct_trainset(triples))
    frame = algorithm.recommend(["u3"], n=2)
    assert frame["user"].tolist() == ["u3", "u3"]
    assert all(iid in range(50) for iid in frame["item"])
    assert algorithm.similar_users("u3", 2)["user"].str.startswith("u").all()


def test_recommend_takes_users_candidates_and_what_is_rated(item_algorithm, trainset):
    rated = list(ratings_by(trainset, trainset.to_inner_uid(3)))
    frame = item_algorithm.recommend((uid for uid in [3, 5, 3]), n=2)
    assert frame["user"].tolist() == [3, 3, 5, 5, 3, 3]
    assert item_algorithm.recommend([3], candidates=rated).empty
    frame = item_algorithm.recommend([3], n=50, candidates=[*rated, *rated], exclude_rated=False)
    assert sorted(frame["item"]) == sorted(rated)


def test_recommend_for_new_users(algorithm):
    new = {"ann": {3: 5, 7: 1}, "bob": {4: 2}}
    frame = algorithm.recommend(n=4, new_users=new)
    assert frame["user"].tolist() == ["ann"] * 4 + ["bob"] * 4
    for uid, ratings in new.items():
        part = frame[frame["user"] == uid]
        assert not set(part["item"]) & set(ratings)
        # (Solved for one by one or together: the same but for rounding.)
        np.testing.assert_allclose(
            part["estimate"], algorithm.predict_new_user(ratings, part["item"]), rtol=1e-5
        )
    both = algorithm.recommend([3], n=4, new_users=new)
    assert both["user"].unique().tolist() == [3, "ann", "bob"]
    assert both.index.tolist() == list(range(12))
    assert algorithm.recommend(new_users={}, n=4).empty


@pytest.mark.parametrize("biased", [True, False])
def test_unknown_users_get_a_ranking_and_a_warning(trainset, biased):
    algorithm = AutoRec(**FAST, biased=biased).fit(trainset)
    message = (
        r"user 'x' is not in the training ratings \(2 of 3 users are not\): unknown users get the items .*"
    )
    with pytest.warns(UserWarning, match=message):
        frame = algorithm.recommend([3, "x", "y"], n=2)
    assert frame["user"].tolist() == [3, 3, "x", "x", "y", "y"]
    assert frame["item"].tolist()[2:4] == frame["item"].tolist()[4:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a positive integer, got 0"),
        ({"n": 2.5}, "n must be a positive integer, got 2.5"),
        ({"n": True}, "n must be a positive integer, got True"),
        ({"uids": "ann"}, "uids must be a list of ids, got 'ann'"),
        ({"candidates": "heat"}, "candidates must be a list of ids, got 'heat'"),
        ({"candidates": [3, "heat"]}, "candidates must be items of the training ratings, got 'heat'"),
        ({"new_users": {"ann": {}}}, "every new user needs at least one rating, got none for 'ann'"),
        (
            {"new_users": {"ann": {3: 9}}},
            "ratings must lie on the rating scale, 1 to 5: user 'ann' rated item 3 9",
        ),
        ({"new_users": [3]}, "new_users must be a mapping of ids to ratings, got [3]"),
        ({"new_users": {"ann": 3}}, "the ratings of 'ann' must be a mapping, got 3"),
    ],
)
def test_wrong_wishes_are_named(item_algorithm, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        item_algorithm.recommend(**arguments)


# Neighbours


def test_similar_items_are_those_rated_alike():
    """Two kinds of items, and of users; each kind of user likes one kind of item."""
    users, items = np.nonzero(np.random.default_rng(0).random((60, 20)) < 0.7)
    frame = pd.DataFrame({"user": users, "item": items, "rating": 3.0 + (-1.0) ** (users + items)})
    algorithm = AutoRec(n_factors=16, n_epochs=40, reg_all=1, lr_all=0.01, random_state=0)
    algorithm.fit(dataset_of(frame).build_full_trainset())
    alike = algorithm.similar_items(4, n=9)
    assert (alike["item"] % 2 == 0).all()
    assert alike["similarity"].is_monotonic_decreasing
    assert alike["similarity"].between(0.5, 1.0001).all()
    assert (algorithm.similar_users(7, n=20)["user"] % 2 == 1).all()


@pytest.mark.parametrize("ask", ["similar_items", "similar_users"])
def test_wrong_questions_for_neighbours_are_named(item_algorithm, ask):
    with pytest.raises(ValueError, match=r"must be in the training ratings, got 'nothing'$"):
        getattr(item_algorithm, ask)("nothing")
    with pytest.raises(ValueError, match=r"in the training ratings, got '3'; did you mean 3\?$"):
        getattr(item_algorithm, ask)("3")
    with pytest.raises(ValueError, match=re.escape("in the training ratings, got [3]")):
        getattr(item_algorithm, ask)([3])
    with pytest.raises(ValueError, match="n must be a positive integer, got 0"):
        getattr(item_algorithm, ask)(3, n=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_get_neighbors_is_surprises_by_inner_ids(trainset, variant):
    algorithm = AutoRec(**FAST, variant=variant).fit(trainset)
    side, to_raw = ("user", trainset.to_raw_uid) if variant == "user" else ("item", trainset.to_raw_iid)
    neighbors = algorithm.get_neighbors(4, k=5)
    assert [type(neighbor) for neighbor in neighbors] == [int] * 5
    similar = getattr(algorithm, f"similar_{side}s")(to_raw(4), n=5)
    assert [to_raw(neighbor) for neighbor in neighbors] == similar[side].tolist()


@pytest.mark.parametrize(
    ("iid", "k", "message"),
    [
        (50, 1, "iid must be an inner id of the items, 0 to 49, got 50"),
        (-1, 1, "iid must be an inner id of the items, 0 to 49, got -1"),
        ("heat", 1, "iid must be an inner id of the items, 0 to 49, got 'heat'"),
        (3, 0, "k must be a positive integer, got 0"),
    ],
)
def test_wrong_inner_ids_are_named(item_algorithm, iid, k, message):
    with pytest.raises(ValueError, match=message):
        item_algorithm.get_neighbors(iid, k)


@pytest.mark.parametrize("ask", ["predict_new_user", "predict_new_item"])
def test_one_id_is_no_list_of_ids(item_algorithm, ask):
    with pytest.raises(ValueError, match="ids must be a list of ids, got 'heat'"):
        getattr(item_algorithm, ask)({3: 4}, "heat")


# Always


def test_all_of_it_works_after_pickle(algorithm):
    copy = pickle.loads(pickle.dumps(algorithm))
    np.testing.assert_array_equal(copy.predict_new_user({3: 5}, [7]), algorithm.predict_new_user({3: 5}, [7]))
    pd.testing.assert_frame_equal(copy.recommend(n=2), algorithm.recommend(n=2))
    pd.testing.assert_frame_equal(copy.similar_items(3), algorithm.similar_items(3))


@pytest.mark.parametrize(
    "ask",
    [
        lambda algorithm: algorithm.predict_new_user({3: 5}, [7]),
        lambda algorithm: algorithm.predict_new_item({3: 5}, [7]),
        lambda algorithm: algorithm.explain(3, 7),
        lambda algorithm: algorithm.explain_new_user({3: 5}, 7),
        lambda algorithm: algorithm.recommend(),
        lambda algorithm: algorithm.similar_items(3),
        lambda algorithm: algorithm.similar_users(3),
        lambda algorithm: algorithm.get_neighbors(3, 1),
        lambda algorithm: algorithm.partial_fit([(3, 3, 3)]),
    ],
)
def test_nothing_works_before_fit(ask):
    with pytest.raises(NotFittedError, match="AutoRec must be fitted first: call fit"):
        ask(AutoRec())
