"""How far estimates are off: a model of the squared error, and intervals that hold what they promise.

The error of an estimate is taken to have the standard deviation::

    std = exp(w . x / 2)

with x the `Evidence.features`: how noisy the ratings of the user and of the item are, how many they are,
and where on the scale the estimate lies. The coefficients w come from ratings that were held out of training,
so that their errors are those of estimates to come. Each squared error e^2 is taken to follow a gamma
distribution of mean std^2, which makes w the least of::

    sum of (w . x + e^2 exp(-w . x))  +  RIDGE / 2 |w|^2          (without the intercept, x standardised)

An interval of a given coverage is the estimate, plus or minus a multiple of std. The multiple is a quantile
of |e| / std over the held-out ratings, with std from coefficients that were fitted without them: split
conformal prediction (Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, "Distribution-Free Predictive Inference for
Regression", JASA 2018, section 5.2) across folds (Vovk, "Cross-conformal predictors", 2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surprise_autorec.core.arrays import Float64Array, Int32Array
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.network import HIGHEST, LOWEST
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Side

#: Errors fewer than these say nothing of their spread.
LEAST_ERRORS = 10
#: How many ratings of average noise each user and item has besides its own.
SHRINKAGE = 5.0
#: The penalty of the coefficients.
RIDGE = 10.0
#: What is added to squared errors, so that there are logarithms where all are zero.
LEAST_SQUARE = 1e-8
#: Newton steps, at most; less where a step is smaller than this.
NEWTON_STEPS, SMALL_STEP = 30, 1e-6
FOLDS = 5
#: Of more scores, so many quantiles are kept.
MOST_SCORES = 2000


class Support(NamedTuple):
    """What the ratings of each user, or of each item, say about the errors of estimates.

    Attributes
    ----------
    counts : ndarray of int32, shape (n,)
        How many they are.
    noise : ndarray of float64, shape (n,)
        The logarithm of their mean squared deviation from the baselines, over that of all ratings.
    """

    counts: Int32Array
    noise: Float64Array

    @classmethod
    def of(cls, owners: npt.NDArray[np.integer], squares: Float64Array, n: int) -> Support:
        """Support from each rating's owner and squared deviation, over their mean."""
        counts = np.bincount(owners, minlength=n)
        sums = np.bincount(owners, squares, n)
        return cls(counts.astype(np.int32), np.log((sums + SHRINKAGE) / (counts + SHRINKAGE)))

    def at(self, indices: npt.NDArray[np.integer]) -> tuple[Float64Array, Float64Array]:
        """The logarithms of 1 + count and of the noise; an index of -1 has no ratings."""
        known = indices >= 0
        return np.log1p(np.where(known, self.counts[indices], 0)), np.where(known, self.noise[indices], 0.0)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What ratings, less their baselines, say about the errors of estimates.

    Parameters
    ----------
    mean, mean_square : float
        Of the deviations that others are compared with. (Where a model has no baselines, the mean is that of
        its ratings.)
    users, items : Support
    """

    mean: float
    mean_square: float
    users: Support
    items: Support

    @classmethod
    def of(cls, users_by_items: RatingMatrix, baselines: Baselines) -> Evidence:
        """That of the ratings of a model, compared with all of them."""
        deviations = users_by_items.values - baselines.at(users_by_items.rows, users_by_items.columns)
        nothing = Support(np.zeros(0, np.int32), np.zeros(0))
        mean_square = max(float(deviations.var()), LEAST_SQUARE)
        return cls(float(deviations.mean()), mean_square, nothing, nothing).given(users_by_items, baselines)

    def given(self, users_by_items: RatingMatrix, baselines: Baselines) -> Evidence:
        """That of other ratings, compared with the same."""
        users, items = users_by_items.rows, users_by_items.columns
        squares = np.square(users_by_items.values - baselines.at(users, items) - self.mean) / self.mean_square
        return replace(
            self,
            users=Support.of(users, squares, users_by_items.n_rows),
            items=Support.of(items, squares, users_by_items.n_columns),
        )

    def features(
        self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer], estimates: Float64Array
    ) -> Float64Array:
        """The x of the module's equations, with an intercept, shape (n_pairs, n_features)."""
        place = (2 * estimates - LOWEST - HIGHEST) / (HIGHEST - LOWEST)  # -1 to 1
        powers = [place**n for n in (1, 2, 3, 4)]
        return np.column_stack([np.ones_like(place), *self.users.at(users), *self.items.at(items), *powers])


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """The standard deviation of a model's errors, and how to make intervals of it.

    All is in points of the core's interval, 1 to 5.

    Parameters
    ----------
    coefficients : ndarray of float64, shape (n_features,)
    scores : ndarray of float64, shape (n_scores,)
        Absolute errors over their standard deviations, ascending.
    evidence : Evidence
        Of the users and items.
    """

    coefficients: Float64Array
    scores: Float64Array
    evidence: Evidence

    @classmethod
    def fit(cls, evidence: Evidence, held_out: RatingMatrix, estimates: Float64Array) -> ErrorModel | None:
        """Fit to the errors of estimates.

        Parameters
        ----------
        evidence : Evidence
            Of the ratings that the estimates are made of.
        held_out : RatingMatrix
            Other ratings, users in rows.
        estimates : ndarray of float64, shape (n_held_out,)
            Of these, in row order.

        Returns
        -------
        ErrorModel or None
            None if there are fewer than `LEAST_ERRORS`.
        """
        if held_out.n_ratings < LEAST_ERRORS:
            return None
        estimates = np.clip(estimates, LOWEST, HIGHEST)
        features = evidence.features(held_out.rows, held_out.columns, estimates)
        errors = np.abs(held_out.values - estimates)
        fold, scores = np.arange(len(errors)) % FOLDS, np.empty_like(errors)
        for n in range(FOLDS):
            inside = fold == n
            coefficients = _fitted(features[~inside], errors[~inside])
            scores[inside] = errors[inside] / _std(coefficients, features[inside])
        scores.sort()
        if len(scores) > MOST_SCORES:
            scores = np.quantile(scores, np.linspace(0, 1, MOST_SCORES))
        return cls(_fitted(features, errors), scores, evidence)

    def given(self, users_by_items: RatingMatrix, baselines: Baselines) -> ErrorModel:
        """The same model of errors, given other ratings of users and items."""
        return replace(self, evidence=self.evidence.given(users_by_items, baselines))

    def with_new(self, side: Side, users_by_items: RatingMatrix, baselines: Baselines) -> ErrorModel:
        """The same with users, or items, exchanged for new ones, given their ratings."""
        new = self.evidence.given(users_by_items, baselines)
        if side == "user":
            return replace(self, evidence=replace(self.evidence, users=new.users))
        return replace(self, evidence=replace(self.evidence, items=new.items))

    def std(
        self,
        users: npt.NDArray[np.integer],
        items: npt.NDArray[np.integer],
        estimates: Float64Array,
    ) -> Float64Array:
        """The standard deviations of the errors of estimates, shape (n_pairs,).

        Parameters
        ----------
        users, items : ndarray of int, shape (n_pairs,)
            -1 for one without ratings.
        estimates : ndarray of float64, shape (n_pairs,)
            Inside the core's interval.
        """
        return _std(self.coefficients, self.evidence.features(users, items, estimates))

    def multiple(self, coverage: float) -> float:
        """By how many standard deviations an interval of a given coverage extends to each side.

        Infinite if there are too few errors to tell.
        """
        rank = math.ceil(coverage * (len(self.scores) + 1))
        return float(self.scores[rank - 1]) if rank <= len(self.scores) else math.inf


