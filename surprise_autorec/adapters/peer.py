"""What all adapters share: Surprise's side of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from surprise import AlgoBase, Prediction, PredictionImpossible, Trainset

from surprise_autorec.core.arrays import Float64Array, Int32Array
from surprise_autorec.fitting import Ratings
from surprise_autorec.trainsets import UNKNOWN, predictions_of, ratings_of


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
        testset = list(testset)
        if not testset:
            return []
        users = np.array([self._user_index.get(uid, -1) for uid, _, _ in testset], np.int32)
        items = np.array([self._item_index.get(iid, -1) for _, iid, _ in testset], np.int32)
        predictions = predictions_of(self, testset, self._predict(users, items))
        if verbose:
            for prediction in predictions:
                print(prediction)  # noqa: T201 (as Surprise does)
        return predictions


def seed_of(random_state: np.random.RandomState) -> int:
    """A seed for a package that takes integers only."""
    return int(random_state.randint(np.iinfo(np.int32).max))
