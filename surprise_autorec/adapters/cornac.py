"""Rating predictors of Cornac (https://cornac.preferred.ai): ``pip install 'surprise-autorec[cornac]'``."""

from __future__ import annotations

from typing import Any

import numpy as np

from surprise_autorec.adapters.peer import Peer
from surprise_autorec.core.arrays import Float64Array, Int32Array
from surprise_autorec.fitting import Ratings


class Cornac(Peer):
    """A model of Cornac as an algorithm of Surprise.

    Predictions are what the model's method ``rate`` returns. For an unknown user or item there is none
    (Cornac's own evaluation leaves them out, and some of its models fail on them), so that Surprise takes the
    mean rating.

    Parameters
    ----------
    model : cornac.models.Recommender
        A model that predicts ratings from ratings alone, such as ``cornac.models.MF(seed=0)``. Each fit
        trains a clone of it, because most models of Cornac, fitted again, would start from their old factors.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def _train(self, ratings: Ratings) -> None:
        from cornac.data import Dataset

        n_users, n_items = len(ratings.user_ids), len(ratings.item_ids)
        cells = ratings.users.astype(np.int64), ratings.items.astype(np.int64), ratings.values
        ids = [{index: index for index in range(size)} for size in (n_users, n_items)]
        self._fitted = self.model.clone().fit(Dataset(n_users, n_items, *ids, cells))

    def _predict(self, users: Int32Array, items: Int32Array) -> Float64Array:
        estimates = np.full(len(users), np.nan)
        known = np.flatnonzero((users >= 0) & (items >= 0))
        pairs = zip(users[known].tolist(), items[known].tolist(), strict=True)
        estimates[known] = [self._fitted.rate(user, item, clipping=False) for user, item in pairs]
        return estimates
