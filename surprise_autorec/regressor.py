"""AutoRec as a regressor of scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Sequence
from math import isinf
from numbers import Real
from typing import Any, Literal, NamedTuple, Unpack, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import assert_all_finite, check_X_y, validate_data

from surprise_autorec.checks import check, is_finite
from surprise_autorec.core.arrays import Float64Array, Int32Array
from surprise_autorec.data.readers import Piece, as_pandas, rating_batches
from surprise_autorec.data.tables import Encoded, encode, factorized
from surprise_autorec.display import documented, with_parameters_of
from surprise_autorec.fitted import FittedAutoRec, answered
from surprise_autorec.fitting import NO_RATINGS, Fit, Ratings, fit_model
from surprise_autorec.model import RatingScale
from surprise_autorec.parameters import AutoRecParameters, Keywords


@documented
class AutoRecRegressor(RegressorMixin, AutoRecParameters, FittedAutoRec, BaseEstimator):  # type: ignore[misc]
    """AutoRec as a regressor of scikit-learn, for ratings in arrays or DataFrames.

    ``X`` has a row for each rating, with the ids of the user and the item, and ``y`` has the ratings. Ids are
    ints or strings and need no encoding. With the same ratings, scale, parameters and seed, predictions are
    the same as those of `AutoRec`.

    Attributes
    ----------
    ratings_ : Ratings
        The training ratings, for `partial_fit` and `explain`. (A loaded regressor does not have them.)
    columns_ : tuple of int
        The positions in ``X`` of the columns of users and of items.
    n_features_in_ : int
        Number of columns of ``X``.
    feature_names_in_ : ndarray of str
        Names of the columns, if ``X`` has names.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from surprise_autorec import AutoRecRegressor, datasets
    >>> ratings = datasets.make_ratings(noise=0.2)
    >>> regressor = AutoRecRegressor(n_factors=50, rating_scale=(1, 5), random_state=0)
    >>> scores = cross_val_score(regressor, ratings[["user", "item"]], ratings["rating"], cv=3)
    >>> bool(scores.min() > 0.5)
    True
    """

    @with_parameters_of(AutoRecParameters)
    def __init__(
        self,
        *,
        user_column: Hashable = None,
        item_column: Hashable = None,
        rating_scale: tuple[float, float] | None = None,
        **parameters: Unpack[Keywords],
    ) -> None:
        """Store the parameters; `fit` checks them.

        Parameters
        ----------
        user_column : label, optional
            Name of the column with the ids of users, if ``X`` is a DataFrame. The columns of an array are
            named 0, 1, ... Default: the first column.
        item_column : label, optional
            The same for the items. Default: the second column.
        rating_scale : tuple of float, optional
            Lowest and highest rating. Predictions are clipped to this range. Default: those of ``y``.
        **parameters
            Those of `AutoRec`.
        """
        super().__init__(**parameters)
        self.user_column = user_column
        self.item_column = item_column
        self.rating_scale = rating_scale

    def fit(self, X: npt.ArrayLike | pd.DataFrame, y: npt.ArrayLike) -> AutoRecRegressor:
        """Train on ratings. An earlier fit has no influence.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n_ratings, n_columns)
            Ids of users and items.
        y : array-like of float, shape (n_ratings,)
            The ratings.

        Returns
        -------
        AutoRecRegressor
            This regressor.

        Raises
        ------
        TypeError
            If an id is not hashable.
        ValueError
            If a parameter is wrong, an id is missing, or a rating is NaN, infinite or outside
            ``rating_scale``.
        DivergenceError
            If training diverges, for example because the learning rate is too high.

        Warns
        -----
        UserWarning
            If ``X`` has more than two columns and ``user_column`` and ``item_column`` are not set. If a user
            rated an item more than once: the mean is used.
        """
        encoded = self._encoded(X, y)
        ratings = Ratings(*encoded, self._scale_of(encoded.values))
        return self._adopt(ratings, fit_model(ratings, self))

    def fit_batches(
        self, source: Piece | Iterable[Piece], rating_column: str | None = None
    ) -> AutoRecRegressor:
        """Train on ratings that are read in batches, with less memory than `fit`.

        Only one batch of the given ratings is in memory at a time. Reading needs at most 24 bytes per rating,
        and the ids. The model is the same as with `fit`.

        Parameters
        ----------
        source : path, table, or iterable of paths and tables
            Columns with the ids of users and items and with the ratings. A path is that of a file or of a
            folder of parts, in the formats of `surprise_autorec.datasets.load`. A table is a frame of pandas
            or polars, a table, record batch or reader of pyarrow, a structured array of NumPy, or a sparse
            matrix of SciPy (users in rows, items in columns; all stored elements are ratings, zeros too).
            Everything is read once, so a generator will do.
        rating_column : str, optional
            Name of the column with the ratings. Default, as for ``user_column`` and ``item_column`` here: a
            usual name, such as "rating"; see `surprise_autorec.datasets.load`.

        Returns
        -------
        AutoRecRegressor
            This regressor. `predict` takes users in the first column of ``X`` and items in the second.

        Raises
        ------
        TypeError
            If the source is neither a path nor a table.
        ValueError
            If a parameter is wrong, a column or a file does not exist or cannot be read, an id is missing,
            the ids have another type than in the batches before, or a rating is NaN, infinite or outside
            ``rating_scale``.
        ImportError
            If Parquet files, Arrow tables or frames of polars are given and pyarrow is not installed.
        DivergenceError
            If training diverges, for example because the learning rate is too high.

        Warns
        -----
        UserWarning
            If a user rated an item more than once. The mean is used.

        Examples
        --------
        >>> from surprise_autorec import AutoRecRegressor, datasets
        >>> ratings = datasets.make_ratings()
        >>> batches = (ratings[start : start + 1000] for start in range(0, len(ratings), 1000))
        >>> regressor = AutoRecRegressor(n_factors=50, rating_scale=(1, 5), random_state=0)
        >>> len(regressor.fit_batches(batches).ratings_.values)
        20000
        """
        given = {"user": self.user_column, "item": self.item_column, "rating": rating_column}
        columns = {role: str(name) for role, name in given.items() if name is not None}
        encoded = encode(rating_batches(source, columns))
        self._expect_two_columns()
        ratings = Ratings(*encoded, self._scale_of(encoded.values))
        return self._adopt(ratings, fit_model(ratings, self))

    def partial_fit(
        self, X: npt.ArrayLike | pd.DataFrame, y: npt.ArrayLike, n_epochs: int = 4
    ) -> AutoRecRegressor:
        """Continue training with more ratings. Users and items may be new. Without an earlier fit, fit.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n_ratings, n_columns)
            Ids of users and items, in columns as in `fit`.
        y : array-like of float, shape (n_ratings,)
            The ratings, on the scale of the fit. They are added to the training ratings. If a pair was rated
            before, the new rating replaces the old one.
        n_epochs : int, default=4
            Number of passes over all ratings, old and new.

        Returns
        -------
        AutoRecRegressor
            This regressor. ``ratings_`` has all ratings. ``n_iter_``, ``loss_curve_`` and
            ``validation_scores_`` are those of this training.

        Raises
        ------
        TypeError, ValueError
            As in `fit`, and if ``early_stopping`` is on (ratings held out now may have been training ratings
            before), if parameters of the network were changed since `fit`, or if the model was loaded, so
            that its training ratings are missing.
        """
        try:
            model = self._fitted_model()
        except NotFittedError:
            return self.fit(X, y)
        known = self._training_ratings()
        users, items = self._ids(self._frame(X, reset=False))
        values = self._values(y, users, items)
        ratings = known.updated(zip(users.listed(), items.listed(), values.tolist(), strict=True))
        return self._adopt(ratings, fit_model(ratings, self, model, n_epochs))

    @overload
    def predict(
        self, X: npt.ArrayLike | pd.DataFrame, return_std: Literal[False] = False
    ) -> Float64Array: ...
    @overload
    def predict(
        self, X: npt.ArrayLike | pd.DataFrame, return_std: Literal[True]
    ) -> tuple[Float64Array, Float64Array]: ...
    def predict(
        self, X: npt.ArrayLike | pd.DataFrame, return_std: bool = False
    ) -> Float64Array | tuple[Float64Array, Float64Array]:
        """Estimate ratings.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n_pairs, n_columns)
            Ids of users and items, in columns as in `fit`. Unknown users and items get estimates from the
            baselines, or the mean rating if the model is not ``biased``.
        return_std : bool, default=False
            Whether to return standard errors as well.

        Returns
        -------
        estimates : ndarray of float64, shape (n_pairs,)
            Clipped to the rating scale.
        std : ndarray of float64, shape (n_pairs,)
            The standard errors of these estimates. Only with ``return_std``.

        Raises
        ------
        ValueError
            If an id is missing, or ``return_std`` is set and the model has no standard errors.
        """
        model = self._fitted_model()
        return answered(model, *self._found(X), return_std)

    def predict_interval(self, X: npt.ArrayLike | pd.DataFrame, coverage: float = 0.9) -> Float64Array:
        """Predict intervals that contain the rating with a given probability.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n_pairs, n_columns)
            As for `predict`.
        coverage : float in (0, 1), default=0.9
            The probability.

        Returns
        -------
        ndarray of float64, shape (n_pairs, 2)
            Lower and upper bounds, clipped to the rating scale.

        Raises
        ------
        ValueError
            If an id is missing, ``coverage`` is not between 0 and 1, or the model has no standard errors.
        """
        return self._fitted_model().interval(*self._found(X), coverage)

    def _adopt(self, ratings: Ratings, fit: Fit) -> AutoRecRegressor:
        """Keep ratings and what was fitted to them."""
        self._keep(fit)
        self.ratings_ = ratings
        return self

    def _encoded(self, X: npt.ArrayLike | pd.DataFrame, y: npt.ArrayLike) -> Encoded:
        """The ratings to fit to; X says which columns there are."""
        frame = self._frame(X, reset=True)
        self.columns_ = self._chosen_columns(frame)
        users, items = self._ids(frame)
        values = self._values(y, users, items)
        return Encoded(users.codes, items.codes, values, users.distinct, items.distinct)

    def _found(self, X: npt.ArrayLike | pd.DataFrame) -> tuple[Int32Array, Int32Array]:
        """The model's indices of the users and items of X, -1 for what it does not know."""
        model = self._fitted_model()
        users, items = self._ids(self._frame(X, reset=False))
        return model.find_users(users.distinct)[users.codes], model.find_items(items.distinct)[items.codes]

    def _expect_two_columns(self) -> None:
        """Let X of `predict` have two columns, without names: users and items."""
        validate_data(self, np.empty((1, 2)), reset=True)
        self.columns_ = (0, 1)

    def _training_ratings(self) -> Ratings:
        if "ratings_" not in vars(self):
            raise ValueError(NO_RATINGS)
        return self.ratings_

    def _ratings_of_user(self, user: int) -> tuple[Int32Array, Float64Array]:
        users, items, values, *_ = self._training_ratings()
        chosen = users == user
        return items[chosen], values[chosen]

    def _frame(self, X: Any, reset: bool) -> pd.DataFrame:
        """X as a DataFrame, whose columns have a type each, after scikit-learn's checks."""
        if issparse(X):
            raise TypeError(
                "X must have a row for each rating, with a user and an item. For a sparse matrix of ratings, "
                "call fit_batches(matrix)"
            )
        X = as_pandas(X)
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        if isinstance(X, (list, tuple)):
            X = np.asarray(X, dtype=object)  # or one string among the ids would make strings of all
        array = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite=False, ensure_min_samples=0)
        return pd.DataFrame(array, dtype=array.dtype)  # (else pandas would make text of objects, or fail to)

    def _chosen_columns(self, frame: pd.DataFrame) -> tuple[int, int]:
        """Positions of the columns of users and items."""
        labels = list(frame.columns)
        if len(labels) < 2:
            raise ValueError(
                f"X must have a column of users and one of items, got {len(labels)} feature(s): {labels}"
            )
        user_column = _position("user_column", self.user_column, labels, default=0)
        item_column = _position("item_column", self.item_column, labels, default=1)
        if user_column == item_column:
            raise ValueError(f"user_column and item_column must differ, got {labels[user_column]!r} for both")
        are_named = self.user_column is not None and self.item_column is not None
        if len(labels) > 2 and not are_named:
            used = [labels[user_column], labels[item_column]]
            warnings.warn(
                f"columns of X other than {used} are ignored: "
                f"{[label for label in labels if label not in used]}. "
                "(Set user_column and item_column to silence this warning)",
                UserWarning,
                stacklevel=4,
            )
        return user_column, item_column

    def _ids(self, frame: pd.DataFrame) -> tuple[_Ids, _Ids]:
        """The columns of users and items."""
        user_column, item_column = self.columns_
        return _Ids.of(frame, user_column, "user"), _Ids.of(frame, item_column, "item")

    def _values(self, y: Any, users: _Ids, items: _Ids) -> Float64Array:
        """The ratings, after scikit-learn's checks, one for each row of X."""
        codes = np.column_stack([users.codes, items.codes])
        try:
            _, values = check_X_y(codes, y, y_numeric=True, estimator=self)
        except OverflowError as error:
            raise ValueError(f"y must be finite numbers: {error}") from None
        values = np.asarray(values, np.float64)
        assert_all_finite(values, input_name="y")  # again: None among objects has become NaN
        return values

    def _scale_of(self, values: Float64Array) -> RatingScale:
        scale = self.rating_scale
        if scale is None:
            return RatingScale(float(values.min()), float(values.max()))
        are_bounds = isinstance(scale, (tuple, list)) and len(scale) == 2
        are_bounds = are_bounds and all(isinstance(bound, Real) and is_finite(bound) for bound in scale)
        rule = "None or the lowest and the highest rating"
        check("rating_scale", scale, rule, are_bounds and scale[0] <= scale[1])
        return RatingScale(float(scale[0]), float(scale[1]))

    def _state_to_save(self) -> dict[str, Any]:
        names = self.feature_names_in_.tolist() if "feature_names_in_" in vars(self) else None
        return {
            "n_features_in_": int(self.n_features_in_),
            "feature_names_in_": names,
            "columns_": self.columns_,
        }

    def _restore(self, fit: Fit, state: dict[str, Any]) -> None:
        if state:
            self.n_features_in_, self.columns_ = state["n_features_in_"], state["columns_"]
            if state["feature_names_in_"] is not None:
                self.feature_names_in_ = np.array(state["feature_names_in_"], dtype=object)
        else:  # it was an AutoRec, which has no columns but a scale
            self.n_features_in_, self.columns_ = 2, (0, 1)
            self.rating_scale = (fit.model.scale.low, fit.model.scale.high)
        self._keep(fit)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # (Ids are categories, too. But scikit-learn 1.6 has a check that no estimator of categories passes.)
        tags.input_tags.string = True
        tags.regressor_tags.poor_score = True  # on scikit-learn's test data, whose numbers are not ids
        return tags


