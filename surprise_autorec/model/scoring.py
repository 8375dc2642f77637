"""The fitted model: small dense matrices that answer for any user and item without running a network."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from numbers import Real
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from surprise_autorec.checks import number, warn_of_types
from surprise_autorec.core.arrays import Float32Array, Float64Array, Int32Array, check_count
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.fold_in import fold_in
from surprise_autorec.core.network import HIGHEST, LOWEST, decoder_output
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import products_at
from surprise_autorec.core.trained import Side, TrainedNetwork, other_side
from surprise_autorec.core.uncertainty import ErrorModel

Value = TypeVar("Value", float, Float64Array)


#: Squares of ratings on such a scale can be added up without overflow.
LARGEST_RATING = 1e100
SCALE_RULE = f"two numbers from {-LARGEST_RATING:g} to {LARGEST_RATING:g}, the lower one first"


def is_rating_scale(low: Any, high: Any) -> bool:
    """Whether two values are the ends of a rating scale."""
    are_numbers = all(isinstance(end, Real) and not isinstance(end, bool) for end in (low, high))
    return are_numbers and -LARGEST_RATING <= low <= high <= LARGEST_RATING


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
    """Which items each user has rated: user u has ``items[offsets[u] : offsets[u + 1]]``, ascending."""

    offsets: Int32Array
    items: Int32Array

    def items_of(self, user: int) -> Int32Array:
        """The items that a user has rated, in ascending order."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]


