"""The best items and the nearest neighbours, against loops over all of them."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import FAST

from surprise_autorec import AutoRec
from surprise_autorec.core.trained import Factors, Member, TrainedNetwork
from surprise_autorec.model import Rated, ranking
from surprise_autorec.model.ranking import nearest, rank_items

#: Settings of a network whose outputs matter beside the baselines.
LEARNT = {**FAST, "n_epochs": 20, "lr_all": 0.02, "reg_all": 0.5}

KINDS = {
    "item": {},
    "user": {"variant": "user"},
    "hybrid": {"variant": "hybrid", "item_weight": 0.6},
    "several networks": {"n_estimators": 3},
    "bounded": {"decoder_activation": "sigmoid"},
    "relu, not biased": {"decoder_activation": "relu", "biased": False},
    "not biased": {"biased": False},
    "deep, one-sided": {"n_factors": (12, 8), "two_sided": False},
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def fitted(request, data):
    algorithm = AutoRec(**{**LEARNT, **request.param}).fit(data.build_full_trainset())
    outputs = algorithm.model_._outputs(*np.indices((80, 50), np.int32).reshape(2, -1)).reshape(80, 50)
    assert outputs.std(axis=1).mean() > 0.1  # the network matters beside the baselines
    return algorithm


@pytest.fixture(scope="module")
def model(data):
    return AutoRec(**FAST).fit(data.build_full_trainset()).model_


def rated_by(model, user):
    return model.rated.items[model.rated.offsets[user] : model.rated.offsets[user + 1]]


def brute_force(model, user, n, exclude_rated=True, candidates=None):
    items = range(len(model.item_ids)) if candidates is None else candidates
    excluded = set(rated_by(model, user)) if exclude_rated and user >= 0 else set()
    one = {
        item: float(model.predict(np.array([user]), np.array([item]))[0])
        for item in items
        if item not in excluded
    }
    best = sorted(one, key=lambda item: -one[item])[:n]
    return best, [one[item] for item in best]


def rows_of(ranking_, position):
    chosen = ranking_.positions == position
    assert ranking_.ranks[chosen].tolist() == list(range(1, chosen.sum() + 1))
    return ranking_.items[chosen].tolist(), ranking_.estimates[chosen].tolist()


@pytest.mark.parametrize("exclude_rated", [True, False])
@pytest.mark.parametrize(
    "candidates", [None, np.array([40, 3, 17, 9, 30, 2, 25], np.int32)], ids=["all", "some"]
)
def test_items_are_those_that_a_loop_finds(fitted, exclude_rated, candidates):
    model, users = fitted.model_, np.array([7, 0, 79, 7, 33], np.int32)
    found = rank_items(model, users, 6, exclude_rated, candidates)
    assert found.positions.tolist() == sorted(found.positions)
    for position, user in enumerate(users):
        items, estimates = brute_force(model, user, 6, exclude_rated, candidates)
        # No two predictions lie so close together that single precision could confuse them.
        assert len(np.unique(np.round(estimates, 6))) == len(estimates)
        assert rows_of(found, position) == (items, np.clip(estimates, 1, 5).tolist())


def test_estimates_are_those_of_test_to_the_bit_and_of_predict(fitted):
    trainset = fitted.trainset
    found = rank_items(fitted.model_, np.array([4, 11], np.int32), 8)
    pairs = [
        (trainset.to_raw_uid([4, 11][position]), trainset.to_raw_iid(item), None)
        for position, item in zip(found.positions, found.items, strict=True)
    ]
    assert found.estimates.tolist() == [prediction.est for prediction in fitted.test(pairs)]
    assert found.estimates == pytest.approx([fitted.predict(*pair).est for pair in pairs], abs=1e-5)


@pytest.mark.parametrize("decoder_activation", ["relu", "elu", "selu"])
def test_where_f_is_flat_the_baselines_decide(data, decoder_activation):
    """What goes into f would order the items the other way round."""
    model = AutoRec(**FAST, decoder_activation=decoder_activation).fit(data.build_full_trainset()).model_
    (network,) = model.networks
    best_first = np.argsort(-model.baselines.column_biases)
    biases = np.empty(50, np.float32)
    biases[best_first] = np.linspace(-200, -30, 50)
    flat = replace(network, items=Factors(network.items.vectors, biases))
    found = rank_items(replace(model, networks=[flat]), np.array([7], np.int32), 5, exclude_rated=False)
    assert found.items.tolist() == best_first[:5].tolist()


@pytest.mark.parametrize("pairs_per_block", [1, 120, 151])
def test_blocks_change_nothing(fitted, monkeypatch, pairs_per_block):
    users = np.array([5, -1, 2, 60, 61, -1, 8], np.int32)
    at_once = rank_items(fitted.model_, users, 10)
    monkeypatch.setattr(ranking, "PAIRS_PER_BLOCK", pairs_per_block)
    for whole, in_blocks in zip(at_once, rank_items(fitted.model_, users, 10), strict=True):
        assert whole.tolist() == in_blocks.tolist()
        assert whole.dtype == in_blocks.dtype


def test_a_model_knows_what_each_user_has_rated(model, data):
    trainset = data.build_full_trainset()
    for user, ratings in trainset.ur.items():
        assert model.rated.items_of(user).tolist() == sorted(item for item, _ in ratings)


def test_who_has_few_items_left_gets_few(model):
    candidates = np.append(
        rated_by(model, 3)[:4], np.setdiff1d(np.arange(50), rated_by(model, 3))[:2]
    ).astype(np.int32)
    assert len(rows_of(rank_items(model, np.array([3], np.int32), 5, candidates=candidates), 0)[0]) == 2
    rated = rated_by(model, 3)
    both = rank_items(model, np.array([3, 3], np.int32), 99, candidates=rated)
    assert [len(column) for column in both] == [0, 0, 0, 0]
    assert len(rank_items(model, np.array([3], np.int32), 99, False).items) == 50


@pytest.mark.parametrize("users", [[], [0, -1]])
@pytest.mark.parametrize("candidates", [None, []])
def test_nobody_or_nothing(model, users, candidates):
    candidates = None if candidates is None else np.array(candidates, np.int32)
    found = rank_items(model, np.array(users, np.int32), 2, candidates=candidates)
    assert len(found.items) == (0 if candidates is not None else 2 * len(users))
    assert [column.dtype for column in found] == [np.int64, np.int32, np.int64, np.float64]


def test_unknown_users_get_what_the_baselines_rank_highest(data):
    """Also where those that are known get something else, as the network has learnt much."""
    model = AutoRec(**LEARNT).fit(data.build_full_trainset()).model_
    by_bias = np.argsort(-model.baselines.column_biases)
    expected = model.scale.from_core(model.baselines.mean + model.baselines.column_biases[by_bias])
    for n in range(1, 51):
        found = rank_items(model, np.array([-1, 6, -1], np.int32), n)
        items, estimates = rows_of(found, 0)
        assert items == by_bias[:n].tolist()
        assert estimates == pytest.approx(expected[:n])
        assert rows_of(found, 2) == (items, estimates)
        assert rows_of(found, 1)[0] == brute_force(model, 6, n)[0]


def test_unknown_users_get_what_most_have_rated_where_there_are_no_baselines(data):
    model = AutoRec(**FAST, biased=False).fit(data.build_full_trainset()).model_
    items, estimates = rows_of(rank_items(model, np.array([-1], np.int32), 7), 0)
    counts = np.bincount(model.rated.items, minlength=50)
    assert counts[items].tolist() == sorted(counts, reverse=True)[:7]
    assert estimates == [model.mean_rating] * 7
    some = np.array([4, 30, 12], np.int32)
    items, _ = rows_of(rank_items(model, np.array([-1], np.int32), 7, candidates=some), 0)
    assert items == sorted(some, key=lambda item: -counts[item])


def test_items_are_ranked_by_what_estimates_were_before_they_were_clipped(data):
    """With biases far above the scale every estimate is 5, and the order is still that of the biases."""
    fitted = AutoRec(**FAST, n_estimators=2).fit(data.build_full_trainset())
    model = fitted.model_
    model.baselines.column_biases[:] = np.linspace(10, 20, 50)
    items, estimates = rows_of(rank_items(model, np.array([0], np.int32), 3, exclude_rated=False), 0)
    assert items == [49, 48, 47]
    assert estimates == [5, 5, 5]


@pytest.mark.parametrize("side", ["item", "user"])
def test_nearest_are_those_that_a_loop_finds(fitted, side):
    model = fitted.model_
    size = len(model.item_ids if side == "item" else model.user_ids)

    def cosine(a, b):
        total = 0.0
        for network in model.networks:
            x, y = (network.items if side == "item" else network.users).vectors[[a, b]].astype(float)
            total += network.member.weight * (x @ y) / np.sqrt((x @ x) * (y @ y))
        return total

    for index in (0, size - 1):
        cosines = {other: cosine(index, other) for other in range(size) if other != index}
        indices, similarities = nearest(model, side, index, 10)
        assert similarities == pytest.approx(sorted(cosines.values(), reverse=True)[:10], abs=1e-5)
        assert similarities == pytest.approx([cosines[other] for other in indices], abs=1e-5)
        assert index not in nearest(model, side, index, 999)[0]
        assert len(nearest(model, side, index, 999)[0]) == size - 1


def test_a_vector_of_zeros_is_like_nothing(model):
    zeros = np.zeros((3, 2), np.float32)
    hidden = np.array([[1, 1], [0, 0], [3, 3]], np.float32)
    network = TrainedNetwork(
        Member("item", 1.0), Factors(zeros, zeros[:, 0]), Factors(hidden, zeros[:, 0]), None
    )
    small = type(model)(
        user_ids="abc",
        item_ids="xyz",
        scale=model.scale,
        mean_rating=3.0,
        biased=True,
        decoder_activation="identity",
        baselines=model.baselines,
        networks=[network],
        rated=Rated(np.zeros(4, np.int32), np.zeros(0, np.int32)),
        errors=None,
    )
    indices, similarities = nearest(small, "item", 0, 5)
    assert indices.tolist() == [2, 1]
    assert similarities == pytest.approx([1, 0])
    assert similarities.max() <= 1
    assert nearest(small, "item", 1, 5)[1].tolist() == [0, 0]
    assert nearest(small, "user", 2, 1)[0].tolist() == [0]  # of equal ones, the first
