"""The weights of estimates in their average (Bates, Granger: "The Combination of Forecasts", 1969)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surprise_autorec.core import automatic
from surprise_autorec.core.arrays import Float64Array, product


def combined(estimates: Float64Array, weights: Sequence[float]) -> Float64Array:
    """The average of rows of estimates, shape (n_estimates,)."""
    return product(estimates.T, np.array(weights))


def combination_weights(mean_products: Float64Array, n_ratings: int, expected: Float64Array) -> Float64Array:
    """Weights of estimates that make the squared error of their average small.

    They are 0 at least and add up to 1. As a prior, they are normally distributed about where they are
    expected.

    Parameters
    ----------
    mean_products : ndarray, shape (n, n)
        The mean products of the estimates' errors.
    n_ratings : int
        How many errors these are means of.
    expected : ndarray, shape (n,)
        Weights that add up to 1.
    """
    from scipy.optimize import nnls  # (only where it is needed: it takes a while to load)

    noise = max(float(expected @ mean_products @ expected), 1e-12)  # (0 where estimates are exact)
    precision = noise / (n_ratings * automatic.WEIGHT_STD**2)
    identity, ones = np.eye(len(expected)), np.ones(len(expected))
    # w' M w + precision |w - expected|^2, the sum of w held at 1 by a large penalty, as least squares
    squares = mean_products + precision * identity
    strict = 1e6 * np.trace(squares)
    root = np.linalg.cholesky(squares + strict * np.outer(ones, ones))
    weights, _ = nnls(root.T, np.linalg.solve(root, precision * expected + strict * ones))
    result: Float64Array = weights / weights.sum()
    return result
