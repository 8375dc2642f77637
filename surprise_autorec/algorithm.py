"""AutoRec as an algorithm of Surprise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from surprise import AlgoBase, Prediction, PredictionImpossible, Trainset

from surprise_autorec.checks import positive_integer, warn_of_types
from surprise_autorec.core.arrays import Float64Array, Int32Array
from surprise_autorec.core.trained import Side
from surprise_autorec.display import documented
from surprise_autorec.fitted import FittedAutoRec
from surprise_autorec.fitting import NO_RATINGS, Fit, fit_model
from surprise_autorec.model.ranking import nearest
from surprise_autorec.parameters import AutoRecParameters
from surprise_autorec.trainsets import (
    UNKNOWN,
    TestsetColumns,
    TrainsetWithoutRatings,
    advice_about,
    predictions_of,
    ratings_of,
    trainset_of,
    triple_of,
)


@documented
class AutoRec(AutoRecParameters, FittedAutoRec, AlgoBase):  # type: ignore[misc]
    """AutoRec, an autoencoder that predicts ratings, as an algorithm of Surprise.

    ``AutoRec().fit(trainset)`` trains it; ``predict`` and ``test`` estimate ratings, ``recommend`` lists the
    best items, ``explain`` says why, ``save`` writes a file. It can be used wherever Surprise takes an
    algorithm, as in `surprise.model_selection.cross_validate` and ``GridSearchCV``.

    The defaults adapt to the ratings and need no tuning. If you do tune, begin with ``variant``,
    ``n_factors``, ``n_epochs``, ``reg_all`` and ``n_estimators``. ``AutoRec(**surprise_autorec.BEST)`` has
    the smallest error, and takes several times as long. ``AutoRec(**surprise_autorec.PAPER)`` is the model of
    the paper (Sedhain, Menon, Sanner, Xie, WWW 2015).

    Attributes
    ----------
    trainset : surprise.Trainset
        What `fit` was given.
    bu, bi : ndarray of float, shapes (n_users,) and (n_items,)
        Baseline biases in rating points, by inner id (zeros where not ``biased``).

    Examples
    --------
    >>> from surprise import Dataset, Reader
    >>> from surprise.model_selection import cross_validate
    >>> from surprise_autorec import AutoRec, datasets
    >>> data = Dataset.load_from_df(datasets.make_ratings(noise=0.2), Reader(rating_scale=(1, 5)))
    >>> result = cross_validate(AutoRec(n_factors=50, random_state=0), data, cv=3)
    >>> bool(result["test_rmse"].max() < 0.5)
    True
    """

    def fit(self, trainset: Trainset) -> AutoRec:
        """Train on a trainset. An earlier fit has no influence.

        Parameters
        ----------
        trainset : surprise.Trainset

        Returns
        -------
        AutoRec
            This algorithm.

        Raises
        ------
        TypeError
            If ``trainset`` is not a Trainset.
        ValueError
            If a parameter is wrong, there are no ratings, or a rating is NaN or outside the rating scale.
        DivergenceError
            If training diverges, for example because the learning rate is too high.

        Warns
        -----
        UserWarning
            If a user rated an item more than once. The mean is used.
        """
        if not isinstance(trainset, Trainset):
            raise TypeError(advice_about(trainset))
        self._adopt(trainset, fit_model(ratings_of(trainset), self))
        return self

    def partial_fit(self, ratings: Iterable[tuple[Any, ...]], n_epochs: int = 4) -> AutoRec:
        """Continue training with more ratings. Users and items may be new.

        Parameters
        ----------
        ratings : iterable of (uid, iid, rating) or (uid, iid, rating, timestamp)
            With raw ids, as in ``surprise.Dataset.raw_ratings``. They are added to the training ratings. If a
            pair was rated before, the new rating replaces the old one.
        n_epochs : int, default=4
            Number of passes over all ratings, old and new.

        Returns
        -------
        AutoRec
            This algorithm. ``trainset`` has all ratings. ``n_iter_``, ``loss_curve_`` and
            ``validation_scores_`` are those of this training.

        Raises
        ------
        ValueError
            If a rating is NaN or outside the rating scale; if ``early_stopping`` is on (ratings held out now
            may have been training ratings before); if parameters of the network were changed since `fit`; or
            if the model was loaded, so that its training ratings are missing. The algorithm is not changed.
        DivergenceError
            If training diverges. The algorithm is not changed.

        Examples
        --------
        >>> from surprise import Dataset, Reader
        >>> from surprise_autorec import AutoRec, datasets
        >>> data = Dataset.load_from_df(datasets.make_ratings(), Reader(rating_scale=(1, 5)))
        >>> algorithm = AutoRec(n_factors=16, n_epochs=3, random_state=0).fit(data.build_full_trainset())
        >>> prediction = algorithm.partial_fit([("ann", 7, 4.5), ("ann", 3, 1.0)]).predict("ann", 8)
        >>> prediction.details["was_impossible"]
        False
        """
        model = self._fitted_model()
        updated = ratings_of(self.trainset).updated(map(triple_of, ratings))
        fit = fit_model(updated, self, model, n_epochs)
        self._adopt(trainset_of(updated), fit)
        return self

    def _adopt(self, trainset: Trainset, fit: Fit) -> None:
        """Keep a trainset and what was fitted to it."""
        AlgoBase.fit(self, trainset)
        self._keep(fit)
        unit, baselines = self.model_.scale.unit, self.model_.baselines
        self.bu, self.bi = baselines.row_biases * unit, baselines.column_biases * unit

    def _state_to_save(self) -> dict[str, Any]:
        return {}

    def _restore(self, fit: Fit, state: dict[str, Any]) -> None:  # noqa: ARG002 (there is none)
        self._adopt(TrainsetWithoutRatings(fit.model), fit)

    def _ratings_of_user(self, user: int) -> tuple[Int32Array, Float64Array]:
        if isinstance(self.trainset, TrainsetWithoutRatings):
            raise ValueError(NO_RATINGS)
        items, values = zip(*self.trainset.ur[user], strict=True)
        return np.array(items, np.int32), np.array(values, np.float64)

    def compute_baselines(self) -> tuple[Float64Array, Float64Array]:
        """Baseline biases of users and items in rating points, by ``bsl_options``, whether ``biased`` or not.

        `compute_similarities` needs them if the name in ``sim_options`` is "pearson_baseline".

        Returns
        -------
        bu, bi : ndarray of float, shapes (n_users,) and (n_items,)
            By inner id.

        Raises
        ------
        ValueError
            If the model is not ``biased`` and was loaded, because it does not have the ratings.
        """
        if self.model_.biased:
            return self.bu, self.bi
        algorithm = AlgoBase(bsl_options=self.bsl_options or {})
        algorithm.fit(self.trainset)
        algorithm.verbose = False
        return algorithm.compute_baselines()  # type: ignore[no-any-return]

    def get_neighbors(self, iid: int, k: int) -> list[int]:
        """The nearest neighbours of an item, by the network's factors.

        Parameters
        ----------
        iid : int
            Inner id of an item, or of a user if ``variant="user"``.
        k : int
            How many.

        Returns
        -------
        list of int
            Inner ids, the nearest first.

        Raises
        ------
        ValueError
            If there is no such inner id, or ``k`` is not a positive integer.
        """
        model = self._fitted_model()
        side: Side = "user" if self.variant == "user" else "item"
        size = len(model.ids(side))
        if iid not in range(size):
            raise ValueError(f"iid must be an inner id of the {side}s, 0 to {size - 1}, got {iid!r}")
        indices, _ = nearest(model, side, iid, positive_integer("k", k))
        return [int(index) for index in indices]

    def estimate(self, u: int | str, i: int | str) -> float:
        """Estimate the rating of an item by a user, given by inner ids. `predict` takes raw ids.

        Raises
        ------
        surprise.PredictionImpossible
            If the user or the item is unknown and the model has no baselines.
        """
        user = int(u) if self.trainset.knows_user(u) else -1
        item = int(i) if self.trainset.knows_item(i) else -1
        if user >= 0 and item >= 0:
            return self.model_.estimate(user, item)
        if not self.model_.biased:
            raise PredictionImpossible(UNKNOWN)
        return float(self.model_.predict(np.array([user]), np.array([item]))[0])

    def predict(
        self, uid: Any, iid: Any, r_ui: float | None = None, clip: bool = True, verbose: bool = False
    ) -> Prediction:
        """Estimate the rating of an item by a user, with its standard error.

        Parameters
        ----------
        uid, iid : user id, item id
            Raw ids, of the same types as in the training ratings.
        r_ui : float, optional
            The true rating, which is copied to the prediction.
        clip : bool, default=True
            Whether to clip the estimate to the rating scale.
        verbose : bool, default=False
            Whether to print the prediction.

        Returns
        -------
        surprise.Prediction
            ``details`` has ``was_impossible``, and ``unknown_user`` or ``unknown_item`` if they are unknown.
            With ``uncertainty``, ``details["std"]`` is the standard error of the (clipped) estimate.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the algorithm is not fitted.

        Warns
        -----
        UserWarning
            If an id is unknown, but the same id as text, or as a number, is known.
        """
        model = self._fitted_model()
        prediction = super().predict(uid, iid, r_ui, clip)
        for role, one, known in (("user", uid, model.user_index), ("item", iid, model.item_index)):
            if one not in known:
                prediction.details[f"unknown_{role}"] = True
                warn_of_types(role, [one], known, stacklevel=2)
        if model.errors is not None:
            user, item = model.user_index.get(uid, -1), model.item_index.get(iid, -1)
            answer = min(max(prediction.est, model.scale.low), model.scale.high)
            prediction.details["std"] = float(model.std(user, item, answer))
        if verbose:
            print(prediction)  # noqa: T201 (as Surprise does)
        return prediction

    def test(
        self,
        testset: Iterable[tuple[Any, Any, float | None]],
        verbose: bool = False,
        return_std: bool = False,
    ) -> list[Prediction]:
        """Predict all ratings of a test set at once.

        Parameters
        ----------
        testset : iterable of (uid, iid, r_ui)
            Raw ids and true ratings, as Surprise's splitters make them.
        verbose : bool, default=False
            Whether to print each prediction.
        return_std : bool, default=False
            Whether to add standard errors to the details, as `predict` does.

        Returns
        -------
        list of surprise.Prediction
            The predictions, as from `predict`.

        Raises
        ------
        ValueError
            If ``return_std`` is set and the model has no standard errors.
        """
        columns, model = TestsetColumns.of(testset), self._fitted_model()
        users, items = model.find_users(columns.uids), model.find_items(columns.iids)
        predictions = predictions_of(self, columns, model.predict(users, items))
        for position in np.flatnonzero((users < 0) | (items < 0)):
            for role, indices in (("user", users), ("item", items)):
                if indices[position] < 0:
                    predictions[position].details[f"unknown_{role}"] = True
        if return_std:
            estimates = np.array([prediction.est for prediction in predictions])
            errors = model.std(users, items, estimates).tolist()
            for prediction, std in zip(predictions, errors, strict=True):
                prediction.details["std"] = std
        if verbose:
            for prediction in predictions:
                print(prediction)  # noqa: T201 (as Surprise does)
        return predictions

    def predict_interval(self, testset: Iterable[tuple[Any, ...]], coverage: float = 0.9) -> Float64Array:
        """Predict intervals that contain the rating with a given probability.

        Parameters
        ----------
        testset : iterable of (uid, iid) or (uid, iid, r_ui)
            Raw ids. True ratings are ignored.
        coverage : float in (0, 1), default=0.9
            The probability.

        Returns
        -------
        ndarray of float64, shape (n_pairs, 2)
            Lower and upper bounds, clipped to the rating scale.

        Raises
        ------
        ValueError
            If ``coverage`` is not between 0 and 1, ``testset`` is something else, or the model has no
            standard errors.
        """
        model, pairs = self._fitted_model(), list(map(_pair, testset))
        uids, iids = ([pair[place] for pair in pairs] for place in (0, 1))
        return model.interval(model.find_users(uids), model.find_items(iids), coverage)


def _pair(row: Any) -> tuple[Any, Any]:
    """The ids of a user and an item, without the rating that may follow."""
    if not isinstance(row, (tuple, list, np.ndarray)) or len(row) < 2:
        raise ValueError(f"testset must be a list of (uid, iid) or (uid, iid, r_ui), got {row!r} in it")
    return row[0], row[1]
