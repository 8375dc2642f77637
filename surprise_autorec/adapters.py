"""Rating predictors of other packages as algorithms of Surprise.

The packages are extras: ``pip install 'surprise-autorec[lenskit,cornac,myfm]'``.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix
from surprise import AlgoBase, Prediction, PredictionImpossible, Trainset
from surprise.utils import get_rng

from surprise_autorec.core.arrays import Float64Array, Int32Array
from surprise_autorec.fitting import Ratings
from surprise_autorec.trainsets import UNKNOWN, TestsetColumns, predictions_of, ratings_of

__all__ = ["Cornac", "LensKit", "MyFM"]


class Peer(AlgoBase, ABC):  # type: ignore[misc]
    """A rating predictor of another package. A subclass says how it is trained and how it predicts."""

    @abstractmethod
    def _train(self, ratings: Ratings) -> None:
        """Train the other package's model, from nothing."""

    @abstractmethod
    def _predict(self, users: Int32Array, items: Int32Array) -> Float64Array:
        """Predict ratings of items by users, given by inner ids; -1 is an unknown one.

        The result is NaN where the model has no prediction.
        """

    def fit(self, trainset: Trainset) -> Peer:
        """Train a new model on a trainset.

        Parameters
        ----------
        trainset : surprise.Trainset

        Raises
        ------
        ImportError
            If the other package is not installed.
        """
        super().fit(trainset)
        ratings = ratings_of(trainset)
        self._train(ratings)
        self._user_index = {uid: index for index, uid in enumerate(ratings.user_ids)}
        self._item_index = {iid: index for index, iid in enumerate(ratings.item_ids)}
        return self

    def estimate(self, u: int | str, i: int | str) -> float:
        """Estimate the rating of an item by a user, given by inner ids. `predict` takes raw ids.

        Raises
        ------
        surprise.PredictionImpossible
            If the other package has no prediction for them.
        """
        user = int(u) if self.trainset.knows_user(u) else -1
        item = int(i) if self.trainset.knows_item(i) else -1
        estimate = float(self._predict(np.array([user], np.int32), np.array([item], np.int32))[0])
        if np.isnan(estimate):
            raise PredictionImpossible(UNKNOWN)
        return estimate

    def test(
        self, testset: Iterable[tuple[Any, Any, float | None]], verbose: bool = False
    ) -> list[Prediction]:
        """Predict every rating of a test set, all at once.

        Parameters
        ----------
        testset : iterable of (uid, iid, r_ui)
            Raw ids and true ratings.
        verbose : bool, default=False
            Whether to print each prediction.

        Returns
        -------
        list of surprise.Prediction
            What `predict` returns for each.
        """
        columns = TestsetColumns.of(testset)
        if not columns.uids:
            return []
        users = np.array([self._user_index.get(uid, -1) for uid in columns.uids], np.int32)
        items = np.array([self._item_index.get(iid, -1) for iid in columns.iids], np.int32)
        predictions = predictions_of(self, columns, self._predict(users, items))
        if verbose:
            for prediction in predictions:
                print(prediction)  # noqa: T201 (as Surprise does)
        return predictions


def seed_of(random_state: np.random.RandomState) -> int:
    """A seed for a package that takes integers only."""
    return int(random_state.randint(np.iinfo(np.int32).max))


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
        users, items, values = ratings[:3]
        cells = users.astype(np.int64), items.astype(np.int64), values
        ids = [{index: index for index in range(size)} for size in (n_users, n_items)]
        self._fitted = self.model.clone().fit(Dataset(n_users, n_items, *ids, cells))

    def _predict(self, users: Int32Array, items: Int32Array) -> Float64Array:
        estimates = np.full(len(users), np.nan)
        known = np.flatnonzero((users >= 0) & (items >= 0))
        pairs = zip(users[known].tolist(), items[known].tolist(), strict=True)
        estimates[known] = [self._fitted.rate(user, item, clipping=False) for user, item in pairs]
        return estimates


class MyFM(Peer):
    """myFM's Gibbs sampler for factorisation machines, of users and items, as an algorithm of Surprise.

    Parameters
    ----------
    rank : int, default=10
        Number of factors.
    n_iter : int, default=100
        Number of iterations. All but the first five are averaged, as in myFM.
    random_state : int, RandomState instance or None, default=None
        As in Surprise.
    verbose : bool, default=False
        Whether to show the progress bar of myFM.
    """

    def __init__(
        self,
        rank: int = 10,
        n_iter: int = 100,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.rank = rank
        self.n_iter = n_iter
        self.random_state = random_state
        self.verbose = verbose

    def _train(self, ratings: Ratings) -> None:
        with warnings.catch_warnings():
            # myFM imports pkg_resources, which warns that it will disappear.
            warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
            from myfm import MyFMRegressor

        self._n_users, self._n_items = len(ratings.user_ids), len(ratings.item_ids)
        self._model = MyFMRegressor(rank=self.rank, random_seed=seed_of(get_rng(self.random_state)))
        with contextlib.nullcontext() if self.verbose else contextlib.redirect_stderr(io.StringIO()):
            self._model.fit(
                self._features(ratings.users, ratings.items),
                ratings.values,
                n_iter=self.n_iter,
                group_shapes=[self._n_users, self._n_items],
            )

    def _predict(self, users: Int32Array, items: Int32Array) -> Float64Array:
        return np.asarray(self._model.predict(self._features(users, items)), np.float64)

    def _features(self, users: Int32Array, items: Int32Array) -> csr_matrix:
        """A row for each pair, with a one for the user and a one for the item; none for an unknown one."""
        columns = np.stack([users, items + self._n_users], axis=1)
        is_known = np.stack([users, items], axis=1) >= 0
        offsets = np.concatenate([[0], np.cumsum(is_known.sum(axis=1))])
        shape = (len(users), self._n_users + self._n_items)
        return csr_matrix((np.ones(is_known.sum()), columns[is_known], offsets), shape)
