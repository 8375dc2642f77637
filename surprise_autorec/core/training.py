"""The training loop: epochs over the networks of a model, validation, divergence."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from surprise_autorec.core import automatic
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import BatchCutter, InputRules, RowsAndColumns, typical_count
from surprise_autorec.core.checkpoints import Checkpoints
from surprise_autorec.core.learner import AveragedNetwork, Learner
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import Cells
from surprise_autorec.core.threads import setting_kept, use_threads
from surprise_autorec.core.trained import Member, Side, TrainedNetwork


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


class Training(NamedTuple):
    """What `train` returns: the baselines and the trained members."""

    baselines: Baselines
    networks: list[TrainedNetwork]


class StopTraining(Exception):  # noqa: N818 (no error)
    """What a callback raises to end training after the epoch that it was told of."""


class DivergenceError(ArithmeticError):
    """Training made the error larger instead of smaller."""


def train(
    ratings: RatingMatrix,
    members: Sequence[Member],
    options: TrainingOptions,
    estimate_baselines: Callable[[RatingMatrix], Baselines],
    seed: int,
    on_epoch_end: Callable[[Epoch], None],
    start: Sequence[TrainedNetwork] | None = None,
    checkpoints: Checkpoints | None = None,
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
        Where to go on from: the same members, trained on some of the ratings, whose users and items are the
        first of those here. Default: random weights.
    checkpoints : Checkpoints, optional
        Where to save each epoch, and to find those of the same training that was ended.

    Raises
    ------
    ValueError
        If the networks to go on from are others than those asked for.
    DivergenceError
        If an epoch's error is not a finite number, or the trained networks' is far above that of no output at
        all.
    """
    if start is not None and [network.member for network in start] != list(members):
        raise ValueError(
            "variant, item_weight and n_estimators must be the same as in the model to continue from, "
            f"{_described(network.member for network in start)}, got {_described(members)}"
        )
    # (Callers may have switched gradients off.)
    with setting_kept() as n_threads, torch.inference_mode(False), torch.enable_grad():
        options = replace(options, n_threads=min(n_threads, options.n_threads))
        use_threads(1 if options.threads_are_free else options.n_threads)
        generator = torch.Generator().manual_seed(seed)
        trained_on, held_out = ratings, None
        if options.early_stopping:
            trained_on, held_out = ratings.split(options.validation_fraction, generator)
        baselines = estimate_baselines(trained_on)
        starts: Sequence[TrainedNetwork | None] = start or [None] * len(members)
        learners = [
            make_learner(member, trained_on, baselines, options, generator, trained)
            for member, trained in zip(members, starts, strict=True)
        ]
        validation = _Validation(held_out, baselines, options.device) if held_out else None
        # Weights may be learnt from a part of the ratings, but in the end all of a row's are known. Otherwise
        # the learners have all they need: of many ratings, one copy is enough.
        n_rows = {"user": ratings.n_rows, "item": ratings.n_columns}
        all_ratings = ratings if held_out else None
        collective = ratings.collective
        del ratings, trained_on

        progress = _Progress(learners, validation, generator, checkpoints)
        for number in range(1, options.n_epochs + 1):
            epoch = progress.run_epoch(number, options)
            wants_to_stop = False
            try:
                on_epoch_end(epoch)
            except StopTraining:
                wants_to_stop = True
            if any(collective.sums(wants_to_stop)):
                break
        averaged = [learner.averaged for learner in learners]
        if validation:
            validation.restore_best(averaged)
        initial_errors = [learner.initial_error for learner in learners]
        # And with them what only training needs: weights, gradients, the optimisers' memory.
        del learners, progress
        networks, errors = [], []
        for network in averaged:
            side = network.member.side
            known = _with_rows(side, all_ratings) if all_ratings else None
            trained, error = network.finish(n_rows[side], known)
            networks.append(trained)
            errors.append(error)
        if not all(map(_is_fine, initial_errors, errors)):
            raise _divergence(options, initial_errors, errors)
        return Training(baselines, networks)


