"""Factors of new rows and columns, against slow dense references."""

import numpy as np
import pytest
import torch
from core_helpers import CPU, RATINGS, dense, make_learner, random_ratings
from scipy.optimize import minimize

from surprise_autorec.core import fold_in as module
from surprise_autorec.core.baselines import als_baselines, sgd_baselines, zero_baselines
from surprise_autorec.core.batches import BatchCutter, RowsAndColumns
from surprise_autorec.core.network import decoder_output
from surprise_autorec.core.ratings import RatingMatrix

CENTERING = RowsAndColumns(0.3, 0.8)
BASELINES = als_baselines(RATINGS)
KINDS = {
    "one-sided": {},
    "two-sided": {"two_sided": True},
    "scaled": {"input_scaling": 0.5, "two_sided": True},
    "deep": {"n_factors": (6, 3)},
    "full batch": {"optimizer": "rprop", "two_sided": True},
    "bounded": {"encoder_activation": "tanh", "decoder_activation": "sigmoid", "two_sided": True},
}


def trained(**options):
    """A trained network with biases and an own centre: its factors, and what folds in."""
    options = {"biased": True, "reg": 3.0, "learning_rate": 0.02, **options}
    learner = make_learner(RATINGS, BASELINES, CENTERING, **options)
    for number in range(1, 9):
        learner.run_epoch(number)
    return learner.finish()


# Rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_was_there_has_its_hidden_activations(kind):
    factors, fold_in = trained(**KINDS[kind])
    rows = np.array([7, 3, 31])
    hidden = fold_in.encode_rows(RATINGS.take_rows(rows), BASELINES.take_rows(rows))
    assert np.ptp(hidden, axis=0).max() > 0.001
    np.testing.assert_allclose(hidden, factors.hidden[rows], rtol=1e-3, atol=1e-6)


def test_a_row_without_ratings_has_those_of_no_input():
    factors, fold_in = trained()
    empty = RatingMatrix.from_cells([1], [4], [3.0], (2, RATINGS.n_columns))
    hidden = fold_in.encode_rows(empty, BASELINES.take_rows(np.array([0, 1])))
    wanted = fold_in.network.encode_nothing()[0] - fold_in.mean_hidden
    np.testing.assert_allclose(hidden[0], wanted, rtol=1e-5)
    assert hidden.shape == (2, factors.hidden.shape[1])


# Columns


def new_columns(counts, seed=5):
    """Columns that the rows of RATINGS rate so many times each."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.choice(RATINGS.n_rows, count, replace=False) for count in counts])
    columns = np.repeat(np.arange(len(counts)), counts)
    return RatingMatrix.from_cells(rows, columns, rng.integers(1, 6, len(rows)), (RATINGS.n_rows, len(counts)))


def baselines_of(columns):
    turned = columns.transposed
    return BASELINES.transposed.of_new_rows(turned.rows, turned.columns, turned.values, turned.n_rows).transposed


def minimum(fold_in, hidden, ratings, baselines, column):
    """Decoder weights (without the vector) and bias that minimise the objective, by SciPy's BFGS, and the vector."""
    cells = ratings.columns == column
    rows = ratings.rows[cells]
    offsets = baselines.at(rows, ratings.columns[cells])
    targets = ratings.values[cells] - offsets
    inputs = (ratings.values[cells] - CENTERING.columns * offsets) / np.sqrt(len(rows))
    E = np.zeros_like(hidden)
    if fold_in.network.column_encoder_weight is not None:
        E = fold_in.network.column_encoder_weight.numpy()
    H = hidden[rows].astype(np.float64)
    vector = inputs @ E[rows]
    own = inputs * (E[rows] * H).sum(1)

    def objective(solution):
        inner = H @ (vector + solution[:-1]) + solution[-1] - own
        outputs = decoder_output(torch.from_numpy(inner), fold_in.network.decoder_activation, biased=True).numpy()
        penalty = fold_in.reg / 2 * np.square(solution[:-1]).sum() + fold_in.reg_bias / 2 * solution[-1] ** 2
        return np.square(targets - outputs).sum() + penalty

    found = minimize(objective, np.zeros(H.shape[1] + 1), method="BFGS", options={"gtol": 1e-7})
    return found.x[:-1], found.x[-1], vector


@pytest.mark.parametrize("decoder_activation", ["identity", "sigmoid", "tanh", "relu", "elu"])
@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("reg_bias", [0.5, 4.0])
def test_a_new_column_minimises_what_is_left_of_the_objective(decoder_activation, two_sided, reg_bias):
    options = {"two_sided": two_sided, "decoder_activation": decoder_activation, "reg_bias": reg_bias}
    factors, fold_in = trained(**options)
    ratings = new_columns([1, 3, 25])
    baselines = baselines_of(ratings)
    weight, bias = fold_in.solve_columns(ratings, baselines, factors.hidden)
    assert weight.dtype == bias.dtype == np.float32
    for column in range(3):
        wanted, wanted_bias, vector = minimum(fold_in, factors.hidden, ratings, baselines, column)
        np.testing.assert_allclose(weight[column] - vector, wanted, rtol=1e-2, atol=2e-4)
        np.testing.assert_allclose(bias[column], wanted_bias, rtol=1e-2, atol=2e-4)
    assert np.abs(weight).max() > 0.01


