"""Factors of new rows and columns, against slow dense references."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from core_helpers import AS_THEY_ARE, RATINGS, finished, make_learner, random_ratings

from surprise_autorec.core import fold_in as fold_in_module
from surprise_autorec.core.baselines import als_baselines, sgd_baselines, zero_baselines
from surprise_autorec.core.batches import RowsAndColumns
from surprise_autorec.core.fold_in import encode_rows, solve_columns
from surprise_autorec.core.ratings import RatingMatrix

SETTINGS = {
    "plain": {},
    "deep": {"n_factors": (8, 4)},
    "input_scaling": {"input_scaling": 0.5},
    "two_sided": {"two_sided": True},
    "rprop": {"optimizer": "rprop"},
    "tanh, elu": {"encoder_activation": "tanh", "decoder_activation": "elu"},
    "several steps": {"batch_size": 7, "dropout": 0.5, "averaging": 0.8},
}


def trained(ratings=RATINGS, n_epochs=5, **options):
    """The outcome, its encoders, and the baselines they were trained with."""
    biased = options.get("biased", False)
    baselines = als_baselines(ratings) if biased else zero_baselines(ratings)
    centering = RowsAndColumns(0.3, 0.8) if biased else AS_THEY_ARE
    learner = make_learner(ratings, baselines, centering, **options)
    for number in range(1, n_epochs + 1):
        learner.run_epoch(number)
    outcome = finished(learner, ratings)
    return outcome, outcome.encoders, baselines


@pytest.mark.parametrize("gain", [0.0, 0.7])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_a_row_that_was_trained_on_has_its_hidden_activations(options, biased, gain):
    outcome, encoders, baselines = trained(biased=biased, gain=gain, **options)
    some = np.array([5, 0, 17])
    hidden = encode_rows(encoders, RATINGS.take_rows(some), baselines.take_rows(some), gain).vectors
    np.testing.assert_allclose(hidden, outcome.hidden[some], atol=1e-6)
    assert np.ptp(outcome.hidden[some], axis=0).min() > 1e-4  # they differ, so the right ones were found


def test_a_row_without_ratings_is_encoded_as_nothing_is():
    outcome, encoders, _ = trained(RatingMatrix.from_cells([0, 2, 2], [0, 1, 2], [5, 1, 2], (3, 3)))
    nothing = RatingMatrix.from_cells([], [], [], (1, 3))
    np.testing.assert_allclose(
        encode_rows(encoders, nothing, zero_baselines(nothing), gain=0.0).vectors,
        outcome.hidden[[1]],
        atol=1e-7,
    )


class Problem:
    """The module's equation for one new column, dense and in double precision."""

    def __init__(self, encoders, hidden, column, baselines):
        rows, network = column.rows, encoders.network
        deviations = column.values.astype(np.float64) - baselines.at(rows, column.columns)
        centred = column.values - encoders.rules.centering.columns * baselines.at(rows, column.columns)
        seen = torch.from_numpy(centred / np.sqrt(len(rows)))
        self.hidden = torch.from_numpy(hidden[rows]).double()
        self.targets = torch.from_numpy(deviations)
        self.vector, self.own = torch.zeros(hidden.shape[1]).double(), torch.zeros(len(rows)).double()
        if network.column_encoder_weight is not None:
            encoder = network.column_encoder_weight[rows].double()
            self.vector = seen @ encoder
            self.own = seen * (encoder * self.hidden).sum(1)
        self.network, self.reg, self.reg_bias = network, encoders.reg, encoders.reg_bias
        self.column_reg = baselines.column_reg if encoders.joint_biases else 0.0
        self.baseline_bias = baselines.column_share * float(baselines.column_biases[0])

    def __call__(self, w, b):
        pre_activation = self.hidden @ (self.vector + w) + b - self.own
        outputs = self.network.output(pre_activation)
        penalty = self.reg / 2 * w.square().sum() + self.reg_bias / 2 * b.square()
        penalty = penalty + self.column_reg * (b + self.baseline_bias).square()
        return (self.targets - outputs).square().sum() + penalty

    def at(self, weight, bias):
        """The objective, and the norm of its gradient, at a solution."""
        w = (torch.from_numpy(weight).double() - self.vector).requires_grad_()
        b = torch.tensor(float(bias), dtype=torch.float64, requires_grad=True)
        value = self(w, b)
        gradient = torch.cat([part.reshape(-1) for part in torch.autograd.grad(value, [w, b])])
        return float(value.detach()), float(gradient.norm())

    def minimum(self):
        """The least value that a general minimiser finds, from several starts."""
        found = []
        for start in (0.0, float(self.targets.mean())):
            w = torch.zeros_like(self.vector, requires_grad=True)
            b = torch.tensor(start, dtype=torch.float64, requires_grad=True)
            optimizer = torch.optim.LBFGS([w, b], max_iter=300, line_search_fn="strong_wolfe")

            def objective(optimizer=optimizer, w=w, b=b):
                optimizer.zero_grad()
                value = self(w, b)
                value.backward()
                return value

            optimizer.step(objective)
            found.append(float(self(w, b).detach()))
        return min(found)


