"""How far estimates are off: a model of the squared error, and intervals that hold what they promise.

The error of an estimate is taken to have the standard deviation::

    std = exp(w . x / 2)

with features x of three kinds: how many ratings the user has and how noisy they are, the same of the item,
and where on the scale the estimate lies. The coefficients w come from ratings that were held out of training,
so that their errors are like those of estimates to come. Their squares e^2 are taken to follow gamma
distributions of mean std^2, which makes w the least of::

    sum of (w . x + e^2 exp(-w . x))  +  RIDGE / 2 |w|^2          (without the intercept, x standardised)

An interval of a given coverage is the estimate, plus or minus a multiple of std. The multiple is a quantile
of |e| / std over the held-out ratings, with std from coefficients that were fitted without them: conformal
prediction with local weights (Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, "Distribution-Free Predictive
Inference for Regression", JASA 2018, section 5.2) across folds (Vovk, "Cross-conformal predictors", Annals of
Mathematics and Artificial Intelligence 2015).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from surprise_autorec.core.arrays import Float64Array, Int32Array, gram_matrix, product
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.collective import Collective
from surprise_autorec.core.network import HIGHEST, LOWEST
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Side

Value = TypeVar("Value", float, Float64Array)

#: Fewer errors say too little about their spread.
LEAST_ERRORS = 10
#: Everyone is given this many ratings of average noise besides their own.
SHRINKAGE = 5.0
#: The penalty of the coefficients.
RIDGE = 10.0
#: What is added to squares, so that they have logarithms.
LEAST_SQUARE = 1e-8
#: Steps of the fit, at most; less where a step is smaller than this.
STEPS, SMALL_STEP = 30, 1e-4
FOLDS = 5
#: Every so many-th held-out rating also shows the error for an unknown user; and as many, others, that for an
#: unknown item, and for both.
UNKNOWN_PERIOD = 6
#: Where the last of the features stands, which is 1 for the unknown.
RARITY = 2
#: The intercept, three of the user, three of the item, one of both, and four of the estimate.
N_FEATURES = 12
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
    def of(
        cls, owners: npt.NDArray[np.integer], squares: Float64Array, n: int, collective: Collective
    ) -> Support:
        """Support from each rating's owner and squared deviation, over the mean of all."""
        counts = collective.sum_array(np.bincount(owners, minlength=n))
        sums = collective.sum_array(np.bincount(owners, squares, n))
        return cls(counts.astype(np.int32), np.log((sums + SHRINKAGE) / (counts + SHRINKAGE)))

    @property
    def features(self) -> Float64Array:
        """The features of each user or item and, in the last row, of one without any, shape (n + 1, 3)."""
        counts, noise = np.append(self.counts, 0), np.append(self.noise, 0.0)
        return np.column_stack([np.log1p(counts), noise, 1 / (1 + counts)])


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the ratings of users and items say about the errors of estimates.

    Parameters
    ----------
    mean, mean_square : float
        Of the deviations from baselines that others are compared with. (Where a model has no baselines, the
        mean is that of its ratings.)
    users, items : Support
    """

    mean: float
    mean_square: float
    users: Support
    items: Support

    @classmethod
    def of(cls, users_by_items: RatingMatrix, baselines: Baselines) -> Evidence:
        """That of the ratings of a model, compared with all of them."""
        deviations = users_by_items.values - baselines.whole.at(users_by_items.rows, users_by_items.columns)
        totals = users_by_items.collective.sums(float(deviations.sum()), float(np.square(deviations).sum()))
        mean, mean_square = (total / users_by_items.n_ratings for total in totals)
        return cls.of_nobody(mean, max(mean_square - mean**2, LEAST_SQUARE)).given(users_by_items, baselines)

    @classmethod
    def of_nobody(cls, mean: float, mean_square: float) -> Evidence:
        """What other ratings are to be compared with."""
        nothing = Support(np.zeros(0, np.int32), np.zeros(0))
        return cls(mean, mean_square, nothing, nothing)

    def given(self, users_by_items: RatingMatrix, baselines: Baselines) -> Evidence:
        """That of other ratings, compared with the same."""
        users, items = users_by_items.rows, users_by_items.columns
        deviations = users_by_items.values - baselines.whole.at(users, items) - self.mean
        squares = np.square(deviations) / self.mean_square
        collective = users_by_items.collective
        return replace(
            self,
            users=Support.of(users, squares, users_by_items.n_rows, collective),
            items=Support.of(items, squares, users_by_items.n_columns, collective),
        )


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """The standard deviation of a model's errors, and how to make intervals of it.

    All is in points of the core's interval, 1 to 5.

    Parameters
    ----------
    coefficients : ndarray of float64, shape (n_features,)
        An intercept, those of the user's and of the item's features, that of the product of how rare both
        are, and of powers of the estimate.
    scores : ndarray of float64, shape (n_scores,)
        Absolute errors over their standard deviations, ascending.
    evidence : Evidence
        Of the users and items.
    """

    coefficients: Float64Array
    scores: Float64Array
    evidence: Evidence

    @classmethod
    def fit(
        cls,
        evidence: Evidence,
        baselines: Baselines,
        users: Int32Array,
        items: Int32Array,
        values: npt.NDArray[np.floating],
        estimates: Float64Array,
    ) -> ErrorModel | None:
        """Fit to the errors of estimates.

        Parameters
        ----------
        evidence : Evidence
            Of the ratings that the estimates are made of.
        baselines : Baselines
            Of these. They are the estimates for an unknown user or item.
        users, items : ndarray of int32, shape (n_held_out,)
            Of other ratings.
        values : ndarray of float, shape (n_held_out,)
            The other ratings.
        estimates : ndarray of float64, shape (n_held_out,)
            Of the other ratings.

        Returns
        -------
        ErrorModel or None
            None if there are fewer than `LEAST_ERRORS`.
        """
        if len(values) < LEAST_ERRORS:
            return None
        number = np.arange(len(values))
        turn = number % UNKNOWN_PERIOD
        repeated = number[turn % 2 == 0]
        unknown_users = np.where((turn == 0) | (turn == 2), -1, users)[repeated]
        unknown_items = np.where((turn == 0) | (turn == 4), -1, items)[repeated]
        # (Of a model without baselines, the evidence's mean is that of ratings.)
        answers = baselines.at(unknown_users, unknown_items) + evidence.mean

        users, items = np.append(users, unknown_users), np.append(items, unknown_items)
        estimates = np.clip(np.append(estimates, answers), LOWEST, HIGHEST)
        number = np.append(number, repeated)
        features = np.column_stack(
            [
                np.ones(len(number)),
                user_features := evidence.users.features[users],
                item_features := evidence.items.features[items],
                user_features[:, RARITY] * item_features[:, RARITY],
                *_powers(estimates),
            ]
        )
        errors = np.abs(values[number] - estimates)
        scores = np.empty(len(values))
        for fold in range(FOLDS):
            outside, inside = number % FOLDS != fold, np.arange(fold, len(scores), FOLDS)
            logs = product(features[inside], _fitted(features[outside], errors[outside]))
            scores[inside] = errors[inside] / _std(logs)
        scores.sort()
        if len(scores) > MOST_SCORES:
            scores = np.quantile(scores, np.linspace(0, 1, MOST_SCORES))
        return cls(_fitted(features, errors), scores, evidence)

    @classmethod
    def of_state(cls, state: Mapping[str, Any] | None) -> ErrorModel | None:
        """The inverse of `state`, without users and items; None if there is none."""
        if state is None:
            return None
        coefficients, scores = (np.array(state[name]) for name in ("coefficients", "scores"))
        return cls(coefficients, scores, Evidence.of_nobody(*state["evidence"]))

    def state(self) -> dict[str, Any]:
        """What does not follow from the ratings, as plain numbers."""
        return {
            "coefficients": self.coefficients.tolist(),
            "scores": self.scores.tolist(),
            "evidence": (self.evidence.mean, self.evidence.mean_square),
        }

    def given(self, users_by_items: RatingMatrix, baselines: Baselines) -> ErrorModel:
        """The same model of errors, given other ratings of users and items."""
        return replace(self, evidence=self.evidence.given(users_by_items, baselines))

    def with_new(self, side: Side, users_by_items: RatingMatrix, baselines: Baselines) -> ErrorModel:
        """The same with users, or items, exchanged for new ones, given their ratings."""
        new = self.evidence.given(users_by_items, baselines)
        if side == "user":
            return replace(self, evidence=replace(self.evidence, users=new.users))
        return replace(self, evidence=replace(self.evidence, items=new.items))

    @cached_property
    def _parts(self) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array, list[float]]:
        """What makes the logarithm of the squared std: see `std`."""
        users, items = self.evidence.users.features, self.evidence.items.features
        intercept, of_users, of_items, of_both, powers = np.split(self.coefficients, [1, 4, 7, 8])
        return (
            intercept + product(users, of_users),
            product(items, of_items),
            of_both * users[:, RARITY],
            items[:, RARITY],
            powers.tolist(),
        )

    def std(self, users: Int32Array | int, items: Int32Array | int, estimates: Value) -> Value:
        """The standard deviations of the errors of estimates, shape (n_pairs,), or that of a single one.

        Parameters
        ----------
        users, items : ndarray of int32, shape (n_pairs,), or int
            -1 for one without ratings.
        estimates : ndarray of float64, shape (n_pairs,), or float
            Inside the core's interval.
        """
        of_users, of_items, rare_users, rare_items, powers = self._parts
        logs = of_users[users] + of_items[items] + rare_users[users] * rare_items[items]
        by_place = sum(map(operator.mul, powers, _powers(estimates)))
        std: Value = _std(logs + by_place)
        return std

    def multiple(self, coverage: float) -> float:
        """By how many standard deviations an interval of a given coverage extends to each side.

        Infinite if there are too few errors to tell.
        """
        rank = math.ceil(coverage * (len(self.scores) + 1))
        return float(self.scores[rank - 1]) if rank <= len(self.scores) else math.inf


def _powers(estimates: Value) -> list[Value]:
    """Powers of the place on the scale, -1 to 1."""
    place = (2 * estimates - LOWEST - HIGHEST) / (HIGHEST - LOWEST)
    return [place, place * place, place * place * place, place * place * place * place]


def _std(logs: Any) -> Any:
    """From the logarithms of squares; no error is larger than the scale."""
    return np.exp(np.minimum(logs, 2 * math.log(HIGHEST - LOWEST)) / 2)


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
        logs = product(standardised, coefficients)
        return float((logs + squares * np.exp(-logs)).sum() + penalty @ coefficients**2 / 2)

    information = gram_matrix(standardised) + np.diag(penalty)
    found = np.zeros(features.shape[1])
    found[0] = np.log(squares.mean())
    least = objective(found)
    for _ in range(STEPS):
        residuals = 1 - squares * np.exp(-product(standardised, found))
        slope = product(standardised.T, residuals) + penalty * found
        step = np.linalg.solve(information, slope)
        while (now := objective(found - step)) > least and np.abs(step).max() > SMALL_STEP:
            step /= 2
        found, least = found - step, now
        if np.abs(step).max() < SMALL_STEP:
            break
    coefficients: Float64Array = found / spreads
    coefficients[0] -= means @ coefficients
    return coefficients