@dataclass(frozen=True, eq=False, repr=False)
class AutoRecModel:
    """A fitted AutoRec model. It is immutable, and always in CPU memory.

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
        The rated pairs in the training ratings (not the ratings).
    errors : ErrorModel or None
        The model of standard errors, if there is one.
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
    errors: ErrorModel | None

    @cached_property
    def user_index(self) -> dict[Hashable, int]:
        """The index of each user by id."""
        return {uid: index for index, uid in enumerate(self.user_ids)}

    @cached_property
    def item_index(self) -> dict[Hashable, int]:
        """The index of each item by id."""
        return {iid: index for index, iid in enumerate(self.item_ids)}

    def __str__(self) -> str:
        networks = ", ".join(network.member.side for network in self.networks)
        return (
            f"{len(self.user_ids):,} users, {len(self.item_ids):,} items, {len(self.rated.items):,} ratings, "
            f"networks: {networks}"
        )

    def __repr__(self) -> str:
        return f"<AutoRecModel: {self}>"

    def ids(self, side: Side) -> Sequence[Hashable]:
        """The ids of the users or of the items."""
        return self.user_ids if side == "user" else self.item_ids

    def index(self, side: Side) -> dict[Hashable, int]:
        """The index of each user, or of each item, by id."""
        return self.user_index if side == "user" else self.item_index

    def find(self, side: Side, ids: Sequence[Hashable]) -> Int32Array:
        """Indices of users or items, -1 for those that are not in the training ratings."""
        index = self.index(side)
        found = np.fromiter(map(index.get, ids, repeat(-1)), np.int32, len(ids))
        unknown = np.flatnonzero(found < 0).tolist()
        if unknown:
            warn_of_types(side, (ids[place] for place in unknown), index, stacklevel=4)
        return found

    def find_users(self, uids: Sequence[Hashable]) -> Int32Array:
        """Indices of users, -1 for those that are not in the training ratings."""
        return self.find("user", uids)

    def find_items(self, iids: Sequence[Hashable]) -> Int32Array:
        """Indices of items, -1 for those that are not in the training ratings."""
        return self.find("item", iids)

    def answer(self, users: Int32Array, items: Int32Array) -> Float64Array:
        """The estimates of `predict`, clipped to the scale, or the mean rating where they are NaN."""
        estimates = self.predict(users, items)
        return np.clip(np.where(np.isnan(estimates), self.mean_rating, estimates), *self.scale)

    def std(self, users: Int32Array | int, items: Int32Array | int, answers: Value) -> Value:
        """The standard errors of answers, in rating points, shape (n_pairs,), or that of a single one.

        Raises
        ------
        ValueError
            If the model has no standard errors.
        """
        return self._required_errors().std(users, items, self.scale.to_core(answers)) * self.scale.unit

    def interval(self, users: Int32Array, items: Int32Array, coverage: float) -> Float64Array:
        """Intervals that contain the rating with a given probability, shape (n_pairs, 2), on the scale.

        Raises
        ------
        ValueError
            If the coverage is not between 0 and 1, or the model has no standard errors.
        """
        coverage = number("coverage", coverage, "a number between 0 and 1", lambda x: 0 < x < 1)
        answers = self.answer(users, items)
        margins = self._required_errors().multiple(coverage) * self.std(users, items, answers)
        return np.clip(np.column_stack([answers - margins, answers + margins]), *self.scale)

    def _required_errors(self) -> ErrorModel:
        if self.errors is None:
            raise ValueError(
                "the model has no standard errors: it was fitted with uncertainty=False or to too few ratings"
            )
        return self.errors

    def predict(self, users: Int32Array, items: Int32Array) -> Float64Array:
        """Estimate ratings by eq. 1, plus the baselines if ``biased``.

        Parameters
        ----------
        users, items : ndarray of int32, shape (n_pairs,)
            Indices, -1 for a user or item that is not in the training ratings.

        Returns
        -------
        ndarray of float64, shape (n_pairs,)
            Not clipped to the scale. If the user or the item is unknown, it is the baseline estimate without
            the unknown bias, or NaN if the model has no baselines.

        Raises
        ------
        ValueError
            If there are more pairs than int32 indices can number.
        """
        check_count("pairs to predict at once", len(users))
        known = (users >= 0) & (items >= 0)
        if known.all():
            return self.scale.from_core(self.baselines.at(users, items) + self._outputs(users, items))
        estimates = np.full(len(users), np.nan)
        if self.biased:
            estimates = self.scale.from_core(self.baselines.at(users, items))
        estimates[known] = self.predict(users[known], items[known])
        return estimates

    def _outputs(self, users: Int32Array, items: Int32Array) -> Float64Array:
        """The networks' averaged outputs for pairs of known users and items."""
        if len(users) > len(self.user_ids) * len(
            self.item_ids
        ):  # than there are: no sparse matrix holds so many
            numbers = users.astype(np.int64) * len(self.item_ids) + items
            _, first, place = np.unique(numbers, return_index=True, return_inverse=True)
            return self._outputs(users[first], items[first])[place]
        by_user = np.argsort(users, kind="stable")
        counts = np.bincount(users, minlength=len(self.user_ids))
        rows = np.flatnonzero(counts)  # often a few of very many
        offsets = np.concatenate([[0], np.cumsum(counts[rows])]).astype(np.int32)
        user_of, item_of = users[by_user], items[by_user]
        outputs = np.zeros(len(users))
        for network in self.networks:
            vectors = network.users.vectors
            products = products_at(
                torch.from_numpy(vectors if len(rows) == len(vectors) else vectors[rows]),
                torch.from_numpy(network.items.vectors),
                torch.from_numpy(offsets),
                torch.from_numpy(item_of),
            ).numpy()
            pre_activation = products + (network.users.biases[user_of] + network.items.biases[item_of])
            outputs[by_user] += network.member.weight * self._output(pre_activation)
        return outputs

    def _output(self, pre_activation: Float32Array) -> Float32Array:
        """The decoder's output function, on arrays."""
        if self.decoder_activation == "identity":  # without the overhead of a tensor
            return pre_activation
        tensor = torch.from_numpy(pre_activation)
        return decoder_output(tensor, self.decoder_activation, self.biased).numpy()

    def estimate(self, user: int, item: int) -> float:
        """`predict` for a single pair, without the overhead of arrays. Both must be known."""
        output = 0.0
        for network in self.networks:
            (user_vectors, user_biases), (item_vectors, item_biases) = network.users, network.items
            pre_activation = float(user_vectors[user] @ item_vectors[item]) + float(
                user_biases[user] + item_biases[item]
            )
            if self.decoder_activation != "identity":
                pre_activation = float(self._output(np.array([pre_activation], np.float32))[0])
            output += network.member.weight * pre_activation
        baselines = self.baselines
        user_bias = baselines.row_share * float(baselines.row_biases[user])
        item_bias = baselines.column_share * float(baselines.column_biases[item])
        return self.scale.from_core(baselines.mean + user_bias + item_bias + output)

    def with_new(
        self,
        side: Side,
        ids: Sequence[Hashable],
        owners: Int32Array,
        others: Int32Array,
        values: Float64Array,
    ) -> AutoRecModel:
        """A model of new users and the items of this one, or of new items and its users, without training.

        Where a network encodes that side, its ratings go through the encoder; where it does not, its decoder
        weights are solved for, see `surprise_autorec.core.fold_in`.

        Parameters
        ----------
        side : {"user", "item"}
            Which are new.
        ids : sequence of hashable
            Theirs.
        owners : ndarray of int32, shape (n_ratings,)
            Whose each rating is, by position in ``ids``. Everyone has one at least.
        others : ndarray of int32, shape (n_ratings,)
            The index of the item (if users are new) or the user. -1 for one that the model does not know:
            such a rating tells of the new one's bias only.
        values : ndarray of float64, shape (n_ratings,)
            The ratings.

        Raises
        ------
        ValueError
            If this model is itself one of new users or items.
        """
        values = self.scale.to_core(values)
        baselines = self.baselines if side == "user" else self.baselines.transposed
        baselines = baselines.of_new_rows(owners, others, values, len(ids))
        known = others >= 0
        n_others = len(self.ids(other_side(side)))
        ratings = RatingMatrix.from_cells(owners[known], others[known], values[known], (len(ids), n_others))
        networks = [fold_in(network, side, ratings, baselines) for network in self.networks]
        if side == "item":
            ratings, baselines = ratings.transposed, baselines.transposed
        return replace(
            self,
            user_ids=ids if side == "user" else self.user_ids,
            item_ids=ids if side == "item" else self.item_ids,
            baselines=baselines,
            networks=networks,
            rated=Rated(ratings.row_offsets, ratings.columns),
            errors=self.errors and self.errors.with_new(side, ratings, baselines),
        )