def new_column(n_rows, n, seed=3):
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(n_rows, n, replace=False))
    return RatingMatrix.from_cells(rows, np.zeros(n, int), rng.integers(1, 6, n), (n_rows, 1))


def solved(column, outcome, encoders, baselines):
    by_new = baselines.transposed.of_new_rows(column.columns, column.rows, column.values, 1).transposed
    weight, bias = solve_columns(encoders, column, by_new, outcome.hidden)
    assert weight.dtype == bias.dtype == np.float32
    return weight[0], bias[0], Problem(encoders, outcome.hidden, column, by_new)


@pytest.mark.parametrize("n", [1, 3, 25])  # fewer and more than the 4 hidden units
@pytest.mark.parametrize("penalties", [{"reg": 2.0, "reg_bias": 0.0}, {"reg": 0.5, "reg_bias": 3.0}], ids=str)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("decoder_activation", ["identity", "tanh", "sigmoid", "relu", "elu"])
def test_a_new_column_minimises_the_objective(decoder_activation, two_sided, biased, penalties, n):
    options = {
        "decoder_activation": decoder_activation,
        "two_sided": two_sided,
        "biased": biased,
        **penalties,
    }
    outcome, encoders, baselines = trained(**options)
    assert_minimal(*solved(new_column(RATINGS.n_rows, n), outcome, encoders, baselines))


@pytest.mark.parametrize("share", [1.0, 0.4])
@pytest.mark.parametrize("decoder_activation", ["identity", "tanh", "elu"])
def test_a_new_column_minimises_the_objective_with_the_penalty_on_both_biases(decoder_activation, share):
    outcome, encoders, baselines = trained(
        decoder_activation=decoder_activation, biased=True, reg=0.5, reg_bias=3.0
    )
    encoders, baselines = replace(encoders, joint_biases=True), replace(baselines, column_share=share)
    weight, bias, problem = solved(new_column(RATINGS.n_rows, 25), outcome, encoders, baselines)
    assert abs(problem.column_reg * problem.baseline_bias) > 0.1
    assert_minimal(weight, bias, problem)


def assert_minimal(weight, bias, problem):
    value, gradient = problem.at(weight, bias)
    nowhere, _ = problem.at(problem.vector.float().numpy(), 0.0)
    assert value <= problem.minimum() + 1e-4 * (1 + abs(nowhere))
    assert gradient < 1e-2 * (1 + nowhere)


