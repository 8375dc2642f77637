"""What ratings that training does not see show of it: weights of networks, errors, and the best epoch."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from surprise_autorec.core.arrays import Float64Array, gram_matrix
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.blending import combination, combined
from surprise_autorec.core.learner import AveragedNetwork
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import Cells
from surprise_autorec.core.trained import Member
from surprise_autorec.core.uncertainty import ErrorModel, Evidence


class Findings(NamedTuple):
    """What ratings that were held out have shown.

    Attributes
    ----------
    weights : list of float
        Those of the members.
    gain : float
        That of all members.
    errors : ErrorModel or None
        How far estimates are off, if that was asked for.
    """

    weights: list[float]
    gain: float
    errors: ErrorModel | None

    @classmethod
    def of_state(cls, state: Mapping[str, Any] | None) -> Findings | None:
        """The inverse of `state`, without users and items; None if there is none."""
        if state is None:
            return None
        return cls(state["weights"], state["gain"], ErrorModel.of_state(state["errors"]))

    def state(self) -> dict[str, Any]:
        """What does not follow from the ratings, as plain numbers."""
        errors = self.errors and self.errors.state()
        return {"weights": self.weights, "gain": self.gain, "errors": errors}


class Sample:
    """Ratings that training does not see, at least for a time.

    Parameters
    ----------
    held_out : RatingMatrix
    known : RatingMatrix
        The others, of the same shape.
    baselines : Baselines
        Of these.
    options : TrainingOptions
    """

    def __init__(
        self, held_out: RatingMatrix, known: RatingMatrix, baselines: Baselines, options: TrainingOptions
    ) -> None:
        self.of_users, self.of_items = held_out, held_out.transposed
        self.by_user, self.by_item = (Cells.of(part, options.device) for part in (held_out, self.of_items))
        self.baselines = baselines
        self.learn_weights, self.has_gain = options.learn_weights, options.has_gain
        self.evidence = Evidence.of(known, baselines) if options.uncertainty else None

    def estimates(self, networks: Sequence[AveragedNetwork], gains: Sequence[float]) -> Float64Array:
        """What networks estimate of the users held here, with each of the gains.

        Returns
        -------
        ndarray, shape (n_gains, n_networks, n_held_out)
        """
        return np.stack([self._estimates_of(network, gains) for network in networks], axis=1)

    def _estimates_of(self, network: AveragedNetwork, gains: Sequence[float]) -> Float64Array:
        if network.member.side == "user":
            outputs = network.outputs_at(self.by_user, gains).cpu().numpy()
        else:  # these items' users may be held by other processes
            of_items = network.outputs_at(self.by_item, gains).cpu().numpy()
            outputs = np.stack([replace(self.of_items, values=one).transposed.values for one in of_items])
        beside = network.member.beside(self.baselines)
        estimates: Float64Array = beside.at(self.of_users.rows, self.of_users.columns) + outputs
        return estimates

    def findings(self, networks: Sequence[AveragedNetwork]) -> Findings:
        """What the sample shows of trained networks."""
        members = [network.member for network in networks]
        weights, gain = [member.weight for member in members], members[0].gain
        without, *with_gain = self.estimates(networks, [0.0, 1.0] if self.has_gain else [0.0])
        change = with_gain[0] - without if with_gain else np.zeros_like(without)
        if self.learn_weights:
            weights, gain = self._combination(members, without, change)
        return Findings(weights, gain, self._error_model(combined(without + gain * change, weights)))

    def _combination(
        self, members: Sequence[Member], without: Float64Array, change: Float64Array
    ) -> tuple[list[float], float]:
        """The weights of members and their gain; those that only differ in their seeds weigh the same.

        Parameters
        ----------
        members : sequence of Member
        without : ndarray, shape (n_networks, n_held_out)
            What the networks estimate without a gain.
        change : ndarray of the same shape
            What a gain of 1 adds.
        """
        kinds = Counter(members)
        errors = [
            without[[member == kind for member in members]].mean(0) - self.of_users.values for kind in kinds
        ]
        errors.append(combined(change, [member.weight for member in members]))
        products = self.of_users.collective.sum_array(gram_matrix(np.stack(errors).T))
        n_ratings = self.of_users.n_ratings
        expected = np.array([kind.weight * number for kind, number in kinds.items()])
        learnt, gain = combination(products / n_ratings, n_ratings, expected, members[0].gain)
        of_one = dict(zip(kinds, learnt / list(kinds.values()), strict=True))
        return [float(of_one[member]) for member in members], gain

    def _error_model(self, estimates: Float64Array) -> ErrorModel | None:
        """The model of the errors of estimates, if it is wanted."""
        if self.evidence is None:
            return None
        users, items, values, estimates = (
            np.concatenate(self.of_users.collective.gather(array))
            for array in (self.of_users.rows, self.of_users.columns, self.of_users.values, estimates)
        )
        order = np.lexsort([items, users])  # the same for any number of processes
        return ErrorModel.fit(
            self.evidence, self.baselines, users[order], items[order], values[order], estimates[order]
        )


class Validation:
    """Scores the averaged networks on held-out ratings and keeps the best weights."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.best_rmse = math.inf
        self.best_weights: list[dict[str, Any]] = []

    def update(self, networks: Sequence[AveragedNetwork]) -> float:
        """Score the epoch that has just ended; returns the RMSE on the held-out ratings."""
        ratings = self.sample.of_users
        weights = [network.member.weight for network in networks]
        (estimates,) = self.sample.estimates(networks, [networks[0].member.gain])
        squares = np.square(ratings.values - combined(estimates, weights))
        (square,) = ratings.collective.sums(squares.sum())
        rmse = math.sqrt(square / ratings.n_ratings)
        if rmse < self.best_rmse:
            self.best_rmse = rmse
            self.best_weights = [copy.deepcopy(network.network.state_dict()) for network in networks]
        return rmse

    def restore_best(self, networks: Sequence[AveragedNetwork]) -> None:
        """Give every network back its averaged weights of the best epoch."""
        for network, weights in zip(networks, self.best_weights, strict=True):
            network.network.load_state_dict(weights)