def _position(name: str, label: Hashable, labels: Sequence[Hashable], default: int) -> int:
    """The position of the column that a parameter names."""
    if label is None:
        return default
    if labels.count(label) != 1:
        raise ValueError(f"{name} must be the name of one column of X, which has {labels}, got {label!r}")
    return labels.index(label)


class _Ids(NamedTuple):
    """A column of ids: the distinct ones, in the order they appear, and for each row the place of its own."""

    codes: Int32Array
    distinct: list[Hashable]

    @classmethod
    def of(cls, frame: pd.DataFrame, position: int, role: str) -> _Ids:
        """Take a column. TypeError if an id is not hashable, ValueError if one is missing or infinite."""
        column = frame.iloc[:, position]
        try:
            codes, ids = factorized(column)
        except TypeError as error:
            raise TypeError(f"{role} ids, column {column.name!r} of X, must be hashable: {error}") from error
        infinite = [code for code, one in enumerate(ids) if isinstance(one, float) and isinf(one)]
        wrong = np.flatnonzero((codes == -1) | np.isin(codes, infinite))
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"{role} ids must not be missing (NaN, None) or infinite, got {column.iloc[row]} in row "
                f"{row} (from 0) and column {column.name!r} of X ({len(wrong)} of {len(column)} rows are so)"
            )
        return cls(codes, ids)

    def listed(self) -> list[Hashable]:
        """The id of each row."""
        return [self.distinct[code] for code in self.codes]