class _Progress:
    """The epochs of a training, those before it was ended included."""

    def __init__(
        self,
        learners: Sequence[Learner],
        validation: _Validation | None,
        generator: torch.Generator,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.learners, self.validation, self.generator = learners, validation, generator
        self.checkpoints = checkpoints
        self.epochs: list[Epoch] = []
        saved = checkpoints.load() if checkpoints else None
        if saved is not None:
            self._restore(saved)

    def run_epoch(self, number: int, options: TrainingOptions) -> Epoch:
        """Train for an epoch, unless that was done before; returns its report."""
        if number > len(self.epochs):
            self.epochs.append(self._train(number, options))
            if self.checkpoints:
                self.checkpoints.save(number, self._state())
        return self.epochs[number - 1]

    def _train(self, number: int, options: TrainingOptions) -> Epoch:
        averaged = [learner.averaged for learner in self.learners]
        losses, errors = zip(*(learner.run_epoch(number) for learner in self.learners), strict=True)
        loss = sum(network.member.weight * loss for network, loss in zip(averaged, losses, strict=True))
        rmse = self.validation.update(averaged) if self.validation else None
        if not math.isfinite(loss + (rmse or 0.0)):
            raise _divergence(options, [learner.initial_error for learner in self.learners], errors)
        return Epoch(number, options.n_epochs, loss, rmse)

    def _state(self) -> dict[str, Any]:
        return {
            "epochs": [tuple(epoch) for epoch in self.epochs],
            "generator": self.generator.get_state(),
            "learners": [learner.state() for learner in self.learners],
            "validation": self.validation and (self.validation.best_rmse, self.validation.best_weights),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.epochs = [Epoch(*epoch) for epoch in state["epochs"]]
        self.generator.set_state(state["generator"])
        for learner, own in zip(self.learners, state["learners"], strict=True):
            learner.restore(own)
        if self.validation:
            self.validation.best_rmse, self.validation.best_weights = state["validation"]


def make_learner(
    member: Member,
    ratings: RatingMatrix,
    baselines: Baselines,
    options: TrainingOptions,
    generator: torch.Generator,
    start: TrainedNetwork | None = None,
) -> Learner:
    """A member, about to learn from ratings with users in rows."""
    share = options.input_centering
    centering = automatic.centering(ratings) if share is None else RowsAndColumns(share, share)
    if member.side == "item":
        baselines, centering = baselines.transposed, RowsAndColumns(*reversed(centering))
    ratings = _with_rows(member.side, ratings)
    rules = InputRules(centering, options.input_scaling, typical_count(ratings.row_counts))
    network = start.required_encoders().network if start else None
    return Learner(
        ratings, BatchCutter(rules, baselines, options.device), options, generator, member, network
    )


def _with_rows(side: Side, users_by_items: RatingMatrix) -> RatingMatrix:
    """Ratings with the wanted side in rows."""
    return users_by_items if side == "user" else users_by_items.transposed


def _described(members: Iterable[Member]) -> str:
    return " + ".join(f"{weight:g} {side} network" for side, weight in members)


def _is_fine(initial_error: float, error: float) -> bool:
    return error <= 2 * initial_error


def _divergence(
    options: TrainingOptions, initial_errors: Sequence[float], errors: Sequence[float]
) -> DivergenceError:
    pairs = list(zip(initial_errors, errors, strict=True))
    initial_error, error = next((pair for pair in pairs if not _is_fine(*pair)), pairs[0])
    return DivergenceError(
        "training diverged: the mean squared error (of ratings mapped to 1..5) went from "
        f"{initial_error:.3g} to {error:.3g}, or the weights overflowed; lower lr_all, got "
        f"{options.learning_rate}"
    )


class _Validation:
    """Scores the averaged networks on held-out ratings and keeps the best weights."""

    def __init__(self, held_out: RatingMatrix, baselines: Baselines, device: torch.device) -> None:
        self.by_user, self.held_out_of_items = Cells.of(held_out, device), held_out.transposed
        self.by_item = Cells.of(self.held_out_of_items, device)
        self.collective, self.n_ratings = held_out.collective, held_out.n_ratings
        targets = held_out.values - baselines.at(held_out.rows, held_out.columns)
        self.targets = torch.from_numpy(targets).to(device)
        self.best_rmse = math.inf
        self.best_weights: list[dict[str, Any]] = []

    def update(self, networks: Sequence[AveragedNetwork]) -> float:
        """Score the epoch that has just ended; returns the RMSE on the held-out ratings."""
        outputs = torch.zeros_like(self.targets)
        for network in networks:
            side, weight = network.member
            if side == "user":
                outputs += weight * network.outputs_at(self.by_user)
            else:  # these items' users may be held by other processes
                of_items = network.outputs_at(self.by_item).cpu().numpy()
                of_users = replace(self.held_out_of_items, values=of_items).transposed.values
                outputs += weight * torch.from_numpy(of_users).to(outputs.device)
        errors = (self.targets - outputs).cpu().numpy()
        (square,) = self.collective.sums(np.square(errors).sum())
        rmse = math.sqrt(square / self.n_ratings)
        if rmse < self.best_rmse:
            self.best_rmse = rmse
            self.best_weights = [copy.deepcopy(network.network.state_dict()) for network in networks]
        return rmse

    def restore_best(self, networks: Sequence[AveragedNetwork]) -> None:
        """Give every network back its averaged weights of the best epoch."""
        for network, weights in zip(networks, self.best_weights, strict=True):
            network.network.load_state_dict(weights)
