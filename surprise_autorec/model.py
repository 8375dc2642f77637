"""The fitted model: small dense matrices that answer for any user and item without running a network."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.network import HIGHEST, LOWEST, decoder_output
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import products_at
from surprise_autorec.core.training import Side, TrainedNetwork

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


class Rated(NamedTuple):
    """Which items each user has rated: those of user u are ``items[offsets[u] : offsets[u + 1]]``, ascending."""

    offsets: IndexArray
    items: IndexArray


@dataclass(frozen=True, eq=False)
class AutoRecModel:
    """A fitted AutoRec. Immutable; everything lies in CPU memory, wherever it was trained.

    Parameters
    ----------
    user_ids, item_ids : sequence of hashable
        The users and items of the training ratings, in the order of their indices.
    scale : RatingScale
    mean_rating : float
        Mean of the training ratings.
    biased : bool
        Whether outputs are differences from the baselines.
    decoder_activation : str
        The paper's f.
    baselines : Baselines
        Users in rows, items in columns.
    networks : sequence of TrainedNetwork
    rated : Rated
        Which pairs the training ratings hold (not how they were rated).
    """

    user_ids: Sequence[Hashable]
    item_ids: Sequence[Hashable]
    scale: RatingScale
    mean_rating: float
    biased: bool
    decoder_activation: str
    baselines: Baselines
    networks: Sequence[TrainedNetwork]
    rated: Rated

    @cached_property
    def user_index(self) -> dict[Hashable, int]:
        """From a user's id to its index."""
        return {uid: index for index, uid in enumerate(self.user_ids)}

    @cached_property
    def item_index(self) -> dict[Hashable, int]:
        """From an item's id to its index."""
        return {iid: index for index, iid in enumerate(self.item_ids)}

    def find_users(self, uids: Sequence[Hashable]) -> IndexArray:
        """Indices of users, -1 for one that the training ratings did not have."""
        return np.fromiter(map(self.user_index.get, uids, repeat(-1)), np.int32, len(uids))

    def find_items(self, iids: Sequence[Hashable]) -> IndexArray:
        """Indices of items, -1 for one that the training ratings did not have."""
        return np.fromiter(map(self.item_index.get, iids, repeat(-1)), np.int32, len(iids))

    def answer(self, users: IndexArray, items: IndexArray) -> FloatArray:
        """What `predict` estimates, clipped to the scale; the mean rating where there is nothing to go by."""
        estimates = self.predict(users, items)
        return np.clip(np.where(np.isnan(estimates), self.mean_rating, estimates), *self.scale)

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
        if len(users) > len(self.user_ids) * len(self.item_ids):  # than there are: no sparse matrix holds so many
            pairs, place = np.unique(np.stack([users, items]), axis=1, return_inverse=True)
            return self._outputs(*pairs)[place]
        outputs = np.zeros(len(users))
        for (rows_are, weight), factors, _ in self.networks:
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
        for (rows_are, weight), (hidden, weights, bias), _ in self.networks:
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

    def with_new(
        self, side: Side, ids: Sequence[Hashable], owners: IndexArray, others: IndexArray, values: FloatArray
    ) -> AutoRecModel:
        """A model of new users and the items of this one, or of new items and its users, without training.

        Where a network encodes that side, its ratings go through the encoder; where it does not, its decoder weights
        are solved for, see `surprise_autorec.core.fold_in`.

        Parameters
        ----------
        side : {"user", "item"}
            Which are new.
        ids : sequence of hashable
            Theirs.
        owners : ndarray of int32, shape (n_ratings,)
            Whose each rating is, by position in ``ids``. Everyone has one at least.
        others : ndarray of int32, shape (n_ratings,)
            The index of the item (if users are new) or the user. -1 for one that the model does not know: such a
            rating tells of the new one's bias only.
        values : ndarray of float64, shape (n_ratings,)
            The ratings.

        Raises
        ------
        ValueError
            If this model is itself one of new users or items.
        """
        values = self.scale.to_core(values)
        by_side = self.baselines if side == "user" else self.baselines.transposed
        new_baselines = by_side.of_new_rows(owners, others, values, len(ids))
        known = others >= 0
        n_others = len(self.item_ids if side == "user" else self.user_ids)
        by_new = RatingMatrix.from_cells(owners[known], others[known], values[known], (len(ids), n_others))
        by_other = by_new.transposed
        networks = []
        for member, factors, fold_in in self.networks:
            if fold_in is None:
                raise ValueError("a model of new users or items has no encoder for more of them")
            if member.rows == side:
                factors = factors._replace(hidden=fold_in.encode_rows(by_new, new_baselines))
            else:
                weight, bias = fold_in.solve_columns(by_other, new_baselines.transposed, factors.hidden)
                factors = factors._replace(weight=weight, bias=bias)
            networks.append(TrainedNetwork(member, factors, None))
        by_user = by_new if side == "user" else by_other
        rated = Rated(by_user.row_offsets, by_user.columns)
        if side == "user":
            return replace(self, user_ids=ids, baselines=new_baselines, networks=networks, rated=rated)
        return replace(self, item_ids=ids, baselines=new_baselines.transposed, networks=networks, rated=rated)
