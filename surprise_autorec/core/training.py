"""The training loop: epochs over the networks of a model, validation, divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from surprise_autorec.core import automatic
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import BatchCutter, InputRules, RowsAndColumns, typical_count
from surprise_autorec.core.checkpoints import Checkpoints
from surprise_autorec.core.held_out import Findings, Sample, Validation
from surprise_autorec.core.learner import AveragedNetwork, Learner
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.threads import setting_kept, use_threads
from surprise_autorec.core.trained import Member, Side, TrainedNetwork
from surprise_autorec.core.uncertainty import ErrorModel


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
    """What `train` returns: the baselines, the trained members, and how far their estimates are off."""

    baselines: Baselines
    networks: list[TrainedNetwork]
    errors: ErrorModel | None


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
    DivergenceError
        If an epoch's error is not a finite number, or the trained networks' is far above that of no output at
        all.
    """
    # (Callers may have switched gradients off.)
    with setting_kept() as n_threads, torch.inference_mode(False), torch.enable_grad():
        options = replace(options, n_threads=min(n_threads, options.n_threads))
        use_threads(1 if options.threads_are_free else options.n_threads)
        generator = torch.Generator().manual_seed(seed)
        trained_on, held_out = _divided(ratings, options, generator, seed, start)
        baselines = estimate_baselines(trained_on)
        starts: Sequence[TrainedNetwork | None] = start or [None] * len(members)
        learners = [
            make_learner(member, trained_on, baselines, options, generator, trained)
            for member, trained in zip(members, starts, strict=True)
        ]
        averaged = [learner.averaged for learner in learners]
        sample = Sample(held_out, trained_on, baselines, options) if held_out else None
        del trained_on, held_out

        validation = Validation(sample) if sample and options.early_stopping else None
        joins = sample is not None and validation is None
        epochs, n_apart = range(1, options.n_epochs + 1), options.n_epochs
        if joins:
            n_apart = automatic.epochs_without_sample(options.n_epochs)
        loop = _EpochLoop(learners, validation, generator, checkpoints, options, on_epoch_end)
        goes_on = loop.run(epochs[:n_apart])
        if validation:
            validation.restore_best(averaged)
        if sample:
            loop.findings = loop.findings or sample.findings(averaged)
            for network, weight in zip(averaged, loop.findings.weights, strict=True):
                network.member = network.member._replace(weight=weight, gain=loop.findings.gain)
        if joins:
            baselines = estimate_baselines(ratings)
            _take_all(learners, ratings, baselines)
            if goes_on:
                loop.run(epochs[n_apart:])
        errors = loop.findings and loop.findings.errors
        initial_errors = [learner.initial_error for learner in learners]
        # What only training needs would be in the way: weights, gradients, the optimisers' memory.
        del learners, loop
        return _finished(averaged, initial_errors, ratings, baselines, errors, options)


def _take_all(learners: Sequence[Learner], ratings: RatingMatrix, baselines: Baselines) -> None:
    """Let learners go on with all ratings."""
    for learner in learners:
        member = learner.averaged.member
        learner.take(*_with_rows(member.side, ratings, member.beside(baselines)))


def _finished(
    averaged: Sequence[AveragedNetwork],
    initial_errors: Sequence[float],
    ratings: RatingMatrix,
    baselines: Baselines,
    errors: ErrorModel | None,
    options: TrainingOptions,
) -> Training:
    """What training returns. Raises DivergenceError where an error is far above the initial one."""
    baselines = _beside_all([network.member for network in averaged], baselines)
    n_rows = {"user": ratings.n_rows, "item": ratings.n_columns}
    networks, final_errors = [], []
    for network in averaged:
        side = network.member.side
        # Early stopping learns weights from a part of the ratings, but in the end all of a row's are known.
        known = _with_rows(side, ratings, baselines)[0] if options.early_stopping else None
        trained, error = network.finish(n_rows[side], known)
        networks.append(trained)
        final_errors.append(error)
    if not all(map(_is_fine, initial_errors, final_errors)):
        raise _divergence(options, initial_errors, final_errors)
    return Training(baselines, networks, errors and errors.given(ratings, baselines))


