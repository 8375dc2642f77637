"""The face toward scikit-learn."""

from __future__ import annotations

import inspect
from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from surprise_autorec.fitted import FittedAutoRec, predict_pairs
from surprise_autorec.fitting import Fit, Ratings, fit_model, refit_model
from surprise_autorec.model import RatingScale
from surprise_autorec.parameters import AutoRecParameters

FloatArray = npt.NDArray[np.float64]
IdArray = npt.NDArray[Any]


class AutoRecRegressor(RegressorMixin, AutoRecParameters, FittedAutoRec, BaseEstimator):  # type: ignore[misc]
    """AutoRec as a regressor of scikit-learn: from pairs of user and item to ratings.

    The same ratings, scale and seed give the same predictions, bit for bit, as `surprise_autorec.AutoRec`.

    Parameters
    ----------
    user_column, item_column : str, optional
        The columns of a DataFrame that hold the ids of users and items. Default: the first and the second column.
    rating_scale : tuple of float, optional
        Lowest and highest rating, to which predictions are clipped. Default: those of ``y``.
    **parameters
        Those of `surprise_autorec.AutoRec`.

    Attributes
    ----------
    model_ : AutoRecModel
        The fitted model.
    ratings_ : Ratings
        What it was trained on, for `partial_fit`. (A loaded regressor does not have it.)
    n_iter_ : int
        Epochs that were run.
    loss_curve_, validation_scores_ : list of float
        See `surprise_autorec.AutoRec`.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where ``X`` has names.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from surprise_autorec import AutoRecRegressor, datasets
    >>> ratings = datasets.make_ratings(noise=0.2)
    >>> regressor = AutoRecRegressor(n_factors=50, random_state=0)
    >>> scores = cross_val_score(regressor, ratings[["user", "item"]], ratings["rating"], cv=3)
    >>> bool(scores.min() > 0.5)  # the coefficient of determination
    True
    """

    ratings_: Ratings

    def __init__(
        self,
        user_column: str | None = None,
        item_column: str | None = None,
        rating_scale: tuple[float, float] | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__(**parameters)
        self.user_column = user_column
        self.item_column = item_column
        self.rating_scale = rating_scale

    # All parameters by name, where scikit-learn (and help) looks for them: they are declared in one place only.
    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *list(inspect.signature(__init__).parameters.values())[:-1],
            *list(inspect.signature(AutoRecParameters.__init__).parameters.values())[1:],
        ]
    )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.categorical = True
        tags.regressor_tags.poor_score = True  # on numbers that are no ids
        return tags

    def fit(self, X: Any, y: Any) -> AutoRecRegressor:
        """Train, from nothing, whatever was fitted before.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n_ratings, n_columns)
            Ids of users and items, numbers or texts, in two columns; others are left unread.
        y : array-like of float, shape (n_ratings,)
            Ratings.

        Returns
        -------
        AutoRecRegressor
            This regressor.

        Raises
        ------
        ValueError
            If a parameter breaks its rule, there are fewer than two columns, an id is missing, or a rating is NaN or
            off the scale.
        DivergenceError
            If training diverges.

        Warns
        -----
        UserWarning
            If a user rated an item more than once: the mean is used.
        """
        users, items, ratings = self._rated_columns(X, y, reset=True)
        user_codes, user_ids = pd.factorize(users)
        item_codes, item_ids = pd.factorize(items)
        low, high = (ratings.min(), ratings.max()) if self.rating_scale is None else self.rating_scale
        if not low <= high:
            raise ValueError(f"rating_scale must be a lower and a higher number, got {self.rating_scale!r}")
        self.ratings_ = Ratings(
            users=user_codes.astype(np.int32),
            items=item_codes.astype(np.int32),
            values=ratings,
            user_ids=user_ids.tolist(),
            item_ids=item_ids.tolist(),
            scale=RatingScale(float(low), float(high)),
        )
        self._keep(fit_model(self.ratings_, self))
        return self

    def partial_fit(self, X: Any, y: Any, n_epochs: int = 4) -> AutoRecRegressor:
        """Go on training from where `fit` ended, with more ratings, users and items; before any `fit`, do that.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n_ratings, n_columns)
            As in `fit`.
        y : array-like of float, shape (n_ratings,)
            Ratings, on the scale of those before. A pair that was rated before has its new rating.
        n_epochs : int, default=4
            Passes over all ratings, old and new.

        Returns
        -------
        AutoRecRegressor
            This regressor.

        Raises
        ------
        ValueError
            As in `fit`; if ``early_stopping`` is on, or parameters of the network were changed since `fit`; or where
            the ratings that were trained on are not there: a loaded regressor does not have them.
        """
        if "model_" not in vars(self):
            return self.fit(X, y)
        if "ratings_" not in vars(self):
            raise ValueError("partial_fit must have the ratings that were trained on, which a loaded regressor has not")
        users, items, ratings = self._rated_columns(X, y, reset=False)
        updated = self.ratings_.updated(zip(users.tolist(), items.tolist(), ratings, strict=True))
        self._keep(refit_model(updated, self, self.model_, n_epochs))
        self.ratings_ = updated
        return self

    def predict(self, X: Any) -> FloatArray:
        """Predict ratings.

        Parameters
        ----------
        X : array-like or DataFrame, shape (n_pairs, n_columns)
            As in `fit`. Users and items that the training ratings did not have are answered from the baselines, or,
            where not ``biased``, with the mean rating.

        Returns
        -------
        ndarray of float64, shape (n_pairs,)
            Clipped to the rating scale.
        """
        check_is_fitted(self)
        users, items = self._id_columns(X, validate_data(self, X, dtype=None, reset=False, ensure_all_finite=False))
        return predict_pairs(self.model_, users.tolist(), items.tolist())

    def _rated_columns(self, X: Any, y: Any, reset: bool) -> tuple[IdArray, IdArray, FloatArray]:
        """The columns of users and items, and the ratings, checked."""
        # (Of fewer columns than before, scikit-learn wants to hear that they are fewer than before.)
        n_columns = 2 if reset else 1
        checked, ratings = validate_data(
            self, X, y, dtype=None, y_numeric=True, reset=reset, ensure_min_features=n_columns, ensure_all_finite=False
        )
        return *self._id_columns(X, checked), np.asarray(ratings, np.float64)

    def _id_columns(self, X: Any, checked: IdArray) -> tuple[IdArray, IdArray]:
        """The columns of users and items, which are at hand by name (in X) and by number (in what is checked of it)."""
        names = [str(name) for name in X.columns] if isinstance(X, pd.DataFrame) else []
        columns = []
        for side, name, place in (("user", self.user_column, 0), ("item", self.item_column, 1)):
            if name is not None:
                if name not in names:
                    raise ValueError(f"{side}_column must be a column of X, one of {names}, got {name!r}")
                place = names.index(name)
            column = checked[:, place]
            missing = np.flatnonzero(pd.isna(column) | (pd.Series(column).isin([np.inf, -np.inf])))
            if len(missing):
                first = missing[0]
                raise ValueError(
                    f"the {side} of row {first} must be an id (not NaN, None or inf), got {column[first]!r}"
                )
            columns.append(column)
        return columns[0], columns[1]

    def _own_state(self) -> dict[str, Any]:
        names: list[Hashable] | None = None
        if "feature_names_in_" in vars(self):
            names = self.feature_names_in_.tolist()
        return {"n_features_in_": int(self.n_features_in_), "feature_names_in_": names}

    def _restore(self, fit: Fit, state: dict[str, Any]) -> None:
        self.n_features_in_ = state["n_features_in_"]
        if state["feature_names_in_"] is not None:
            self.feature_names_in_ = np.array(state["feature_names_in_"], dtype=object)
        super()._restore(fit, state)
