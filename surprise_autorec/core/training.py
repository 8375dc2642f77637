"""The training loop: epochs over the networks of a model, early stopping, divergence."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import BatchCutter, RowsAndColumns, typical_count
from surprise_autorec.core.learner import Factors, Learner
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import Cells

Side = Literal["item", "user"]

#: The automatic centering of the ratings of a user. That of the ratings of an item is the share of all users that has
#: rated a typical one: who rated an item says much about it, unless everybody did.
USER_CENTERING = 0.8


class Member(NamedTuple):
    """One network of a model.

    Attributes
    ----------
    rows : {"item", "user"}
        Whose ratings are its rows.
    weight : float
        Its weight in the model's predictions.
    """

    rows: Side
    weight: float


class Epoch(NamedTuple):
    """What is known after an epoch: its number from 1, the loss, the validation RMSE (None without validation)."""

    number: int
    loss: float
    validation_rmse: float | None


class Training(NamedTuple):
    """What `train` returns: the baselines, the factors of each member, and a report of each epoch."""

    baselines: Baselines
    factors: list[Factors]
    history: list[Epoch]


class DivergenceError(ArithmeticError):
    """Training blew the error up instead of reducing it."""


def train(
    ratings: RatingMatrix,
    members: Sequence[Member],
    options: TrainingOptions,
    estimate_baselines: Callable[[RatingMatrix], Baselines],
    seed: int,
    on_epoch_end: Callable[[Epoch], None],
) -> Training:
    """Train the networks of a model, epoch by epoch side by side.

    Parameters
    ----------
    ratings : RatingMatrix
        Users in rows, items in columns, values mapped to the interval of `surprise_autorec.core.network`.
    members : sequence of Member
        The networks. Their weights sum to 1.
    options : TrainingOptions
        Settings, the same for every member.
    estimate_baselines : callable
        From the ratings trained on (all, less those held out for early stopping) to their baselines.
    seed : int
        Seed of all random choices. Global generators are neither used nor changed.
    on_epoch_end : callable
        Called with the report of each epoch.

    Raises
    ------
    DivergenceError
        If an epoch's error is not a finite number, or the trained networks' is far above that of no output at all.
    """
    generator = torch.Generator().manual_seed(seed)
    trained_on, held_out = ratings, None
    if options.early_stopping:
        trained_on, held_out = ratings.split(options.validation_fraction, generator)
    baselines = estimate_baselines(trained_on)
    learners = [_learner(member.rows, trained_on, baselines, options, generator) for member in members]
    early_stopping = _EarlyStopping(held_out, baselines, options) if held_out else None
    # The weights may be learnt on a part of the ratings; what is known of each row, in the end, are all of them. Else
    # the learners have all they need: of many ratings, one copy is enough.
    all_ratings = ratings if held_out else None
    del ratings, trained_on

    history: list[Epoch] = []
    for number in range(1, options.n_epochs + 1):
        loss = sum(member.weight * learner.run_epoch(number) for member, learner in zip(members, learners, strict=True))
        rmse = early_stopping.update(members, learners) if early_stopping else None
        if not math.isfinite(loss + (rmse or 0.0)):
            raise _divergence(learners)
        history.append(Epoch(number, loss, rmse))
        on_epoch_end(history[-1])
        if early_stopping and early_stopping.exhausted:
            break
    if early_stopping:
        early_stopping.restore_best(learners)
    factors = [
        learner.finish(_turned(all_ratings, member.rows) if all_ratings else None)
        for member, learner in zip(members, learners, strict=True)
    ]
    if any(learner.has_diverged for learner in learners):
        raise _divergence(learners)
    return Training(baselines, factors, history)


def _learner(
    rows: Side, ratings: RatingMatrix, baselines: Baselines, options: TrainingOptions, generator: torch.Generator
) -> Learner:
    """A learner on the ratings, users in rows, turned so that its rows are in rows."""
    item_centering = user_centering = options.input_centering
    if item_centering is None or user_centering is None:
        item_centering, user_centering = typical_count(ratings.column_counts) / ratings.n_rows, USER_CENTERING
    centering = RowsAndColumns(user_centering, item_centering)
    if rows == "item":
        baselines, centering = baselines.transposed, RowsAndColumns(*reversed(centering))
    ratings = _turned(ratings, rows)
    return Learner(
        ratings, BatchCutter(ratings, baselines, centering, options.input_scaling, options.device), options, generator
    )


def _turned(ratings: RatingMatrix, rows: Side) -> RatingMatrix:
    """Ratings, users in rows, with the wanted side in rows."""
    return ratings if rows == "user" else ratings.transposed


def _divergence(learners: Sequence[Learner]) -> DivergenceError:
    learner = next((learner for learner in learners if learner.has_diverged), learners[0])
    return DivergenceError(
        f"training diverged: the mean squared error (of ratings mapped to 1..5) went from {learner.initial_error:.3g} "
        f"to {learner.error:.3g}, or the weights overflowed; lower lr_all, got {learner.learning_rate}"
    )


class _EarlyStopping:
    """Scores the averaged networks on held-out ratings, keeps the best weights, says when to stop."""

    def __init__(self, held_out: RatingMatrix, baselines: Baselines, options: TrainingOptions) -> None:
        self.options = options
        self.by_user = Cells.of(held_out, options.device)
        self.by_item = Cells.of(held_out.transposed, options.device)
        targets = held_out.values - baselines.at(held_out.rows, held_out.columns)
        self.targets = torch.from_numpy(targets).to(options.device)
        self.best_rmse = math.inf
        self.best_weights: list[dict[str, Any]] = []
        self.epochs_without_progress = 0

    def update(self, members: Sequence[Member], learners: Sequence[Learner]) -> float:
        """Score the epoch that has just ended; returns the RMSE on the held-out ratings."""
        outputs = torch.zeros_like(self.targets)
        for member, learner in zip(members, learners, strict=True):
            if member.rows == "user":
                outputs += member.weight * learner.outputs_at(self.by_user)
            else:
                outputs[self.by_user.order] += member.weight * learner.outputs_at(self.by_item)
        errors = (self.targets - outputs).cpu().numpy()
        rmse = math.sqrt(np.square(errors).mean())
        progress = rmse < self.best_rmse - self.options.tol
        self.epochs_without_progress = 0 if progress else self.epochs_without_progress + 1
        if rmse < self.best_rmse:
            self.best_rmse = rmse
            self.best_weights = [copy.deepcopy(learner.averaged.state_dict()) for learner in learners]
        return rmse

    @property
    def exhausted(self) -> bool:
        """Whether ``n_iter_no_change`` epochs have brought no progress."""
        return self.epochs_without_progress >= self.options.n_iter_no_change

    def restore_best(self, learners: Sequence[Learner]) -> None:
        """Give every learner back its averaged weights of the best epoch."""
        for learner, weights in zip(learners, self.best_weights, strict=True):
            learner.averaged.load_state_dict(weights)
