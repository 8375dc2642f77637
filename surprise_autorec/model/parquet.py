"""Rankings in a Parquet file, written as they are made."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from surprise_autorec.checks import pyarrow
from surprise_autorec.core.atomic import written_whole
from surprise_autorec.model.ranking import Ranking

#: Rows of a group, at least, but for the last one: readers decode a group at a time.
GROUP_ROWS = 200_000


def write_rankings(
    path: str | os.PathLike[str],
    rankings: Iterable[Ranking],
    user_ids: Sequence[Hashable],
    item_ids: Sequence[Hashable],
    first_user: int,
) -> int:
    """Write rankings to a file: whole, or not at all.

    Parameters
    ----------
    path : str or path-like
    rankings : iterable of Ranking
        Of some users, one part after another.
    user_ids, item_ids : sequence of hashable
        Of all users and items. Ids of several types, or of one that Arrow does not have, are written as
        texts.
    first_user : int
        The place of the rankings' first user among ``user_ids``.

    Returns
    -------
    int
        Rows written.
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
