"""Bayesian factorisation by myFM (https://myfm.readthedocs.io): ``pip install 'surprise-autorec[myfm]'``."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
from scipy.sparse import csr_matrix
from surprise.utils import get_rng

from surprise_autorec.adapters.peer import Peer, seed_of
from surprise_autorec.core.arrays import Float64Array, Int32Array
from surprise_autorec.fitting import Ratings


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