def _std(coefficients: Float64Array, features: Float64Array) -> Float64Array:
    largest = math.log(HIGHEST - LOWEST)  # no error is larger
    result: Float64Array = np.exp(np.minimum(features @ coefficients / 2, largest))
    return result


def _fitted(features: Float64Array, errors: Float64Array) -> Float64Array:
    """The coefficients w of the module's equations, by Fisher scoring, with steps cut in half as needed."""
    squares = errors**2 + LEAST_SQUARE
    means, spreads = features.mean(0), features.std(0)
    means[0], spreads[0] = 0.0, 1.0
    spreads[spreads < 1e-9] = np.inf  # what does not vary has no coefficient
    standardised = (features - means) / spreads
    penalty = np.full(features.shape[1], RIDGE)
    penalty[0] = 0.0

    def objective(coefficients: Float64Array) -> float:
        logs = standardised @ coefficients
        return float((logs + squares * np.exp(-logs)).sum() + penalty @ coefficients**2 / 2)

    information = standardised.T @ standardised + np.diag(penalty)
    found = np.zeros(features.shape[1])
    found[0] = np.log(squares.mean())
    for _ in range(NEWTON_STEPS):
        slope = standardised.T @ (1 - squares * np.exp(-standardised @ found)) + penalty * found
        step = np.linalg.solve(information, slope)
        while objective(found - step) > objective(found) and np.abs(step).max() > SMALL_STEP:
            step /= 2
        found -= step
        if np.abs(step).max() < SMALL_STEP:
            break
    coefficients: Float64Array = found / spreads
    coefficients[0] -= means @ coefficients
    return coefficients
