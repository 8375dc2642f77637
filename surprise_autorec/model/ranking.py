"""The best items for users, and what resembles what, by the factors of a fitted model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from surprise_autorec.core.arrays import Float64Array, Int32Array, Int64Array
from surprise_autorec.core.network import decoder_output
from surprise_autorec.core.ratings import cells_of_rows
from surprise_autorec.core.trained import Side
from surprise_autorec.model.scoring import AutoRecModel

#: Scores are computed for so many pairs at a time.
PAIRS_PER_BLOCK = 4_000_000


class Ranking(NamedTuple):
    """Items for users, the best first, users in the order they were asked for.

    Attributes
    ----------
    positions : ndarray of int64, shape (n_rows,)
        Whose a row is, by position among the users asked for.
    items : ndarray of int32, shape (n_rows,)
        Indices of items.
    ranks : ndarray of int64, shape (n_rows,)
        From 1.
    estimates : ndarray of float64, shape (n_rows,)
        Predicted ratings, clipped to the scale.
    """

    positions: Int64Array
    items: Int32Array
    ranks: Int64Array
    estimates: Float64Array


def rank_items(
    model: AutoRecModel,
    users: Int32Array,
    n: int,
    exclude_rated: bool = True,
    candidates: Int32Array | None = None,
) -> Ranking:
    """Rank items for users by predicted rating. Memory does not grow with the number of users.

    Parameters
    ----------
    model : AutoRecModel
    users : ndarray of int32, shape (n_users,)
        Indices; -1 for one that the model does not know, whose ranking is that of the baselines, or, where
        there are none, of the numbers of ratings.
    n : int
        Items for each user, at most.
    exclude_rated : bool, default=True
        Whether to leave out what a user has rated.
    candidates : ndarray of int32, optional
        Indices of the items to choose from, each once. Default: all of them.
    """
    items = np.arange(len(model.item_ids), dtype=np.int32) if candidates is None else candidates
    block_size = max(PAIRS_PER_BLOCK // max(len(items), 1), 1)
    positions, chosen = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    for start in range(0, len(users), block_size):
        block = users[start : start + block_size]
        scores = _scores(model, block, items)
        if exclude_rated:
            rows, columns = _rated_cells(model, block, items)
            scores[rows, columns] = -torch.inf
        best, order = scores.topk(min(n, len(items)), dim=1)
        rows, ranks = best.isfinite().nonzero(as_tuple=True)
        positions.append(rows.numpy() + start)
        chosen.append(items[order[rows, ranks].numpy()])
    return _sorted(model, users, np.concatenate(positions), np.concatenate(chosen))


def _scores(model: AutoRecModel, users: Int32Array, items: Int32Array) -> Tensor:
    """What orders items for each user, shape (n_users, n_items)."""
    biases = model.baselines.column_biases[items]
    beside_networks = (model.baselines.column_share * biases).astype(np.float32)
    scores = torch.from_numpy(beside_networks).repeat(len(users), 1)
    for network in model.networks:
        user_vectors, user_biases = (torch.from_numpy(array[users]) for array in network.users)
        item_vectors, item_biases = (torch.from_numpy(array[items]) for array in network.items)
        pre_activation = torch.addmm(user_biases.unsqueeze(1) + item_biases, user_vectors, item_vectors.T)
        scores += network.member.weight * decoder_output(
            pre_activation, model.decoder_activation, model.biased
        )
    unknown = np.flatnonzero(users < 0)
    if len(unknown):
        popularity = (
            biases if model.biased else np.bincount(model.rated.items, minlength=len(model.item_ids))[items]
        )
        scores[torch.from_numpy(unknown)] = torch.from_numpy(popularity.astype(np.float32))
    return scores


def _rated_cells(model: AutoRecModel, users: Int32Array, items: Int32Array) -> tuple[Tensor, Tensor]:
    """Which of the users (by position) have rated which of the items (by position)."""
    position = np.full(len(model.item_ids), -1)
    position[items] = np.arange(len(items))
    known = np.flatnonzero(users >= 0)
    offsets, cells = cells_of_rows(model.rated.offsets, users[known])
    rows, columns = np.repeat(known, np.diff(offsets)), position[model.rated.items[cells]]
    return torch.from_numpy(rows[columns >= 0]), torch.from_numpy(columns[columns >= 0])


def _sorted(model: AutoRecModel, users: Int32Array, positions: Int64Array, items: Int32Array) -> Ranking:
    """Rank chosen items by their exact predictions; those of equal ones by the order in which they came."""
    estimates = model.predict(users[positions], items)
    estimates[np.isnan(estimates)] = model.mean_rating
    order = np.lexsort((-estimates, positions))
    positions, items, estimates = positions[order], items[order], estimates[order]
    first = np.searchsorted(positions, positions)
    return Ranking(positions, items, np.arange(len(positions)) - first + 1, np.clip(estimates, *model.scale))


def nearest(model: AutoRecModel, side: Side, index: int, n: int) -> tuple[Int64Array, Float64Array]:
    """The users or items whose factors point most nearly in the direction of a given one's.

    Parameters
    ----------
    model : AutoRecModel
    side : {"user", "item"}
    index : int
        Of the given user or item.
    n : int
        How many, at most; the given one is not among them.

    Returns
    -------
    indices : ndarray of int64, shape (n_found,)
        The nearest first.
    similarities : ndarray of float64, shape (n_found,)
        Cosines, -1 to 1, averaged over the model's networks like its predictions.
    """
    similarities = np.zeros(len(model.ids(side)))
    for network in model.networks:
        vectors = network.factors(side).vectors
        norms = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
        similarities += network.member.weight * (vectors @ vectors[index]) / (norms * norms[index])
    others = np.delete(np.arange(len(similarities)), index)
    order = np.argsort(-similarities[others], kind="stable")[:n]
    return others[order], np.clip(similarities[others][order], -1, 1)  # rounding leads beyond
