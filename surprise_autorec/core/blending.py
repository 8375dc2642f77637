"""The weights of estimates in their average (Bates, Granger: "The Combination of Forecasts", 1969)."""

from __future__ import annotations

from collections.abc import Sequence

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
    from scipy.optimize import lsq_linear  # (only where it is needed: it takes a while to load)

    prior = np.append(expected, expected_gain)
    noise = max(float(prior @ mean_products @ prior), 1e-12)  # (0 where estimates are exact)
    deviations = np.append(np.full(len(expected), automatic.WEIGHT_STD), automatic.GAIN_STD)
    penalties = noise / (n_ratings * deviations**2)
    ones, least = np.append(np.ones(len(expected)), 0.0), np.append(0.0 * expected, automatic.LEAST_GAIN)
    # c' M c + penalties . (c - prior)^2, the sum of weights held at 1 by a large penalty, as least squares
    squares = mean_products + np.diag(penalties)
    strict = 1e6 * np.trace(squares)
    root = np.linalg.cholesky(squares + strict * np.outer(ones, ones))
    wanted = np.linalg.solve(root, penalties * prior + strict * ones)
    found = lsq_linear(root.T, wanted, bounds=(least, np.inf)).x
    weights: Float64Array = found[:-1] / found[:-1].sum()
    return weights, float(found[-1])