@pytest.mark.parametrize("decoder_activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("n", [2, 25])
def test_no_penalty_is_a_penalty_too(decoder_activation, n):
    """With fewer ratings than unknowns they are met exactly, by weights that are not large."""
    outcome, encoders, baselines = trained(reg=0.0, reg_bias=0.0, decoder_activation=decoder_activation)
    weight, bias, problem = solved(new_column(RATINGS.n_rows, n), outcome, encoders, baselines)
    assert problem.at(weight, bias)[0] <= problem.minimum() + 1e-3
    assert np.isfinite(weight).all()
    if n == 2 and decoder_activation == "identity":
        assert problem.at(weight, bias)[0] < 1e-6


def test_columns_are_solved_for_one_by_one():
    """Each as if it were alone, and one without ratings has nothing."""
    outcome, encoders, baselines = trained(two_sided=True, decoder_activation="tanh")
    together = random_ratings(RATINGS.n_rows, 3, 40, seed=5)
    together = RatingMatrix.from_cells(
        together.rows, together.columns + 1, together.values, (RATINGS.n_rows, 4)
    )
    by_new = baselines.transposed.of_new_rows(together.columns, together.rows, together.values, 4).transposed
    weight, bias = solve_columns(encoders, together, by_new, outcome.hidden)
    assert not weight[0].any()
    assert bias[0] == 0
    for column in (1, 2, 3):
        chosen = together.columns == column
        alone = RatingMatrix.from_cells(
            together.rows[chosen], np.zeros(chosen.sum(), int), together.values[chosen], (RATINGS.n_rows, 1)
        )
        one_weight, one_bias, _ = solved(alone, outcome, encoders, baselines)
        np.testing.assert_allclose(weight[column], one_weight, rtol=1e-4, atol=1e-5)
        assert bias[column] == pytest.approx(one_bias, rel=1e-4, abs=1e-5)


def test_a_start_where_f_is_flat_is_left():
    """Output relu is flat below the lowest rating, where zero is: from there no slope leads anywhere."""
    outcome, encoders, baselines = trained(decoder_activation="relu")
    ratings = RatingMatrix.from_cells([1, 2, 3], [0, 0, 0], [4, 5, 4], (RATINGS.n_rows, 1))
    weight, bias, _ = solved(ratings, outcome, encoders, baselines)
    assert outcome.hidden[[1, 2, 3]] @ weight + bias == pytest.approx([4.3, 4.3, 4.3], abs=0.5)


def test_a_step_that_leads_uphill_is_cut(monkeypatch):
    """Whole steps, from where f is nearly flat, end far above where shorter ones lead."""
    network = finished(make_learner(decoder_activation="elu", biased=True)).encoders.network
    generator = torch.Generator().manual_seed(0)
    hidden, targets = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((12, 4), 12)
    )
    ridge, so_far = (
        fold_in_module._Ridge(network, reg=0.01, reg_bias=0.01, column_reg=0.0),
        torch.full((12,), -6.0).double(),
    )

    def error():
        solution = ridge.solve(hidden, targets, so_far, baseline_bias=0.0)
        outputs = network.output(hidden @ solution[:-1] + solution[-1] + so_far)
        return float((targets - outputs).square().sum() + 0.005 * solution.square().sum())

    least = error()
    monkeypatch.setattr(fold_in_module, "HALVINGS", 1)
    assert error() > 1.1 * least


@pytest.mark.parametrize("reg_u", [15.0, 0.0])
def test_als_biases_of_rows_that_were_trained_on_are_theirs(reg_u):
    baselines = als_baselines(RATINGS, reg_u=reg_u)
    new = baselines.of_new_rows(RATINGS.rows, RATINGS.columns, RATINGS.values, RATINGS.n_rows)
    np.testing.assert_allclose(new.row_biases, baselines.row_biases, atol=1e-6)
    assert new.mean == baselines.mean
    np.testing.assert_array_equal(new.column_biases, baselines.column_biases)


def test_sgd_biases_of_new_rows_are_where_descent_would_end():
    """There the mean error is the penalty's pull: ``sum(e) = n * reg * b``."""
    baselines = sgd_baselines(RATINGS, n_epochs=5, reg=0.3)
    new = baselines.of_new_rows(RATINGS.rows, RATINGS.columns, RATINGS.values, RATINGS.n_rows)
    errors = RATINGS.values - new.at(RATINGS.rows, RATINGS.columns)
    pull = 0.3 * RATINGS.row_counts * new.row_biases
    np.testing.assert_allclose(np.bincount(RATINGS.rows, errors, RATINGS.n_rows), pull, atol=1e-6)


def test_zero_baselines_stay_zero():
    new = zero_baselines(RATINGS).of_new_rows(np.array([0, 0]), np.array([3, -1]), np.array([5.0, 4.0]), 2)
    assert new.row_biases.tolist() == [0, 0]


def test_ratings_in_unknown_columns_count_for_the_bias():
    baselines = als_baselines(RATINGS, reg_u=2.0)
    new = baselines.of_new_rows(np.array([0, 0, 2]), np.array([4, -1, -1]), np.array([5.0, 4.0, 1.0]), 3)
    first = (5 - baselines.mean - baselines.column_biases[4] + 4 - baselines.mean) / 4
    assert new.row_biases == pytest.approx([first, 0, (1 - baselines.mean) / 3])
