"""The training loop: epochs over the networks of a model, validation, divergence."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import BatchCutter, InputRules, RowsAndColumns, typical_count
from surprise_autorec.core.fold_in import FoldIn
from surprise_autorec.core.learner import Factors, Learner
from surprise_autorec.core.network import AutoEncoder
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
    """What is known after an epoch.

    Attributes
    ----------
    number : int
        The epoch's, from 1.
    n_epochs : int
        How many there are to be, at most.
    loss : float
        The loss per rating: squared error, as met in training with dropout, plus penalty.
    validation_rmse : float or None
        RMSE on the ratings held out, if any are.
    """

    number: int
    n_epochs: int
    loss: float
    validation_rmse: float | None


class TrainedNetwork(NamedTuple):
    """A member, its factors, and what gives factors to new rows and columns (None where a network cannot).

    The rows and columns that a network can give factors by are those it was trained on.
    """

    member: Member
    factors: Factors
    fold_in: FoldIn | None


class Training(NamedTuple):
    """What `train` returns: the baselines, the trained members, and the number of epochs that were run."""

    baselines: Baselines
    networks: list[TrainedNetwork]
    n_iter: int


class StopTraining(Exception):  # noqa: N818 (no error)
    """What a callback raises to end training after the epoch that it was told of."""


class DivergenceError(ArithmeticError):
    """Training blew the error up instead of reducing it."""


def train(
    ratings: RatingMatrix,
    members: Sequence[Member],
    options: TrainingOptions,
    estimate_baselines: Callable[[RatingMatrix], Baselines],
    seed: int,
    on_epoch_end: Callable[[Epoch], None],
    start: Sequence[TrainedNetwork] | None = None,
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
        Called with the report of each epoch. If it raises StopTraining, training ends there.
    start : sequence of TrainedNetwork, optional
        Where to go on from: the same members, trained on some of the ratings, whose users and items are the first of
        those here. Default: random weights.

    Raises
    ------
    ValueError
        If the networks to go on from are others than those asked for.
    DivergenceError
        If an epoch's error is not a finite number, or the trained networks' is far above that of no output at all.
    """
    generator = torch.Generator().manual_seed(seed)
    trained_on, held_out = ratings, None
    if options.early_stopping:
        trained_on, held_out = ratings.split(options.validation_fraction, generator)
    baselines = estimate_baselines(trained_on)
    starts: list[AutoEncoder | None] = [None] * len(members)
    if start is not None:
        if [network.member for network in start] != list(members):
            raise ValueError(
                "variant, item_weight and n_estimators must be those of the model to go on from, "
                f"{_described(network.member for network in start)}, got {_described(members)}"
            )
        starts = [_network_of(network) for network in start]
    learners = [
        _learner(member.rows, trained_on, baselines, options, generator, network)
        for member, network in zip(members, starts, strict=True)
    ]
    validation = _Validation(held_out, baselines, options.device) if held_out else None
    # The weights may be learnt on a part of the ratings; what is known of each row, in the end, are all of them. Else
    # the learners have all they need: of many ratings, one copy is enough.
    all_ratings = ratings if held_out else None
    del ratings, trained_on

    number = 0
    for number in range(1, options.n_epochs + 1):
        loss = sum(member.weight * learner.run_epoch(number) for member, learner in zip(members, learners, strict=True))
        rmse = validation.update(members, learners) if validation else None
        if not math.isfinite(loss + (rmse or 0.0)):
            raise _divergence(learners)
        try:
            on_epoch_end(Epoch(number, options.n_epochs, loss, rmse))
        except StopTraining:
            break
    if validation:
        validation.restore_best(learners)
    networks = [
        TrainedNetwork(member, *learner.finish(_turned(all_ratings, member.rows) if all_ratings else None))
        for member, learner in zip(members, learners, strict=True)
    ]
    if any(learner.has_diverged for learner in learners):
        raise _divergence(learners)
    return Training(baselines, networks, number)


def _learner(
    rows: Side,
    ratings: RatingMatrix,
    baselines: Baselines,
    options: TrainingOptions,
    generator: torch.Generator,
    start: AutoEncoder | None = None,
) -> Learner:
    """A learner on the ratings, users in rows, turned so that its rows are in rows."""
    item_centering = user_centering = options.input_centering
    if item_centering is None or user_centering is None:
        item_centering, user_centering = typical_count(ratings.column_counts) / ratings.n_rows, USER_CENTERING
    centering = RowsAndColumns(user_centering, item_centering)
    if rows == "item":
        baselines, centering = baselines.transposed, RowsAndColumns(*reversed(centering))
    ratings = _turned(ratings, rows)
    rules = InputRules(centering, options.input_scaling, typical_count(ratings.row_counts))
    return Learner(ratings, BatchCutter(rules, baselines, options.device), options, generator, start)


def _described(members: Iterable[Member]) -> str:
    return " + ".join(f"{weight:g} {rows} network" for rows, weight in members)


def _network_of(trained: TrainedNetwork) -> AutoEncoder:
    if trained.fold_in is None:
        raise ValueError("a model of new users or items has no network to go on from")
    return trained.fold_in.network


def _turned(ratings: RatingMatrix, rows: Side) -> RatingMatrix:
    """Ratings, users in rows, with the wanted side in rows."""
    return ratings if rows == "user" else ratings.transposed


def _divergence(learners: Sequence[Learner]) -> DivergenceError:
    learner = next((learner for learner in learners if learner.has_diverged), learners[0])
    return DivergenceError(
        f"training diverged: the mean squared error (of ratings mapped to 1..5) went from {learner.initial_error:.3g} "
        f"to {learner.error:.3g}, or the weights overflowed; lower lr_all, got {learner.learning_rate}"
    )


class _Validation:
    """Scores the averaged networks on held-out ratings and keeps the best weights."""

    def __init__(self, held_out: RatingMatrix, baselines: Baselines, device: torch.device) -> None:
        self.by_user = Cells.of(held_out, device)
        self.by_item = Cells.of(held_out.transposed, device)
        targets = held_out.values - baselines.at(held_out.rows, held_out.columns)
        self.targets = torch.from_numpy(targets).to(device)
        self.best_rmse = math.inf
        self.best_weights: list[dict[str, Any]] = []

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
        if rmse < self.best_rmse:
            self.best_rmse = rmse
            self.best_weights = [copy.deepcopy(learner.averaged.state_dict()) for learner in learners]
        return rmse

    def restore_best(self, learners: Sequence[Learner]) -> None:
        """Give every learner back its averaged weights of the best epoch."""
        for learner, weights in zip(learners, self.best_weights, strict=True):
            learner.averaged.load_state_dict(weights)
