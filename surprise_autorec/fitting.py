"""From the ratings of a face to a fitted model: the one way that data takes."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.training import train
from surprise_autorec.model import AutoRecModel, IndexArray, RatingScale, TrainedNetwork
from surprise_autorec.parameters import AutoRecParameters
from surprise_autorec.progress import epoch_progress


class Ratings(NamedTuple):
    """Ratings as triples of indices and values, with the ids that the indices stand for.

    Attributes
    ----------
    users, items : ndarray of int32, shape (n_ratings,)
    values : ndarray of float64, shape (n_ratings,)
    user_ids, item_ids : sequence of hashable
    scale : RatingScale
    """

    users: IndexArray
    items: IndexArray
    values: npt.NDArray[np.float64]
    user_ids: Sequence[Hashable]
    item_ids: Sequence[Hashable]
    scale: RatingScale

    def check(self) -> None:
        """Raise ValueError where there are no ratings, or one is no number on the scale; name the first such."""
        if not len(self.values):
            raise ValueError("there must be at least one rating to train on, got none")
        low, high = self.scale
        rounding = 1e-6 * (high - low)  # of ratings that were single precision on their way
        wrong = np.flatnonzero(~((self.values >= low - rounding) & (self.values <= high + rounding)))
        if len(wrong):
            first = wrong[0]
            raise ValueError(
                f"ratings must lie on the rating scale, {low:g} to {high:g}: user {self.user_ids[self.users[first]]!r} "
                f"rated item {self.item_ids[self.items[first]]!r} {self.values[first]:g} "
                f"({len(wrong)} of {len(self.values)} ratings are off it). Correct them, or set the scale"
            )


class Fit(NamedTuple):
    """What `fit_model` returns: the model, and the course of training in rating points.

    Attributes
    ----------
    model : AutoRecModel
    n_iter : int
        Epochs that were run.
    loss_curve : list of float
        Loss of each epoch per rating, in squared rating points: squared error (met in training, with dropout) plus
        penalty.
    validation_scores : list of float
        RMSE of each epoch on the ratings that early stopping held out; empty without early stopping.
    """

    model: AutoRecModel
    n_iter: int
    loss_curve: list[float]
    validation_scores: list[float]


def fit_model(ratings: Ratings, parameters: AutoRecParameters) -> Fit:
    """Check parameters and ratings, train, and put the model together.

    Raises
    ------
    ValueError
        If a parameter or a rating breaks its rule.
    DivergenceError
        If training diverges.
    """
    options = parameters._training_options()
    members = parameters._members()
    baselines = parameters._baseline_estimator()
    seed = parameters._draw_seed()
    ratings.check()
    with epoch_progress(options.n_epochs, ratings.scale.unit, parameters.verbose) as show:
        training = train(_matrix(ratings, options.early_stopping), members, options, baselines, seed, on_epoch_end=show)
    unit = ratings.scale.unit
    model = AutoRecModel(
        user_ids=ratings.user_ids,
        item_ids=ratings.item_ids,
        scale=ratings.scale,
        biased=options.biased,
        decoder_activation=options.decoder_activation,
        baselines=training.baselines,
        networks=[TrainedNetwork(*both) for both in zip(members, training.factors, strict=True)],
    )
    return Fit(
        model,
        n_iter=len(training.history),
        loss_curve=[epoch.loss * unit**2 for epoch in training.history],
        validation_scores=[
            epoch.validation_rmse * unit for epoch in training.history if epoch.validation_rmse is not None
        ],
    )


def _matrix(ratings: Ratings, early_stopping: bool) -> RatingMatrix:
    """Ratings as the core takes them, users in rows."""
    matrix = RatingMatrix.from_cells(
        ratings.users,
        ratings.items,
        ratings.scale.to_core(ratings.values),
        (len(ratings.user_ids), len(ratings.item_ids)),
    )
    if matrix.n_ratings < len(ratings.values):
        _warn_of_repeats(ratings)
    if early_stopping and matrix.n_ratings < 2:
        raise ValueError(f"early_stopping=True must have at least 2 ratings to hold one out, got {matrix.n_ratings}")
    return matrix


def _warn_of_repeats(ratings: Ratings) -> None:
    pairs = ratings.users.astype(np.int64) * len(ratings.item_ids) + ratings.items
    _, first, counts = np.unique(pairs, return_index=True, return_counts=True)
    example = first[counts > 1][0]
    warnings.warn(
        f"user {ratings.user_ids[ratings.users[example]]!r} rated item {ratings.item_ids[ratings.items[example]]!r} "
        f"more than once, as happened with {(counts > 1).sum()} pairs: the mean of a pair's ratings is used",
        UserWarning,
        stacklevel=5,
    )
