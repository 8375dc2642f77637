"""Weights of estimates in their average, and their gain."""

import itertools

import numpy as np
import pytest

from surprise_autorec.core.arrays import gram_matrix
from surprise_autorec.core.automatic import GAIN_STD, LEAST_GAIN, WEIGHT_STD
from surprise_autorec.core.blending import combination, combined

EXPECTED, GAIN = np.array([0.6, 0.3, 0.1]), 0.4


def products(errors):
    return gram_matrix(errors.T) / errors.shape[1]


@pytest.fixture
def errors():
    """Those of three estimates and, last, what a gain of 1 adds: 0.7 of it would be right."""
    rng = np.random.default_rng(0)
    shared, added = rng.normal(size=(2, 1, 500))
    own = np.array([[0.5], [0.4], [0.7]]) * rng.normal(size=(3, 500))
    return np.vstack([shared + own - 0.7 * added, added])


def objective(weights, gain, errors):
    squared_error = np.square([*weights, gain] @ errors).sum()
    noise = np.square([*EXPECTED, GAIN] @ errors).mean()
    prior = np.square((weights - EXPECTED) / WEIGHT_STD).sum() + ((gain - GAIN) / GAIN_STD) ** 2
    return squared_error + noise * prior


def test_weights_and_gain_are_the_best_on_a_grid(errors):
    steps, gains = np.linspace(0, 1, 41), np.linspace(0, 1, 21)
    grid = [np.array([a, b, 1 - a - b]) for a, b in itertools.product(steps, steps) if a + b <= 1 + 1e-9]
    best = min(itertools.product(grid, gains), key=lambda found: objective(*found, errors))
    weights, gain = combination(products(errors), errors.shape[1], EXPECTED, GAIN)
    np.testing.assert_allclose(weights, best[0], atol=0.025)
    assert gain == pytest.approx(best[1], abs=0.05)
    assert objective(weights, gain, errors) <= objective(*best, errors)


def test_estimate_that_only_adds_errors_has_no_weight(errors):
    errors[2] = 5 * errors[0]
    weights, _ = combination(products(errors), errors.shape[1], EXPECTED, GAIN)
    assert weights[2] == 0
    assert weights.sum() == pytest.approx(1)


def test_few_ratings_leave_weights_and_gain_where_they_are_expected(errors):
    (few, little), (many, most) = (combination(products(errors), n, EXPECTED, GAIN) for n in (1, 10**9))
    assert np.abs(few - EXPECTED).max() < 0.02
    assert np.abs(many - EXPECTED).max() > 0.1
    assert abs(little - GAIN) < abs(most - GAIN)
    assert most == pytest.approx(0.7, abs=0.05)


def test_gain_keeps_the_sign_of_activations(errors):
    errors[3] *= -0.1
    assert combination(products(errors), 10**9, EXPECTED, GAIN)[1] == pytest.approx(LEAST_GAIN)


def test_weights_and_gain_of_estimates_without_errors_are_those_expected():
    weights, gain = combination(np.zeros((4, 4)), 100, EXPECTED, GAIN)
    np.testing.assert_allclose(weights, EXPECTED, atol=1e-4)
    assert gain == pytest.approx(GAIN)


def test_combined_is_the_weighted_average():
    estimates = np.array([[1.0, 2.0], [3.0, 6.0]])
    np.testing.assert_array_equal(combined(estimates, [0.75, 0.25]), [1.5, 3.0])
