"""Ratings in batches as arrays of indices, with the ids that they stand for."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from surprise_autorec.core.arrays import check_count


class Encoded(NamedTuple):
    """Ratings as triples of indices and values, with the ids that the indices stand for.

    Attributes
    ----------
    users, items : ndarray of int32, shape (n_ratings,)
    values : ndarray of float64, shape (n_ratings,)
    user_ids, item_ids : list of hashable
        In the order in which they appear.
    """

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    values: npt.NDArray[np.float64]
    user_ids: list[Hashable]
    item_ids: list[Hashable]


def factorized(column: pd.Series[Any]) -> tuple[npt.NDArray[np.int32], list[Hashable]]:
    """For each row the place of its id among the distinct ones, -1 if missing, and these as they appear."""
    codes, distinct = pd.factorize(column)
    ids = [one.item() if isinstance(one, np.generic) else one for one in distinct.tolist()]
    return codes.astype(np.int32), ids


class _Ids:
    """The ids of one side so far, and the indices of the batches' rows."""

    def __init__(self) -> None:
        self.index: dict[Hashable, int] = {}
        self.parts: list[npt.NDArray[np.int32]] = []

    def add(self, column: pd.Series[Any]) -> None:
        codes, ids = factorized(column)
        places = np.array([self.index.setdefault(one, len(self.index)) for one in ids], np.int32)
        self.parts.append(places[codes])


def encode(batches: Iterable[pd.DataFrame]) -> Encoded:
    """Encode batches of ratings, of which only one is in memory at a time.

    At the peak this takes 24 bytes a rating, besides ids and a batch: the result, 16, and one of its arrays
    again, as it is joined.

    Parameters
    ----------
    batches : iterable of DataFrame
        Columns user, item and rating, as from `role_batches`.

    Raises
    ------
    ValueError
        As soon as there are more ratings than int32 indices can number.
    """
    users, items = _Ids(), _Ids()
    n_ratings = 0
    values: list[npt.NDArray[np.float64]] = []
    for batch in batches:
        n_ratings += len(batch)
        check_count("ratings", n_ratings)
        users.add(batch["user"])
        items.add(batch["item"])
        values.append(batch["rating"].to_numpy(np.float64, copy=True))
    return Encoded(
        _joined(users.parts), _joined(items.parts), _joined(values), list(users.index), list(items.index)
    )


def _joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The arrays as one. They are let go."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole
