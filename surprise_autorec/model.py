"""The fitted model: small dense matrices that answer for any user and item without running a network."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.learner import Factors
from surprise_autorec.core.network import HIGHEST, LOWEST, decoder_output
from surprise_autorec.core.sparse import products_at
from surprise_autorec.core.training import Member

IndexArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]
Value = TypeVar("Value", float, FloatArray)


class RatingScale(NamedTuple):
    """The lowest and the highest rating, and the affine map between them and the core's interval."""

    low: float
    high: float

    @property
    def unit(self) -> float:
        """How many rating points one point of the core's interval is."""
        return (self.high - self.low) / (HIGHEST - LOWEST) or 1.0

    def to_core(self, ratings: Value) -> Value:
        """Ratings as the core sees them."""
        return (ratings - self.low) / self.unit + LOWEST

    def from_core(self, values: Value) -> Value:
        """The core's values as ratings."""
        return (values - LOWEST) * self.unit + self.low


class TrainedNetwork(NamedTuple):
    """A network of the model: whose ratings its rows are, its weight in predictions, and its factors."""

    member: Member
    factors: Factors


@dataclass(frozen=True, eq=False)
class AutoRecModel:
    """A fitted AutoRec. Immutable; everything lies in CPU memory, wherever it was trained.

    Parameters
    ----------
    user_ids, item_ids : sequence of hashable
        The users and items of the training ratings, in the order of their indices.
    scale : RatingScale
    biased : bool
        Whether outputs are differences from the baselines.
    decoder_activation : str
        The paper's f.
    baselines : Baselines
        Users in rows, items in columns.
    networks : sequence of TrainedNetwork
    """

    user_ids: Sequence[Hashable]
    item_ids: Sequence[Hashable]
    scale: RatingScale
    biased: bool
    decoder_activation: str
    baselines: Baselines
    networks: Sequence[TrainedNetwork]

    @cached_property
    def user_index(self) -> dict[Hashable, int]:
        """From a user's id to its index."""
        return {uid: index for index, uid in enumerate(self.user_ids)}

    @cached_property
    def item_index(self) -> dict[Hashable, int]:
        """From an item's id to its index."""
        return {iid: index for index, iid in enumerate(self.item_ids)}

    def predict(self, users: IndexArray, items: IndexArray) -> FloatArray:
        """Estimate ratings: eq. 1, plus the baselines where biased.

        Parameters
        ----------
        users, items : ndarray of int32, shape (n_pairs,)
            Indices, -1 for a user or item that the training ratings did not have.

        Returns
        -------
        ndarray of float64, shape (n_pairs,)
            Not clipped to the scale. Where user or item is unknown: the baseline estimate from what is known, or NaN
            if the model has no baselines.
        """
        known = (users >= 0) & (items >= 0)
        if known.all():
            return self.scale.from_core(self.baselines.at(users, items) + self._outputs(users, items))
        estimates = np.full(len(users), np.nan)
        if self.biased:
            estimates = self.scale.from_core(self.baselines.at(users, items))
        estimates[known] = self.predict(users[known], items[known])
        return estimates

    def _outputs(self, users: IndexArray, items: IndexArray) -> FloatArray:
        """The networks' averaged outputs for pairs of known users and items."""
        outputs = np.zeros(len(users))
        for (rows_are, weight), factors in self.networks:
            rows, columns = (users, items) if rows_are == "user" else (items, users)
            by_row = np.argsort(rows, kind="stable")
            offsets = np.searchsorted(rows[by_row], np.arange(len(factors.hidden) + 1)).astype(np.int32)
            hidden, weights, bias = (torch.from_numpy(array) for array in factors)
            column_of = torch.from_numpy(columns[by_row])
            pre_activation = products_at(hidden, weights, torch.from_numpy(offsets), column_of) + bias[column_of]
            output = decoder_output(pre_activation, self.decoder_activation, self.biased)
            outputs[by_row] += weight * output.numpy()
        return outputs

    def estimate(self, user: int, item: int) -> float:
        """`predict` for a single pair, without the overhead of arrays. Both must be known."""
        output = 0.0
        for (rows_are, weight), (hidden, weights, bias) in self.networks:
            row, column = (user, item) if rows_are == "user" else (item, user)
            pre_activation = float(hidden[row] @ weights[column]) + float(bias[column])
            if self.decoder_activation == "identity":  # without the overhead of a tensor
                output += weight * pre_activation
            else:
                tensor = torch.tensor(pre_activation)
                output += weight * float(decoder_output(tensor, self.decoder_activation, self.biased))
        baselines = self.baselines
        baseline = baselines.mean + float(baselines.row_biases[user]) + float(baselines.column_biases[item])
        return self.scale.from_core(baseline + output)
