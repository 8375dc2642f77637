"""Rankings and neighbours, against brute force."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import FAST

from surprise_autorec import AutoRec, ranking
from surprise_autorec.ranking import nearest, rank_items

KINDS = {
    "item": {},
    "user": {"variant": "user"},
    "hybrid of two": {"variant": "hybrid", "n_estimators": 2},
    "bounded": {"decoder_activation": "tanh"},
    "not biased": {"biased": False, "variant": "user"},
}


@pytest.fixture(params=KINDS)
def model(trainset, request):
    return AutoRec(**FAST, **KINDS[request.param]).fit(trainset).model_


def brute_force(model, users, n, exclude_rated=True, candidates=None):
    """(position, item, rank, estimate) of each row, by a loop over all pairs."""
    rows = []
    for position, user in enumerate(users):
        items = list(range(len(model.item_ids)) if candidates is None else candidates)
        if user < 0:
            popularity = np.bincount(model.rated.items, minlength=len(model.item_ids))
            order = {item: model.baselines.column_biases[item] if model.biased else popularity[item] for item in items}
            estimates = {
                item: model.predict(np.array([user]), np.array([item]))[0] if model.biased else model.mean_rating
                for item in items
            }
        else:
            rated = model.rated.items[model.rated.offsets[user] : model.rated.offsets[user + 1]]
            items = [item for item in items if not exclude_rated or item not in rated]
            estimates = {item: model.predict(np.array([user]), np.array([item]))[0] for item in items}
            order = estimates
        best = sorted(items, key=order.get, reverse=True)[:n]
        rows += [(position, item, rank, np.clip(estimates[item], *model.scale)) for rank, item in enumerate(best, 1)]
    return rows


def rows_of(result):
    return list(zip(*(column.tolist() for column in result), strict=True))


def assert_same(result, wanted):
    assert [row[:3] for row in rows_of(result)] == [row[:3] for row in wanted]
    np.testing.assert_allclose(result.estimates, [row[3] for row in wanted], rtol=1e-6)


@pytest.mark.parametrize("exclude_rated", [True, False])
@pytest.mark.parametrize("pairs_per_block", [1, 130, 10**6])
def test_the_best_items_are_those_of_a_loop_over_all_pairs(model, monkeypatch, pairs_per_block, exclude_rated):
    monkeypatch.setattr(ranking, "PAIRS_PER_BLOCK", pairs_per_block)
    users = np.array([5, 0, 79, 5], np.int32)
    assert_same(rank_items(model, users, 4, exclude_rated), brute_force(model, users, 4, exclude_rated))


def test_candidates_are_what_is_chosen_from(model):
    users, candidates = np.array([3, 8], np.int32), np.array([40, 2, 17, 33, 6], np.int32)
    for exclude_rated in (True, False):
        result = rank_items(model, users, 3, exclude_rated, candidates)
        assert_same(result, brute_force(model, users, 3, exclude_rated, candidates))


def test_of_few_items_all_are_listed(model):
    users, candidates = np.array([3, 8], np.int32), np.array([40, 2], np.int32)
    assert len(rank_items(model, users, 10, exclude_rated=False, candidates=candidates).items) == 4
    everything = rank_items(model, users, 1000)
    for position, user in enumerate(users):
        rated = model.rated.items[model.rated.offsets[user] : model.rated.offsets[user + 1]]
        listed = everything.items[everything.positions == position]
        assert sorted([*listed, *rated]) == list(range(50))


def test_nobody_gets_nothing(model):
    for users, candidates in ((np.empty(0, np.int32), None), (np.array([3], np.int32), np.empty(0, np.int32))):
        assert [len(column) for column in rank_items(model, users, 3, candidates=candidates)] == [0] * 4


def test_strangers_get_what_is_best_or_most_often_rated(model):
    users = np.array([-1, 4, -1], np.int32)
    result = rank_items(model, users, 3)
    if model.biased:
        assert_same(result, brute_force(model, users, 3))
    popularity = np.bincount(model.rated.items, minlength=50)
    for position in (0, 2):
        listed = result.items[result.positions == position]
        standard = model.baselines.column_biases if model.biased else popularity
        np.testing.assert_array_equal(standard[listed], np.sort(standard)[::-1][:3])
        if not model.biased:
            np.testing.assert_array_equal(result.estimates[result.positions == position], [model.mean_rating] * 3)


def test_estimates_are_those_of_predict_bit_for_bit(model):
    users = np.arange(80, dtype=np.int32)
    result = rank_items(model, users, 5)
    estimates = model.predict(users[result.positions], result.items).clip(*model.scale)
    np.testing.assert_array_equal(result.estimates, estimates)


@pytest.mark.parametrize("side", ["user", "item"])
def test_the_nearest_are_those_of_the_greatest_cosine(model, side):
    n = {"user": 80, "item": 50}[side]
    for index in (0, n - 1):
        wanted = np.zeros(n)
        for (rows_are, weight), (hidden, weights, _), _ in model.networks:
            factors = hidden if rows_are == side else weights
            for other in range(n):
                norms = np.linalg.norm(factors[index]) * np.linalg.norm(factors[other])
                wanted[other] += weight * (factors[index] @ factors[other]) / norms
        indices, similarities = nearest(model, side, index, 7)
        assert index not in indices
        others = np.delete(np.arange(n), index)
        order = others[np.argsort(-wanted[others])][:7]
        np.testing.assert_array_equal(indices, order)
        np.testing.assert_allclose(similarities, wanted[order], rtol=1e-4)
    assert len(nearest(model, side, 0, 1000)[0]) == n - 1


def test_factors_of_zeros_resemble_nothing(trainset):
    model = AutoRec(**FAST).fit(trainset).model_
    (network,) = model.networks
    zeros = network.factors._replace(hidden=np.zeros_like(network.factors.hidden))
    nothing = replace(model, networks=[network._replace(factors=zeros)])
    np.testing.assert_array_equal(nearest(nothing, "item", 3, 4)[1], np.zeros(4))
