"""Explanations: what each rating of the user contributes to an estimate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from surprise_autorec.core.arrays import Float64Array, Int32Array
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.leave_one_out import Cases, outputs
from surprise_autorec.model.scoring import AutoRecModel


class Explanation(NamedTuple):
    """The parts of an estimate, in rating points. Their sum is the estimate.

    Attributes
    ----------
    baseline : float
        The baseline estimate, or the mean training rating if the model has no baselines.
    contributions : ndarray of float64, shape (n_ratings,)
        The estimate for a new user with these ratings, minus that without each of them.
    shared : float
        The rest of that estimate.
    training : float
        The estimate of the model minus that estimate; 0 for a new user.
    clipping : float
        The change by clipping to the rating scale.
    """

    baseline: float
    contributions: Float64Array
    shared: float
    training: float
    clipping: float


def explain(
    model: AutoRecModel, user: int | None, item: int, items: Int32Array, values: Float64Array
) -> Explanation:
    """Explain an estimate by the ratings of the user.

    Parameters
    ----------
    model : AutoRecModel
    user : int or None
        Index; None for a user who is not in the training ratings.
    item : int
        Index.
    items : ndarray of int32, shape (n_ratings,)
        What the user has rated, each once; -1 for items that the model does not know. One at least.
    values : ndarray of float64, shape (n_ratings,)
        The ratings.
    """
    scale = model.scale
    cases = Cases.of(items, scale.to_core(values), model.baselines)
    numbers, same_item = np.arange(len(items) + 1), np.full(len(items) + 1, item)
    baselines = cases.baselines.at(numbers, same_item)
    networks = (network.member.weight * outputs(network, "user", cases, item) for network in model.networks)
    folded_in = scale.from_core(baselines + sum(networks))
    if len(items) == 1:  # without it nothing is known of the user, and the model answers as for any such
        folded_in[1:] = model.answer(np.array([-1]), np.array([item]))
    contributions = folded_in[0] - folded_in[1:]

    baseline, estimate = _baseline(cases.baselines, 0, item), float(folded_in[0])
    if user is not None:
        baseline, estimate = _baseline(model.baselines, user, item), model.estimate(user, item)
    baseline = scale.from_core(baseline)
    if not model.biased:
        baseline = model.mean_rating
    return Explanation(
        baseline=baseline,
        contributions=contributions,
        shared=float(folded_in[0] - baseline - contributions.sum()),
        training=estimate - float(folded_in[0]),
        clipping=float(np.clip(estimate, *scale)) - estimate,
    )


def _baseline(baselines: Baselines, user: int, item: int) -> float:
    """The baseline estimate, with all of both biases."""
    return float(baselines.whole.at(np.array([user]), np.array([item]))[0])