def _divided(
    ratings: RatingMatrix,
    options: TrainingOptions,
    generator: torch.Generator,
    seed: int,
    start: Sequence[TrainedNetwork] | None,
) -> tuple[RatingMatrix, RatingMatrix | None]:
    """The ratings to train on and those to hold out, if any: for good, or for a time."""
    if options.early_stopping:
        return ratings.split(options.validation_fraction, generator)
    share = automatic.sample_share(ratings.n_ratings)
    if not options.uncertainty or start is not None or share == 0:
        return ratings, None
    # (By a generator of its own, so that the networks begin as they would without.)
    return ratings.split(share, torch.Generator().manual_seed(seed + 1))


class _EpochLoop:
    """Runs epochs, and keeps their reports. Those of a checkpoint are not run again, only reported.

    Attributes
    ----------
    findings : Findings or None
        What the sample has shown so far.
    """

    def __init__(
        self,
        learners: Sequence[Learner],
        validation: Validation | None,
        generator: torch.Generator,
        checkpoints: Checkpoints | None,
        options: TrainingOptions,
        on_epoch_end: Callable[[Epoch], None],
    ) -> None:
        self.learners, self.validation, self.generator = learners, validation, generator
        self.checkpoints, self.options, self.on_epoch_end = checkpoints, options, on_epoch_end
        self.saved = checkpoints.load() if checkpoints else None
        self.epochs = [Epoch(*epoch) for epoch in self.saved["epochs"]] if self.saved else []
        self.findings = Findings.of_state(self.saved["findings"]) if self.saved else None

    def run(self, numbers: Iterable[int]) -> bool:
        """Train until the epochs are over or a callback stops it; returns whether none did."""
        for number in numbers:
            epoch = self._run_epoch(number)
            wants_to_stop = False
            try:
                self.on_epoch_end(epoch)
            except StopTraining:
                wants_to_stop = True
            if any(self.learners[0].collective.sums(wants_to_stop)):
                return False
        return True

    def _run_epoch(self, number: int) -> Epoch:
        """Train for an epoch, unless that was done before; returns its report."""
        if number > len(self.epochs):
            self.epochs.append(self._train(number))
            if self.checkpoints:
                self.checkpoints.save(number, self._state())
        elif self.saved and number == len(self.epochs):  # now the learners have the ratings that they had
            self._restore(self.saved)
        return self.epochs[number - 1]

    def _train(self, number: int) -> Epoch:
        averaged = [learner.averaged for learner in self.learners]
        losses, errors = zip(*(learner.run_epoch(number) for learner in self.learners), strict=True)
        loss = sum(network.member.weight * loss for network, loss in zip(averaged, losses, strict=True))
        rmse = self.validation.update(averaged) if self.validation else None
        if not math.isfinite(loss + (rmse or 0.0)):
            raise _divergence(self.options, [learner.initial_error for learner in self.learners], errors)
        return Epoch(number, self.options.n_epochs, loss, rmse)

    def _state(self) -> dict[str, Any]:
        return {
            "epochs": [tuple(epoch) for epoch in self.epochs],
            "findings": self.findings and self.findings.state(),
            "generator": self.generator.get_state(),
            "learners": [learner.state() for learner in self.learners],
            "validation": self.validation and (self.validation.best_rmse, self.validation.best_weights),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
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
        centering = RowsAndColumns(*reversed(centering))
    ratings, baselines = _with_rows(member.side, ratings, member.beside(baselines))
    rules = InputRules(centering, options.input_scaling, typical_count(ratings.row_counts))
    network = start.required_encoders().network if start else None
    return Learner(
        ratings, BatchCutter(rules, baselines, options.device), options, generator, member, network
    )


def _with_rows(
    side: Side, users_by_items: RatingMatrix, baselines: Baselines
) -> tuple[RatingMatrix, Baselines]:
    """Ratings and baselines with the wanted side in rows."""
    if side == "user":
        return users_by_items, baselines
    return users_by_items.transposed, baselines.transposed


def _beside_all(members: Sequence[Member], baselines: Baselines) -> Baselines:
    """What the average of the members is added to."""
    share = sum(member.weight * member.item_share for member in members)
    return replace(baselines, column_share=min(share, 1.0))  # (weights may add up to a little more)


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
