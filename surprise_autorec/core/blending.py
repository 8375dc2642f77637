"""The weights of estimates in their average (Bates, Granger: "The Combination of Forecasts", 1969)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from surprise_autorec.core import automatic
from surprise_autorec.core.arrays import Float64Array, product


def combined(estimates: Float64Array, weights: Sequence[float]) -> Float64Array:
    """The average of rows of estimates, shape (n_estimates,)."""
    return product(estimates.T, np.array(weights))


def combination(
    mean_products: Float64Array, n_ratings: int, expected: Float64Array, expected_gain: float
) -> tuple[Float64Array, float]:
    """Weights of estimates, and a gain, that make the squared error of their average small.

    The weights are 0 at least and add up to 1. As a prior, they and the gain are normally distributed about
    where they are expected.

    Parameters
    ----------
    mean_products : ndarray, shape (n + 1, n + 1)
        The mean products of the estimates' errors without a gain and, last, of what a gain of 1 adds.
    n_ratings : int
        How many errors these are means of.
    expected : ndarray, shape (n,)
        Weights that add up to 1.
    expected_gain : float
    """
    prior = np.append(expected, expected_gain)
    noise = max(float(prior @ mean_products @ prior), 1e-12)  # (0 where estimates are exact)
    deviations = np.append(np.full(len(expected), automatic.WEIGHT_STD), automatic.GAIN_STD)
    penalties = noise / (n_ratings * deviations**2)
    # c' M c + penalties . (c - prior)^2 = c' squares c - 2 wanted . c + a constant
    squares, wanted = mean_products + np.diag(penalties), penalties * prior

    def objective(found: Float64Array) -> float:
        return float(found @ squares @ found - 2 * wanted @ found)

    subsets = (kept for size in range(len(expected)) for kept in combinations(range(len(expected)), size + 1))
    solutions = (_minimum(squares, wanted, [*kept, len(expected)]) for kept in subsets)
    best = min((found for found in solutions if found[:-1].min() >= 0), key=objective)
    return best[:-1], max(float(best[-1]), automatic.LEAST_GAIN)


def _minimum(squares: Float64Array, wanted: Float64Array, free: Sequence[int]) -> Float64Array:
    """Where the objective is least if all coefficients are 0 but the free ones, by Lagrange's equations.

    The last coefficient is the gain; the others add up to 1.
    """
    n_free = len(free)
    equations, right = np.zeros((n_free + 1, n_free + 1)), np.append(wanted[free], 1.0)
    equations[:-1, :-1] = squares[np.ix_(free, free)]
    equations[-1, : n_free - 1] = equations[: n_free - 1, -1] = 1.0
    found = np.zeros(len(wanted))
    found[free] = np.linalg.solve(equations, right)[:-1]
    return found
