"""From ratings to a fitted model."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from surprise_autorec.callbacks import Callback, EarlyStopping, Epoch, History, Progress, StopTraining
from surprise_autorec.checks import check, is_finite, is_nan, positive_integer
from surprise_autorec.core import automatic
from surprise_autorec.core.arrays import Float64Array, Int32Array, Int64Array, check_count
from surprise_autorec.core.checkpoints import Checkpoints
from surprise_autorec.core.collective import ALONE, Collective
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Member
from surprise_autorec.core.training import train
from surprise_autorec.memory import machine_memory, memory_needed
from surprise_autorec.model import AutoRecModel, Rated, RatingScale
from surprise_autorec.model.scoring import SCALE_RULE, is_rating_scale
from surprise_autorec.parameters import AutoRecParameters, CheckedParameters

#: What is said where the training ratings are needed and not there.
NO_RATINGS = (
    "a loaded model does not have the ratings that it was trained on, because they are not saved: call fit "
    "again, or, for explain, pass the ratings of the user"
)


class Ratings(NamedTuple):
    """Ratings as triples of indices and values, with the ids that the indices stand for.

    ``users``, ``items`` and ``values`` have the shape (n_ratings,).
    """

    users: Int32Array
    items: Int32Array
    values: Float64Array
    user_ids: Sequence[Hashable]
    item_ids: Sequence[Hashable]
    scale: RatingScale

    def updated(self, triples: Iterable[tuple[Hashable, Hashable, float]]) -> Ratings:
        """These ratings and more, whose users and items may be new. A pair rated again has the new rating.

        The triples are (uid, iid, rating). The indices of users and items stay; new ones follow.
        """
        triples = list(triples)
        user_index = {uid: index for index, uid in enumerate(self.user_ids)}
        item_index = {iid: index for index, iid in enumerate(self.item_ids)}
        uids, iids, values = zip(*triples, strict=True) if triples else ((), (), ())
        users = np.array([user_index.setdefault(uid, len(user_index)) for uid in uids], np.int32)
        items = np.array([item_index.setdefault(iid, len(item_index)) for iid in iids], np.int32)
        new = Ratings(
            users, items, numbers(values, uids, iids), list(user_index), list(item_index), self.scale
        )
        new.check()
        kept = ~np.isin(self.pairs(len(item_index)), new.pairs(len(item_index)))
        return new._replace(
            users=np.concatenate([self.users[kept], users]),
            items=np.concatenate([self.items[kept], items]),
            values=np.concatenate([self.values[kept], new.values]),
        )

    def pairs(self, n_items: int) -> Int64Array:
        """A number for each rating, the same for all ratings of an item by a user, shape (n_ratings,)."""
        return self.users.astype(np.int64) * n_items + self.items

    def check(self) -> None:
        """Raise ValueError where a rating is no number on the scale; name the first such."""
        low, high = self.scale
        rounding = 1e-6 * (high - low)  # of ratings that were single precision on their way
        wrong = np.flatnonzero(~((self.values >= low - rounding) & (self.values <= high + rounding)))
        if len(wrong):
            first = wrong[0]
            raise ValueError(
                f"ratings must lie on the rating scale, {low:g} to {high:g}: "
                f"user {self.user_ids[self.users[first]]!r} rated item "
                f"{self.item_ids[self.items[first]]!r} {self.values[first]:g} "
                f"({len(wrong)} of {len(self.values)} ratings are outside it). "
                "Correct them, or give a wider rating_scale"
            )


def numbers(values: Sequence[Any], uids: Sequence[Hashable], iids: Sequence[Hashable]) -> Float64Array:
    """Ratings that a user has given to a method, as an array. Raises ValueError where one is no number."""
    for value, uid, iid in zip(values, uids, iids, strict=True):
        if not isinstance(value, Real):
            raise ValueError(f"ratings must be numbers: user {uid!r} rated item {iid!r} {value!r}")
    try:
        return np.array(values, np.float64)
    except OverflowError:  # of an integer that no float is as large as, which is off every scale
        return np.array([value if is_finite(value) else math.inf for value in values], np.float64)


class Fit(NamedTuple):
    """What `fit_model` returns: the model, and the report of each epoch, in rating points."""

    model: AutoRecModel
    epochs: list[Epoch]


def fit_model(
    ratings: Ratings,
    parameters: AutoRecParameters,
    start: AutoRecModel | None = None,
    n_epochs: int | None = None,
    collective: Collective = ALONE,
    checkpoints: str | os.PathLike[str] | None = None,
) -> Fit:
    """Check parameters and ratings, train, and put the model together.

    Training goes on from ``start`` if it is given: a model that was fitted with the same parameters, whose
    users and items are the first of those here. The processes of ``collective`` train together. Each gives
    ratings of its own, by users whom no other has, of the same users, items and scale. ``checkpoints`` is a
    folder to save each epoch in, and to go on from when training was ended.

    Raises ValueError if a parameter or a rating breaks its rule, and DivergenceError if training diverges.
    """
    checked = parameters.check_parameters()
    options, unit = checked.options, ratings.scale.unit
    if start is not None and options.early_stopping:
        raise ValueError(
            "partial_fit needs early_stopping=False: ratings held out now may have been used for training "
            "before"
        )
    if n_epochs is not None:
        options = replace(options, n_epochs=positive_integer("n_epochs", n_epochs))
    with collective.errors_shared():
        _check(ratings)
    needed = memory_needed(parameters, len(ratings.values), len(ratings.user_ids), len(ratings.item_ids))
    is_estimate = options.device.type == "cpu" and collective.size == 1  # what the estimate is for
    if is_estimate:
        _warn_of_memory(needed, checked)
    matrix = _matrix(ratings, options.early_stopping, collective)
    members = automatic.members(matrix, checked.kinds, automatic.gain(options))
    if start is not None:
        members = _members_of(start, members, learnt=options.learn_weights)
    total, n_ratings = collective.sums(ratings.values.sum(), len(ratings.values))
    seed = int(collective.sums(parameters.draw_seed() if collective.rank == 0 else 0)[0])
    history = History()
    callbacks: list[Callback] = [history, *checked.callbacks]
    if options.early_stopping:
        callbacks.append(EarlyStopping(checked.n_iter_no_change, checked.tol * unit))
    with Progress(options.n_epochs, checked.verbose and collective.rank == 0) as progress:
        if is_estimate:
            progress.tell(f"Training needs about {_size(needed)} of memory")
        training = train(
            matrix,
            members,
            options,
            checked.estimate_baselines,
            seed,
            on_epoch_end=partial(_tell, [progress, *callbacks], unit),
            start=start.networks if start else None,
            checkpoints=None if checkpoints is None else _checkpoints(checkpoints, parameters, matrix),
        )
    errors = training.errors
    if start is not None and start.errors is not None:
        errors = start.errors.given(matrix, training.baselines)
    model = AutoRecModel(
        user_ids=ratings.user_ids,
        item_ids=ratings.item_ids,
        scale=ratings.scale,
        mean_rating=total / n_ratings,
        biased=options.biased,
        decoder_activation=options.decoder_activation,
        baselines=training.baselines,
        networks=training.networks,
        rated=Rated(*matrix.all_cells()),
        errors=errors,
    )
    return Fit(model, history.epochs)


def _check(ratings: Ratings) -> None:
    """Raise ValueError if ratings cannot be trained on."""
    check_count("ratings", len(ratings.values))
    check("the rating scale", tuple(ratings.scale), SCALE_RULE, is_rating_scale(*ratings.scale))
    for side, ids in (("user", ratings.user_ids), ("item", ratings.item_ids)):
        check(f"{side} ids", math.nan, "other than NaN, which equals nothing", not any(map(is_nan, ids)))
    ratings.check()
    if not len(ratings.values):
        raise ValueError("training needs at least one rating, got none")


def _members_of(start: AutoRecModel, wanted: Sequence[Member], learnt: bool) -> list[Member]:
    """The networks of a model to continue from. Raises ValueError if other networks are wanted."""
    found = [network.member for network in start.networks]

    def described(members: Sequence[Member]) -> list[str]:
        return [one.side if learnt else f"{one.weight:g} {one.side}" for one in members]

    if described(found) != described(wanted):
        raise ValueError(
            "variant, item_weight and n_estimators must be the same as in the model to continue from, whose "
            f"networks are {', '.join(described(found))}, got {', '.join(described(wanted))}"
        )
    return found


def _checkpoints(
    folder: str | os.PathLike[str], parameters: AutoRecParameters, matrix: RatingMatrix
) -> Checkpoints:
    """The checkpoints of a fit, which is recognised by its parameters and ratings."""
    if not isinstance(parameters.random_state, Integral):
        raise ValueError(
            f"random_state must be an int where checkpoints are kept, got {parameters.random_state!r}"
        )
    names = set(signature(AutoRecParameters).parameters) - {"callbacks", "verbose"}
    fit = {name: repr(getattr(parameters, name)) for name in sorted(names)}
    fit["ratings"] = f"{matrix.n_ratings} of {matrix.n_rows} x {matrix.n_columns} cells, mean {matrix.mean}"
    return Checkpoints(Path(folder), fit, matrix.collective)


def _warn_of_memory(needed: int, checked: CheckedParameters) -> None:
    """Warn if the machine has less memory than needed, and say what to lower."""
    available = machine_memory()
    if available is None or needed <= available:
        return
    width = "auto" if checked.options.n_factors is None else max(checked.options.n_factors)
    n_networks = sum(kind.number for kind in checked.kinds)
    warnings.warn(
        f"training needs about {_size(needed)} of memory, but there is only {_size(available)}: lower "
        f"n_factors ({width}), the number of networks ({n_networks}, by variant and "
        "n_estimators) or the number of ratings",
        UserWarning,
        stacklevel=4,
    )


def _size(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def _tell(callbacks: Sequence[Callback], unit: float, epoch: Epoch) -> None:
    """Tell every callback of an epoch, in rating points, even if one of them wants to stop."""
    rmse = epoch.validation_rmse
    state = epoch._replace(loss=epoch.loss * unit**2, validation_rmse=None if rmse is None else rmse * unit)
    stop = None
    for callback in callbacks:
        try:
            callback.on_epoch_end(state)
        except StopTraining as request:
            stop = request
    if stop is not None:
        raise stop


def _matrix(ratings: Ratings, early_stopping: bool, collective: Collective) -> RatingMatrix:
    """Ratings as the core takes them, users in rows."""
    matrix = RatingMatrix.spread(
        ratings.users,
        ratings.items,
        ratings.scale.to_core(ratings.values),
        (len(ratings.user_ids), len(ratings.item_ids)),
        collective,
    )
    if len(matrix.values) < len(ratings.values):
        _warn_of_repeats(ratings)
    if early_stopping and matrix.n_ratings < 2:
        raise ValueError(
            f"early_stopping=True needs at least 2 ratings, one of them to hold out, got {matrix.n_ratings}"
        )
    return matrix


def _warn_of_repeats(ratings: Ratings) -> None:
    _, first, counts = np.unique(ratings.pairs(len(ratings.item_ids)), return_index=True, return_counts=True)
    example = first[counts > 1][0]
    warnings.warn(
        f"user {ratings.user_ids[ratings.users[example]]!r} rated item "
        f"{ratings.item_ids[ratings.items[example]]!r} more than once (number of such pairs: "
        f"{(counts > 1).sum()}): the mean of the ratings of a pair is used",
        UserWarning,
        stacklevel=5,
    )
