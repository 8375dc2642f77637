"""The best items for users, also as a file, and what resembles what, by the factors of a fitted model."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from surprise_autorec.checks import pyarrow
from surprise_autorec.core.arrays import Float32Array, Float64Array, Int32Array, Int64Array
from surprise_autorec.core.atomic import written_whole
from surprise_autorec.core.network import decoder_output
from surprise_autorec.core.ratings import cells_of_rows
from surprise_autorec.core.trained import Side
from surprise_autorec.model.scoring import AutoRecModel

#: Scores are computed for so many pairs at a time.
PAIRS_PER_BLOCK = 4_000_000
#: More items than asked for are chosen by these scores, which are rounded differently in blocks of different
#: sizes. The exact predictions then decide.
SPARE = 8
#: Groups of fewer columns are not worth their while.
SMALLEST_GROUP = 4
#: Rows of a group in a Parquet file, at least, but for the last one: readers decode a group at a time.
GROUP_ROWS = 200_000


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
    """Rank items for users by predicted rating, see `rank_blocks`."""
    blocks = rank_blocks(model, users, n, exclude_rated, candidates)
    return Ranking(*map(np.concatenate, zip(*blocks, strict=True)))


def rank_blocks(
    model: AutoRecModel,
    users: Int32Array,
    n: int,
    exclude_rated: bool = True,
    candidates: Int32Array | None = None,
) -> Iterator[Ranking]:
    """Rank items for users by predicted rating. Memory does not grow with the number of users.

    ``users`` are indices; -1 is one that the model does not know, whose ranking is that of the baselines, or,
    where there are none, of the numbers of ratings. Each gets ``n`` items at most. ``candidates`` are the
    indices of the items to choose from, each once; by default, all of them. Yields the rankings of some of
    the users, in order; of none of them if there are none.
    """
    items = np.arange(len(model.item_ids), dtype=np.int32) if candidates is None else candidates
    block_size = max(PAIRS_PER_BLOCK // max(len(items), 1), 1)
    scores_of = _scorer(model, items)
    n_chosen = min(n + SPARE, len(items))
    for start in range(0, max(len(users), 1), block_size):
        block = users[start : start + block_size]
        scores = scores_of(block)
        if exclude_rated:
            rows, columns = _rated_cells(model, block, items)
            scores[rows, columns] = -torch.inf
        best, order = _largest(scores, n_chosen)
        rows, columns = best.isfinite().nonzero(as_tuple=True)
        positions, best_items, ranks, estimates = _sorted(
            model, block, rows.numpy(), items[order[rows, columns].numpy()]
        )
        kept = ranks <= n
        yield Ranking(positions[kept] + start, best_items[kept], ranks[kept], estimates[kept])


def _scorer(model: AutoRecModel, items: Int32Array) -> Callable[[Int32Array], Tensor]:
    """From users to what orders the items for each of them, shape (n_users, n_items)."""
    all_biases = model.baselines.column_biases[items]
    counts = np.bincount(model.rated.items, minlength=len(model.item_ids))[items]
    popularity = torch.from_numpy((all_biases if model.biased else counts).astype(np.float32))
    biases = (model.baselines.column_share * all_biases).astype(np.float32)  # what stands beside the networks
    vectors = [network.items.vectors[items] for network in model.networks]
    network_biases = [network.items.biases[items] for network in model.networks]
    if model.decoder_activation == "identity":
        weights = [network.member.weight for network in model.networks]
        biases = biases + np.average(network_biases, axis=0, weights=weights).astype(np.float32)
        score = partial(_products, model, torch.from_numpy(biases), torch.from_numpy(np.hstack(vectors)))
    else:
        score = partial(_sums, model, torch.from_numpy(biases), vectors, network_biases)

    def scores_of(users: Int32Array) -> Tensor:
        scores = score(users)
        scores[torch.from_numpy(np.flatnonzero(users < 0))] = popularity
        return scores

    return scores_of


def _products(model: AutoRecModel, biases: Tensor, vectors: Tensor, users: Int32Array) -> Tensor:
    """Scores where the decoder's output function is the identity: a single product.

    What is the same for all items does not change their order, and is left out: the biases of the user.
    """
    weighted = [network.member.weight * network.users.vectors[users] for network in model.networks]
    return torch.addmm(biases, torch.from_numpy(np.hstack(weighted)), vectors.T)


def _sums(
    model: AutoRecModel,
    biases: Tensor,
    vectors: Sequence[Float32Array],
    network_biases: Sequence[Float32Array],
    users: Int32Array,
) -> Tensor:
    """Scores with any output function: the sum of the networks' outputs."""
    scores = biases.repeat(len(users), 1)
    for network, item_vectors, item_biases in zip(model.networks, vectors, network_biases, strict=True):
        user_vectors, user_biases = (torch.from_numpy(array[users]) for array in network.users)
        pre_activation = torch.addmm(
            user_biases.unsqueeze(1) + torch.from_numpy(item_biases),
            user_vectors,
            torch.from_numpy(item_vectors).T,
        )
        output = decoder_output(pre_activation, model.decoder_activation, model.biased)
        scores += network.member.weight * output
    return scores


