"""Rating predictors of LensKit (https://lenskit.org): ``pip install 'surprise-autorec[lenskit]'``."""

from __future__ import annotations

import copy
import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from surprise.utils import get_rng

from surprise_autorec.adapters.peer import Peer, seed_of
from surprise_autorec.core.arrays import Float64Array, Int32Array
from surprise_autorec.fitting import Ratings


class LensKit(Peer):
    """A scorer of LensKit as an algorithm of Surprise.

    Predictions come from LensKit's pipeline for rating prediction: where the scorer has none, LensKit's own
    bias model predicts.

    Parameters
    ----------
    scorer : lenskit.pipeline.Component
        A scorer for explicit ratings, such as ``lenskit.als.BiasedMFScorer(features=50)``. It is copied, so
        that one scorer can serve several algorithms.
    random_state : int, RandomState instance or None, default=None
        As in Surprise.
    """

    def __init__(self, scorer: Any, random_state: int | np.random.RandomState | None = None) -> None:
        super().__init__()
        self.scorer = scorer
        self.random_state = random_state

    def _train(self, ratings: Ratings) -> None:
        from lenskit.data import from_interactions_df
        from lenskit.pipeline import predict_pipeline
        from lenskit.training import TrainingOptions

        _set_up_threads()
        users, items, values = ratings[:3]
        frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": values})
        self._pipeline = predict_pipeline(copy.deepcopy(self.scorer))
        seed = seed_of(get_rng(self.random_state))
        self._pipeline.train(from_interactions_df(frame), TrainingOptions(rng=seed))

    def _predict(self, users: Int32Array, items: Int32Array) -> Float64Array:
        from lenskit.batch import predict
        from lenskit.data import ItemList, RecQuery

        places = pd.Series(range(len(users))).groupby(users).indices
        # An item may be in a query of LensKit only once, and all unknown ones are the same.
        asked = {user: np.unique(items[place], return_inverse=True) for user, place in places.items()}
        queries = [(RecQuery(user_id=user), ItemList(item_ids=ids)) for user, (ids, _) in asked.items()]
        with warnings.catch_warnings():
            # An unknown user has none.
            warnings.filterwarnings("ignore", "no query items")
            answers = list(predict(self._pipeline, queries, n_jobs=1))
        estimates = np.full(len(users), np.nan)
        for key, predicted in answers:
            _, positions = asked[key.user_id]
            estimates[places[key.user_id]] = predicted.scores()[positions]
        return estimates


@cache
def _set_up_threads() -> None:
    """Leave torch the number of threads that it has. By itself, LensKit would reduce it for the process."""
    from lenskit.parallel import initialize

    with warnings.catch_warnings():
        # Torch cannot change this number after it was in use. LensKit does not need it.
        warnings.filterwarnings("ignore", "failed to set interop threads", RuntimeWarning)
        initialize(backend_threads=torch.get_num_threads())
