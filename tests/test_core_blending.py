"""Weights of estimates in their average."""

import itertools

import numpy as np
import pytest

from surprise_autorec.core.arrays import gram_matrix
from surprise_autorec.core.automatic import WEIGHT_STD
from surprise_autorec.core.blending import combination_weights, combined

EXPECTED = np.array([0.6, 0.3, 0.1])


def products(errors):
    return gram_matrix(errors.T) / errors.shape[1]


@pytest.fixture
def errors():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(1, 500))
    return shared + np.array([[0.5], [0.4], [0.7]]) * rng.normal(size=(3, 500))


def objective(weights, errors):
    squared_error = np.square(weights @ errors).sum()
    noise = np.square(EXPECTED @ errors).mean()
    return squared_error + noise * np.square((weights - EXPECTED) / WEIGHT_STD).sum()


def test_weights_are_the_best_on_a_grid(errors):
    steps = np.linspace(0, 1, 41)
    grid = [np.array([a, b, 1 - a - b]) for a, b in itertools.product(steps, steps) if a + b <= 1 + 1e-9]
    best = min(grid, key=lambda weights: objective(weights, errors))
    found = combination_weights(products(errors), errors.shape[1], EXPECTED)
    np.testing.assert_allclose(found, best, atol=0.025)
    assert objective(found, errors) <= objective(best, errors)


def test_estimate_that_only_adds_errors_has_no_weight(errors):
    errors[2] = 5 * errors[0]
    found = combination_weights(products(errors), errors.shape[1], EXPECTED)
    assert found[2] == 0
    assert found.sum() == pytest.approx(1)


def test_few_ratings_leave_weights_where_they_are_expected(errors):
    few, many = (combination_weights(products(errors), n, EXPECTED) for n in (1, 10**9))
    assert np.abs(few - EXPECTED).max() < 0.02
    assert np.abs(many - EXPECTED).max() > 0.1


def test_weights_of_estimates_without_errors_are_those_expected():
    np.testing.assert_allclose(combination_weights(np.zeros((3, 3)), 100, EXPECTED), EXPECTED, atol=1e-4)


def test_combined_is_the_weighted_average():
    estimates = np.array([[1.0, 2.0], [3.0, 6.0]])
    np.testing.assert_array_equal(combined(estimates, [0.75, 0.25]), [1.5, 3.0])