def _largest(scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n largest scores of each row, in descending order, and their columns.

    Columns are taken as groups. The n largest are in the n groups with the largest maxima, and to find these
    takes less time than to look for the n largest among all.
    """
    n_columns = scores.shape[1]
    group_size = isqrt(n_columns // n) if n else 0
    n_groups = n_columns // max(group_size, 1)
    if group_size < SMALLEST_GROUP:
        return scores.topk(n, dim=1)
    n_grouped = group_size * n_groups
    # Neighbours are in different groups: maxima of whole rows of numbers are faster. So is NumPy's.
    maxima = scores[:, :n_grouped].numpy().reshape(len(scores), group_size, n_groups).max(1)
    groups = torch.from_numpy(maxima).topk(n, dim=1).indices
    columns = (groups.unsqueeze(2) + torch.arange(0, n_grouped, n_groups)).flatten(1)
    rest = torch.arange(n_grouped, n_columns).expand(len(scores), -1)
    columns = torch.cat([columns, rest], 1)
    largest, order = scores.gather(1, columns).topk(n, dim=1)
    return largest, columns.gather(1, order)


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
    """The users or items whose factors point most nearly in the direction of a given one's, nearest first.

    ``index`` is that of the given one, which is not among them, and ``n`` the largest number of them. Returns
    their indices and similarities: cosines, -1 to 1, averaged over the model's networks like its predictions.
    """
    similarities = np.zeros(len(model.ids(side)))
    for network in model.networks:
        vectors = network.factors(side).vectors
        norms = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
        similarities += network.member.weight * (vectors @ vectors[index]) / (norms * norms[index])
    others = np.delete(np.arange(len(similarities)), index)
    order = np.argsort(-similarities[others], kind="stable")[:n]
    return others[order], np.clip(similarities[others][order], -1, 1)  # rounding leads beyond


def write_rankings(
    path: str | os.PathLike[str],
    rankings: Iterable[Ranking],
    user_ids: Sequence[Hashable],
    item_ids: Sequence[Hashable],
    first_user: int,
) -> int:
    """Write rankings to a Parquet file, as they are made: whole, or not at all. Returns the number of rows.

    The rankings are those of some users, one part after another; ``first_user`` is the place of the first of
    them among ``user_ids``, which are those of all users. Ids of several types, or of one that Arrow does not
    have, are written as texts.
    """
    pa = pyarrow("a .parquet file")
    users, items = _ids(pa, user_ids), _ids(pa, item_ids)
    schema = pa.schema({"user": users.type, "item": items.type, "rank": pa.int64(), "estimate": pa.float64()})
    n_rows, waiting, n_waiting = 0, [], 0
    with written_whole(path) as file, pa.parquet.ParquetWriter(file, schema) as writer:
        for positions, best, ranks, estimates in rankings:
            columns = [
                users.take(pa.array(positions + first_user)),
                items.take(pa.array(best)),
                ranks,
                estimates,
            ]
            waiting.append(pa.record_batch(columns, schema=schema))
            n_waiting += len(ranks)
            n_rows += len(ranks)
            if n_waiting >= GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting, n_waiting = [], 0
        writer.write_table(pa.Table.from_batches(waiting, schema))
    return n_rows


def _ids(pa: Any, ids: Sequence[Hashable]) -> Any:
    """Ids as an Arrow array, of texts if they are of several types or of one that Arrow does not have."""
    try:
        if len({type(one) for one in ids}) <= 1:
            with suppress(OverflowError, pa.ArrowException):
                return pa.array(ids)
        return pa.array(map(str, ids))
    except UnicodeEncodeError as error:
        raise ValueError(f"ids in a .parquet file must be texts in Unicode, got {error.object!r}") from None