@pytest.mark.parametrize("n_ratings", [1, 30])
def test_without_a_penalty_ratings_are_met_as_well_as_can_be(n_ratings):
    factors, fold_in = trained(reg=0.0)
    ratings = new_columns([n_ratings])
    baselines = baselines_of(ratings)
    weight, bias = fold_in.solve_columns(ratings, baselines, factors.hidden)
    hidden = factors.hidden[ratings.rows].astype(np.float64)
    targets = ratings.values - baselines.at(ratings.rows, ratings.columns)
    outputs = hidden @ weight[0] + bias[0]
    design = np.column_stack([hidden, np.ones(len(hidden))])
    best = design @ np.linalg.lstsq(design, targets)[0]
    np.testing.assert_allclose(outputs, best, atol=2e-3)


def test_steps_of_gauss_newton_are_enough(monkeypatch):
    factors, fold_in = trained(decoder_activation="sigmoid", reg=1.0)
    ratings = new_columns([2, 8, 30])
    results = []
    for steps in (module.GAUSS_NEWTON_STEPS, 5 * module.GAUSS_NEWTON_STEPS):
        monkeypatch.setattr(module, "GAUSS_NEWTON_STEPS", steps)
        results.append(fold_in.solve_columns(ratings, baselines_of(ratings), factors.hidden)[0])
    np.testing.assert_allclose(*results, atol=1e-4)


def test_columns_are_folded_in_one_as_all():
    factors, fold_in = trained(two_sided=True)
    ratings = new_columns([4, 9, 2])
    weight, bias = fold_in.solve_columns(ratings, baselines_of(ratings), factors.hidden)
    for column in range(3):
        (cells,) = np.nonzero(ratings.columns == column)
        one = RatingMatrix.from_cells(
            ratings.rows[cells], np.zeros(len(cells)), ratings.values[cells], (RATINGS.n_rows, 1)
        )
        alone, bias_alone = fold_in.solve_columns(one, baselines_of(one), factors.hidden)
        np.testing.assert_allclose(weight[column], alone[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(bias[column], bias_alone[0], rtol=1e-4, atol=1e-6)


# Baselines


def test_baselines_of_rows_that_were_there_are_theirs():
    rows = np.array([3, 0, 17])
    part = RATINGS.take_rows(rows)
    again = BASELINES.of_new_rows(part.rows, part.columns, part.values, 3)
    np.testing.assert_allclose(again.row_biases, BASELINES.row_biases[rows], rtol=1e-6)
    np.testing.assert_array_equal(again.column_biases, BASELINES.column_biases)
    assert again.mean == BASELINES.mean


def test_baselines_of_gradient_descent_are_near_theirs():
    baselines = sgd_baselines(RATINGS, n_epochs=200, reg=0.1)
    part = RATINGS.take_rows(np.arange(10))
    again = baselines.of_new_rows(part.rows, part.columns, part.values, 10)
    np.testing.assert_allclose(again.row_biases, baselines.row_biases[:10], atol=0.1)


def test_no_baselines_stay_none():
    again = zero_baselines(RATINGS).of_new_rows(np.array([0, 1]), np.array([2, -1]), np.array([5.0, 3.0]), 3)
    np.testing.assert_array_equal(again.row_biases, np.zeros(3))


def test_ratings_of_unknown_columns_count_for_the_bias_and_a_row_without_ratings_has_none():
    again = BASELINES.of_new_rows(np.array([0, 0]), np.array([4, -1]), np.array([5.0, 4.0]), 2)
    deviations = 5 - BASELINES.mean - BASELINES.column_biases[4] + 4 - BASELINES.mean
    np.testing.assert_allclose(again.row_biases, [deviations / (15 + 2), 0])


# Going on from a network


def test_training_goes_on_from_a_networks_weights():
    _, fold_in = trained(two_sided=True)
    larger = random_ratings(50, 33, 700, seed=9)
    learner = make_learner(larger, als_baselines(larger), CENTERING, two_sided=True, biased=True)
    random_weights = learner.network.encoder_weight.detach().clone()
    learner.network.start_from(fold_in.network)
    for ours, theirs in zip(learner.network.parameters(), fold_in.network.parameters(), strict=True):
        torch.testing.assert_close(ours[: len(theirs)], theirs)
    torch.testing.assert_close(learner.network.encoder_weight[RATINGS.n_columns :], random_weights[RATINGS.n_columns :])


@pytest.mark.parametrize(
    "options", [{"n_factors": (5,)}, {"n_factors": (4, 4)}, {"two_sided": False}, {"decoder_activation": "tanh"}]
)
def test_a_network_of_another_kind_is_refused(options):
    _, fold_in = trained(two_sided=True)
    network = make_learner(**{"two_sided": True, "biased": True, **options}).network
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be that of the model to go on from, "):
        network.start_from(fold_in.network)


def test_inputs_are_those_of_training():
    _, fold_in = trained(input_scaling=0.5)
    cutter = BatchCutter(fold_in.rules, BASELINES, CPU)
    (batch,) = cutter.cut(RATINGS, np.arange(RATINGS.n_rows), RATINGS.n_rows)
    learner = make_learner(RATINGS, BASELINES, CENTERING, biased=True, input_scaling=0.5, batch_size=RATINGS.n_rows)
    inputs = dense(RATINGS, batch.inputs)
    for trained_on in learner.batches:
        rows = np.repeat(trained_on.rows.numpy(), trained_on.cells.row_counts.numpy())
        torch.testing.assert_close(inputs[rows, trained_on.cells.columns], trained_on.inputs)
