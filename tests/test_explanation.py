"""Outputs without one of the ratings, against folding in what is left, rating by rating."""

import numpy as np
import pytest
from core_helpers import AS_THEY_ARE, RATINGS, make_learner

from surprise_autorec.core.baselines import als_baselines, sgd_baselines, zero_baselines
from surprise_autorec.core.batches import RowsAndColumns
from surprise_autorec.core.fold_in import fold_in
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.model.explanation import Cases, outputs, refolded

SETTINGS = {
    "plain": {},
    "deep": {"n_factors": (8, 4)},
    "input_scaling": {"input_scaling": 0.5},
    "two_sided": {"two_sided": True, "input_scaling": 0.5, "reg_bias": 3.0},
    "tanh, tanh": {"encoder_activation": "tanh", "decoder_activation": "tanh"},
    "sigmoid, elu, two_sided": {"decoder_activation": "elu", "two_sided": True},
}
BASELINES = {"als": als_baselines, "sgd": sgd_baselines, "none": zero_baselines}
SIZES = {"user": RATINGS.n_columns, "item": RATINGS.n_rows}  # of what a new user or item has ratings of


def trained(baselines, n_epochs=20, **options):
    biased = baselines.mean != 0
    centering = RowsAndColumns(0.3, 0.8) if biased else AS_THEY_ARE
    options = {"learning_rate": 0.02, "batch_size": 20, **options}
    learner = make_learner(RATINGS, baselines, centering, biased=biased, **options)
    for number in range(1, n_epochs + 1):
        learner.run_epoch(number)
    network, _ = learner.averaged.finish(RATINGS.n_rows, RATINGS)
    return network


def new_ratings(side, n, seed=3):
    """Ratings of a new user or item, out of order."""
    rng = np.random.default_rng(seed)
    return rng.choice(SIZES[side], n, replace=False).astype(np.int32), rng.integers(1, 6, n).astype(float)


def folded_in(network, side, others, values, baselines, other):
    """What is put out after folding in; ratings of unknown ones count for the bias only."""
    owners, known = np.zeros(len(others), int), others >= 0
    by_new = baselines.of_new_rows(owners, others, values, 1)
    ratings = RatingMatrix.from_cells(owners[known], others[known], values[known], (1, SIZES[side]))
    new = fold_in(network, side, ratings, by_new)
    (user,), (item,) = ([0], [other]) if side == "user" else ([other], [0])
    pre_activation = new.users.vectors[user] @ new.items.vectors[item] + (
        new.users.biases[user] + new.items.biases[item]
    )
    torch_network = network.encoders.network
    return float(torch_network.output(torch_network.decoder_bias.new_tensor(pre_activation)))


def assert_as_refolded(network, side, others, values, baselines, other):
    cases = Cases.of(others, values, baselines)
    found = outputs(network, side, cases, other)
    rest = [np.delete(np.arange(len(others)), n) for n in range(len(others))]
    wanted = [folded_in(network, side, others[some], values[some], baselines, other) for some in rest]
    wanted.insert(0, folded_in(network, side, others, values, baselines, other))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(refolded(network, side, cases, other), wanted, atol=1e-5)
    return found


@pytest.mark.parametrize("n", [3, 25])  # fewer and more than the 4 hidden units
@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("kind", BASELINES)
@pytest.mark.parametrize("side", ["user", "item"])
def test_without_a_rating_all_is_as_if_it_had_not_been_given(side, kind, options, n):
    baselines = BASELINES[kind](RATINGS)
    network = trained(baselines, **options)
    by_side = baselines if side == "user" else baselines.transposed
    others, values = new_ratings(side, n)
    for other in (others[1], np.setdiff1d(np.arange(SIZES[side]), others)[0]):  # rated and not
        found = assert_as_refolded(network, side, others, values, by_side, other)
        assert np.abs(found[1:] - found[0]).max() > 2e-3  # far more than the tolerance


@pytest.mark.parametrize("reg_bias", [0.0, 5.0])
@pytest.mark.parametrize("side", ["user", "item"])
def test_with_one_penalty_on_both_biases(side, reg_bias):
    baselines = als_baselines(RATINGS, reg_u=3.0, reg_i=7.0)
    joint, apart = (
        trained(baselines, two_sided=True, reg_bias=reg_bias, joint_biases=joint) for joint in (True, False)
    )
    others, values = new_ratings(side, 25)
    by_side = baselines if side == "user" else baselines.transposed
    found = assert_as_refolded(joint, side, others, values, by_side, others[1])
    assert not np.allclose(
        found, outputs(apart, side, Cases.of(others, values, by_side), others[1]), atol=1e-3
    )


@pytest.mark.parametrize("n", [2, 4, 5, 6, 25])  # about where one form of the regression follows the other
def test_without_a_penalty(n):
    """Where there are fewer ratings than unknowns they are met exactly, and have a leverage of 1."""
    baselines = als_baselines(RATINGS)
    network = trained(baselines, reg=0.0, reg_bias=0.0, two_sided=True, n_epochs=3)
    others, values = new_ratings("item", n)
    cases = Cases.of(others, values, baselines.transposed)
    found = outputs(network, "item", cases, 7)
    np.testing.assert_allclose(found, refolded(network, "item", cases, 7), rtol=1e-3, atol=1e-3)
    assert np.abs(found[1:] - found[0]).max() > 0.1


@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("n_known", [0, 1, 6])
def test_ratings_that_networks_do_not_know_count_for_the_bias(side, n_known):
    baselines = als_baselines(RATINGS, reg_u=2.0, reg_i=2.0)
    network = trained(baselines, two_sided=True)
    by_side = baselines if side == "user" else baselines.transposed
    others, values = new_ratings(side, n_known)
    others, values = np.insert(others, n_known // 2, [-1, -1]), np.insert(values, n_known // 2, [5.0, 2.0])
    found = assert_as_refolded(network, side, others, values, by_side, 3)
    unknown = found[1:][others < 0]
    assert (np.abs(unknown - found[0]) > 1e-4).all() == (n_known > 0)


def test_nothing_is_left_of_a_single_rating():
    baselines = als_baselines(RATINGS)
    network = trained(baselines, two_sided=True)
    others, values = new_ratings("item", 1)
    found = assert_as_refolded(network, "item", others, values, baselines.transposed, 3)
    assert abs(found[0]) > 1e-2
    assert found[1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", BASELINES)
def test_biases_less_each_rating_are_those_of_the_rest(kind):
    baselines = BASELINES[kind](RATINGS)
    columns, values = np.array([4, -1, 7, 2]), np.array([5.0, 1.0, 2.0, 2.0])
    found = baselines.of_one_row_less_each(columns, values)
    for row, rest in enumerate([[0, 1, 2, 3], [1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]):
        wanted = baselines.of_new_rows(np.zeros(len(rest), int), columns[rest], values[rest], 1)
        assert found.row_biases[row] == pytest.approx(wanted.row_biases[0])
    assert found.row_biases.any() == (kind != "none")
    np.testing.assert_array_equal(found.column_biases, baselines.column_biases)


def test_a_network_of_new_ones_has_no_outputs_without_ratings():
    baselines = als_baselines(RATINGS)
    new = fold_in(trained(baselines), "item", RATINGS, baselines)
    with pytest.raises(ValueError, match="a model of new users or items cannot take more of them"):
        outputs(new, "item", Cases.of(*new_ratings("item", 3), baselines.transposed), 0)
