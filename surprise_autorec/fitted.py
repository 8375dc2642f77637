"""The methods of every fitted AutoRec: new users and items, explanations, rankings, files."""

from __future__ import annotations

import inspect
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, final, overload

import numpy as np
import numpy.typing as npt

from surprise_autorec.checks import check, hint_of_type, is_positive_integer, positive_integer
from surprise_autorec.core.arrays import Float64Array, Int32Array
from surprise_autorec.core.trained import Side, other_side
from surprise_autorec.core.training import Epoch
from surprise_autorec.display import as_card, as_text, changed_parameters, parameters_of
from surprise_autorec.fitting import Fit, Ratings, numbers
from surprise_autorec.model import AutoRecModel
from surprise_autorec.model.explanation import Explanation, explain
from surprise_autorec.model.files import SavedModel, problems_named, read, write
from surprise_autorec.model.ranking import nearest, rank_blocks, rank_items, write_rankings

if TYPE_CHECKING:
    import pandas as pd


class FittedAutoRec(ABC):
    """Base of the classes that train AutoRec: their methods after a fit.

    Ids are the same, and of the same types, as in the training ratings.

    Attributes
    ----------
    model_ : AutoRecModel
        The fitted model.
    n_iter_ : int
        Epochs that were run.
    loss_curve_ : list of float
        Loss per rating of each epoch: squared error, in squared rating points and with dropout, plus the
        penalty.
    validation_scores_ : list of float
        With ``early_stopping``, the RMSE of each epoch on the ratings held out; else empty.
    """

    model_: AutoRecModel
    n_iter_: int
    loss_curve_: list[float]
    validation_scores_: list[float]

    @abstractmethod
    def _state_to_save(self) -> dict[str, Any]:
        """What to save besides the model and the parameters: texts, numbers, and lists of them, by name."""

    @abstractmethod
    def _restore(self, fit: Fit, state: dict[str, Any]) -> None:
        """Become what was saved, from its fit and its state."""

    @abstractmethod
    def _ratings_of_user(self, user: int) -> tuple[Int32Array, Float64Array]:
        """The items (indices) that a user (an index) rated in training, and the ratings.

        Raises ValueError if they are not there: a loaded model does not have them.
        """

    @final
    def _keep(self, fit: Fit) -> None:
        """Keep the outcome of a fit."""
        self.model_, epochs = fit
        self.n_iter_ = len(epochs)
        self.loss_curve_ = [epoch.loss for epoch in epochs]
        self.validation_scores_ = [
            epoch.validation_rmse for epoch in epochs if epoch.validation_rmse is not None
        ]

    def __repr__(self) -> str:
        return as_text(type(self).__name__, changed_parameters(self))

    def _repr_html_(self) -> str:
        """Make a card for notebooks."""
        facts: list[str] = []
        losses: list[float] = []
        if "model_" in vars(self):
            facts, losses = [f"fitted: {self.model_}", f"epochs: {self.n_iter_}"], self.loss_curve_
            if self.validation_scores_:
                facts.append(f"validation RMSE: {min(self.validation_scores_):.4f}")
        changed, parameters = changed_parameters(self), parameters_of(self)
        return as_card(type(self).__name__, changed, parameters, facts, losses)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """The same, where scikit-learn would show a card of its own."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    @final
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted algorithm to a file, for `surprise_autorec.load`.

        The file contains arrays in the safetensors format, and ids and parameters as JSON. Nothing is
        pickled, and nothing in it is executed. It contains which pairs were rated, for `recommend`, but not
        the ratings. It is written completely or not at all.

        Parameters
        ----------
        path : str or path-like
            Usually it ends in ``.safetensors``.

        Raises
        ------
        ValueError
            If an id or a parameter has a type that cannot be written. Ids may be texts and numbers.

        Warns
        -----
        UserWarning
            If there are ``callbacks``, because they are not written.
        """
        model, name = self._fitted_model(), type(self).__name__
        if type(self).__module__.partition(".")[0] != __package__:  # a file cannot hold a subclass's code
            raise ValueError(f"only AutoRec and AutoRecRegressor can be saved, got {name}")
        parameters = parameters_of(self)
        if parameters["callbacks"]:
            warnings.warn(
                "callbacks cannot be saved: the loaded algorithm will have none", UserWarning, stacklevel=2
            )
        parameters["callbacks"] = ()
        curves = self.loss_curve_, self.validation_scores_
        write(path, SavedModel(name, parameters, self._state_to_save(), model, *curves))

    @classmethod
    def load(cls, path: str | os.PathLike[str], verify: bool = True) -> Self:
        """Load a model that was saved by `AutoRec` or by `AutoRecRegressor`.

        Parameters
        ----------
        path : str or path-like
        verify : bool, default=True
            Whether to compare the checksum; see `surprise_autorec.load`.

        Returns
        -------
        AutoRec or AutoRecRegressor
            An object of this class, with the same predictions, bit for bit, as the saved one.

        Raises
        ------
        ModelFileError
            If the file is not a saved model, is damaged, or was written by a newer version.
        FileNotFoundError
            If there is no such file.
        """
        return cls._of_saved(path, read(path, verify))

    @final
    @classmethod
    def _of_saved(cls, path: str | os.PathLike[str], saved: SavedModel) -> Self:
        """What was read from a file, as an object of this class."""
        parameters = dict(saved.parameters)
        if saved.class_name != cls.__name__:  # only those that both have
            known = inspect.signature(cls).parameters
            parameters = {name: value for name, value in parameters.items() if name in known}
        losses = saved.loss_curve
        scores: Sequence[float | None] = saved.validation_scores or [None] * len(losses)
        with problems_named(path):
            curves = enumerate(zip(losses, scores, strict=True), start=1)
            epochs = [Epoch(number, len(losses), loss, score) for number, (loss, score) in curves]
            algorithm = cls(**parameters)
            algorithm._restore(Fit(saved.model, epochs), saved.state)
        return algorithm

    @final
    def _fitted_model(self) -> AutoRecModel:
        try:
            return self.model_
        except AttributeError:
            from sklearn.exceptions import NotFittedError  # here, to keep the import of the package fast

            raise NotFittedError(f"{type(self).__name__} must be fitted first: call fit") from None

    @overload
    def predict_new_user(
        self, ratings: Mapping[Hashable, float], iids: Iterable[Hashable], return_std: Literal[False] = False
    ) -> Float64Array: ...
    @overload
    def predict_new_user(
        self, ratings: Mapping[Hashable, float], iids: Iterable[Hashable], return_std: Literal[True]
    ) -> tuple[Float64Array, Float64Array]: ...
    @final
    def predict_new_user(
        self, ratings: Mapping[Hashable, float], iids: Iterable[Hashable], return_std: bool = False
    ) -> Float64Array | tuple[Float64Array, Float64Array]:
        """Predict ratings of a user who is not in the training ratings, from a few ratings, without training.

        Networks that autoencode users encode the ratings. For networks that autoencode items, the decoder
        weights of the user are the solution of a regression, with the hidden activations of the items held
        fixed (see "New users and items" in the documentation).

        Parameters
        ----------
        ratings : mapping of item id to rating
            The ratings of the user, at least one. Ratings of items that the model does not know only affect
            the user's bias.
        iids : iterable of item ids
            The items to predict for. Unknown items get estimates from the baselines.
        return_std : bool, default=False
            Whether to return standard errors as well.

        Returns
        -------
        estimates : ndarray of float64, shape (n_iids,)
            Clipped to the rating scale.
        std : ndarray of float64, shape (n_iids,)
            The standard errors of these estimates. Only with ``return_std``.

        Raises
        ------
        ValueError
            If ``ratings`` is not a mapping, is empty, or has a value that is not a number on the rating
            scale. If ``return_std`` is set and the model has no standard errors.

        Examples
        --------
        >>> from surprise import Dataset, Reader
        >>> from surprise_autorec import AutoRec, datasets
        >>> data = Dataset.load_from_df(datasets.make_ratings(), Reader(rating_scale=(1, 5)))
        >>> algorithm = AutoRec(n_factors=16, n_epochs=3, random_state=0).fit(data.build_full_trainset())
        >>> estimates = algorithm.predict_new_user({3: 5.0, 7: 1.5}, [8, 9])
        >>> estimates.shape
        (2,)
        """
        model = self._with_new("user", {"the new user": ratings})
        items = self.model_.find_items(_listed("iids", iids))  # whose index is there already
        return answered(model, np.zeros_like(items), items, return_std)

    @overload
    def predict_new_item(
        self, ratings: Mapping[Hashable, float], uids: Iterable[Hashable], return_std: Literal[False] = False
    ) -> Float64Array: ...
    @overload
    def predict_new_item(
        self, ratings: Mapping[Hashable, float], uids: Iterable[Hashable], return_std: Literal[True]
    ) -> tuple[Float64Array, Float64Array]: ...
    @final
    def predict_new_item(
        self, ratings: Mapping[Hashable, float], uids: Iterable[Hashable], return_std: bool = False
    ) -> Float64Array | tuple[Float64Array, Float64Array]:
        """Predict ratings of a new item, which is not in the training ratings, without training.

        Parameters
        ----------
        ratings : mapping of user id to rating
            The ratings of the item, at least one.
        uids : iterable of user ids
            The users to predict for.
        return_std : bool, default=False
            Whether to return standard errors as well.

        Returns
        -------
        estimates : ndarray of float64, shape (n_uids,)
            Clipped to the rating scale.
        std : ndarray of float64, shape (n_uids,)
            The standard errors of these estimates. Only with ``return_std``.

        Raises
        ------
        ValueError
            If ``ratings`` is not a mapping, is empty, or has a value that is not a number on the rating
            scale. If ``return_std`` is set and the model has no standard errors.
        """
        model = self._with_new("item", {"the new item": ratings})
        users = self.model_.find_users(_listed("uids", uids))
        return answered(model, users, np.zeros_like(users), return_std)

    @final
    def explain(
        self, uid: Hashable, iid: Hashable, n: int = 10, ratings: Mapping[Hashable, float] | None = None
    ) -> pd.DataFrame:
        """Explain an estimate by the user's ratings, in parts that add up to it.

        The contribution of a rating is the difference of two estimates, with the rating and without it. Both
        are estimates for a new user with the same ratings, as by `predict_new_user`, before clipping. (The
        user's bias is estimated anew without the rating. The encodings of items stay as they are.)

        Parameters
        ----------
        uid, iid : user id, item id
            Both must be in the training ratings.
        n : int, default=10
            Maximum number of ratings to list.
        ratings : mapping of item id to rating, optional
            The ratings of the user. Default: those in the training ratings, which a loaded model does not
            have.

        Returns
        -------
        DataFrame
            Columns ``part``, ``item``, ``rating`` and ``contribution`` (in rating points). The contributions
            add up to the estimate. The parts are:

            - ``baseline``: the baseline estimate, which is the mean rating + the user's bias + the item's
              bias. If the model is not ``biased``, it is the mean rating.
            - ``rating``: each of the ``n`` ratings that contribute most, by absolute value, and its item.
            - ``other ratings``: the sum of the contributions of all others.
            - ``shared``: the rest of the estimate for a new user with these ratings. If several ratings say
              the same, none of them contributes much alone, but all together do.
            - ``training``: the estimate minus that for a new user with these ratings. It is almost 0 with
              ``variant="user"``, where all users are treated as new users are.
            - ``clipping``: the change by clipping to the rating scale; 0 if the estimate is on the scale.

            Only ``rating`` parts have an item and a rating. All other parts are always in the table.

        Raises
        ------
        ValueError
            If the user or the item is unknown, ``n`` is not a positive integer, or ``ratings`` is not a
            mapping, is empty, or has a value that is not a number on the rating scale. If the model was
            loaded and there are no ``ratings``.

        Warns
        -----
        UserWarning
            If the items of ``ratings`` are not those that the user rated in the training ratings.

        Examples
        --------
        >>> from surprise import Dataset, Reader
        >>> from surprise_autorec import AutoRec, datasets
        >>> data = Dataset.load_from_df(datasets.make_ratings(), Reader(rating_scale=(1, 5)))
        >>> algorithm = AutoRec(n_factors=16, n_epochs=3, random_state=0).fit(data.build_full_trainset())
        >>> parts = algorithm.explain(3, 7, n=2)
        >>> bool(abs(parts["contribution"].sum() - algorithm.predict(3, 7).est) < 1e-4)
        True
        """
        n = positive_integer("n", n)
        model, user, item = self._fitted_model(), self._known("user", uid), self._known("item", iid)
        if ratings is None:
            items, values = _one_of_each(*self._ratings_of_user(user))
            iids = _taken(model.item_ids, items)
        else:
            _, iids, values = self._checked("user", {uid: ratings}, "user")
            items = model.find_items(iids)
            if not np.array_equal(np.sort(items), model.rated.items_of(user)):
                warnings.warn(
                    f"the items of ratings are not those that user {uid!r} rated in training: the difference "
                    "is in the part 'training'",
                    UserWarning,
                    stacklevel=2,
                )
        return _explained(explain(model, user, item, items, values), iids, values, n)

    @final
    def explain_new_user(self, ratings: Mapping[Hashable, float], iid: Hashable, n: int = 10) -> pd.DataFrame:
        """Explain an estimate of `predict_new_user`, as `explain` does for users of the training ratings.

        Parameters
        ----------
        ratings : mapping of item id to rating
            The ratings of the user, at least one. Ratings of items that the model does not know only affect
            the user's bias.
        iid : item id
            It must be in the training ratings.
        n : int, default=10
            Maximum number of ratings to list.

        Returns
        -------
        DataFrame
            As by `explain`; the part ``training`` is 0.

        Raises
        ------
        ValueError
            If the item is unknown, ``n`` is not a positive integer, or ``ratings`` is not a mapping, is
            empty, or has a value that is not a number on the rating scale.
        """
        n = positive_integer("n", n)
        model, item = self._fitted_model(), self._known("item", iid)
        _, others, values = self._checked("user", {"the new user": ratings}, "new user")
        return _explained(explain(model, None, item, model.find_items(others), values), others, values, n)

    @final
    def _known(self, side: Side, one: Hashable) -> int:
        """The index of a user or item. Raises ValueError if the training ratings did not have it."""
        index = self._fitted_model().index(side)
        if not isinstance(one, Hashable) or one not in index:
            raise ValueError(
                f"the {side} must be in the training ratings, got {one!r}{hint_of_type(one, index)}"
            )
        return index[one]

    @final
    def _with_new(self, side: Side, ratings_of: Mapping[Hashable, Mapping[Hashable, float]]) -> AutoRecModel:
        """The model with users (or items) exchanged for new ones, given by their ratings."""
        model = self._fitted_model()
        owners, others, values = self._checked(side, ratings_of, f"new {side}")
        return model.with_new(side, list(ratings_of), owners, model.find(other_side(side), others), values)

    @final
    def _checked(
        self, side: Side, ratings_of: Mapping[Hashable, Mapping[Hashable, float]], kind: str
    ) -> tuple[Int32Array, list[Hashable], Float64Array]:
        """Ratings of users or items, checked: positions of their owners, ids of the others, and values."""
        model = self._fitted_model()
        for one, ratings in ratings_of.items():
            if not isinstance(ratings, Mapping):
                raise ValueError(f"the ratings of {one!r} must be a mapping, got {ratings!r}")
            if not ratings:
                raise ValueError(f"every {kind} needs at least one rating, got none for {one!r}")
        ids = list(ratings_of)
        owners = np.repeat(
            np.arange(len(ids), dtype=np.int32), [len(ratings) for ratings in ratings_of.values()]
        )
        others = [other for ratings in ratings_of.values() for other in ratings]
        given = [value for ratings in ratings_of.values() for value in ratings.values()]
        positions = np.arange(len(others), dtype=np.int32)
        users, items, user_ids, item_ids = owners, positions, ids, others
        if side == "item":
            users, items, user_ids, item_ids = positions, owners, others, ids
        values = numbers(given, [user_ids[user] for user in users], [item_ids[item] for item in items])
        Ratings(users, items, values, user_ids, item_ids, model.scale).check()
        return owners, others, values

    @final
    def recommend(
        self,
        uids: Iterable[Hashable] | None = None,
        n: int = 10,
        exclude_rated: bool = True,
        candidates: Iterable[Hashable] | None = None,
        new_users: Mapping[Hashable, Mapping[Hashable, float]] | None = None,
        return_std: bool = False,
    ) -> pd.DataFrame:
        """List the items with the highest predicted ratings for each user.

        Parameters
        ----------
        uids : iterable of user ids, optional
            The users to recommend for. Default: all users in the training ratings, or none of them if
            ``new_users`` are given.
        n : int, default=10
            Number of items for each user. Fewer if there are not enough.
        exclude_rated : bool, default=True
            Whether to leave out items that the user has rated.
        candidates : iterable of item ids, optional
            The items to choose from. Default: all items in the training ratings.
        new_users : mapping of id to mapping of item id to rating, optional
            Users who are not in the training ratings, with some of their ratings; see `predict_new_user`.
        return_std : bool, default=False
            Whether to add a column ``std``, the standard errors of the estimates.

        Returns
        -------
        DataFrame
            Columns ``user``, ``item``, ``rank`` (from 1) and ``estimate`` (the predicted rating, clipped to
            the scale; the ranks are those before clipping).

        Raises
        ------
        ValueError
            If ``n`` is not a positive integer, a candidate is unknown, a rating of a new user is not on the
            rating scale, or ``return_std`` is set and the model has no standard errors.

        Warns
        -----
        UserWarning
            If a user is unknown. All unknown users get the same ranking, that of the baselines. (If the model
            is not ``biased``, items are ranked by their number of ratings.)

        Examples
        --------
        >>> from surprise import Dataset, Reader
        >>> from surprise_autorec import AutoRec, datasets
        >>> data = Dataset.load_from_df(datasets.make_ratings(), Reader(rating_scale=(1, 5)))
        >>> algorithm = AutoRec(n_factors=16, n_epochs=3, random_state=0).fit(data.build_full_trainset())
        >>> best = algorithm.recommend([3, 5], n=2)
        >>> best[["user", "rank"]].values.tolist()
        [[3, 1], [3, 2], [5, 1], [5, 2]]
        """
        import pandas as pd  # here, to keep the import of the package fast

        n = positive_integer("n", n)
        model = self._fitted_model()
        items = _found_candidates(model, candidates)
        check("new_users", new_users, "a mapping of ids to ratings", isinstance(new_users or {}, Mapping))
        jobs: list[tuple[AutoRecModel, Sequence[Hashable]]] = []
        if uids is not None:
            jobs.append((model, _listed("uids", uids)))
        elif new_users is None:
            jobs.append((model, model.user_ids))
        if new_users:
            jobs.append((self._with_new("user", new_users), list(new_users)))
        columns: dict[str, list[Any]] = {"user": [], "item": [], "rank": [], "estimate": []}
        if return_std:
            columns["std"] = []
        for of_users, ids in jobs:
            users = of_users.find_users(ids)
            _warn_of_unknown(ids, users)
            positions, best, ranks, estimates = rank_items(of_users, users, n, exclude_rated, items)
            taken = [_taken(ids, positions), _taken(model.item_ids, best), ranks.tolist(), estimates.tolist()]
            if return_std:
                taken.append(of_users.std(users[positions], best, estimates).tolist())
            for column, values in zip(columns.values(), taken, strict=True):
                column += values
        types = {"rank": np.int64, **dict.fromkeys(list(columns)[3:], np.float64)}
        users_and_items = {name: _column(columns[name]) for name in ("user", "item")}
        return pd.DataFrame({**columns, **users_and_items}).astype(types)

    @final
    def recommend_to(
        self,
        path: str | os.PathLike[str],
        uids: Iterable[Hashable] | None = None,
        n: int = 10,
        exclude_rated: bool = True,
        candidates: Iterable[Hashable] | None = None,
        shard: tuple[int, int] = (1, 1),
    ) -> int:
        """Write the lists of `recommend` to a Parquet file while they are computed.

        Memory does not grow with the number of users. Several processes or machines can share the users, see
        ``shard``: their files together have the same rows as a single file would have. The file gets its name
        when it is complete.

        Parameters
        ----------
        path : str or path-like
            The file, in an existing folder. An existing file is replaced.
        uids, n, exclude_rated, candidates
            As in `recommend`.
        shard : tuple of int, default=(1, 1)
            ``(k, m)`` for the k-th of m equal parts of the users, k from 1 to m.

        Returns
        -------
        int
            The number of rows. The columns are those of `recommend`. Ids of mixed types, or of a type that
            Arrow does not have, become texts.

        Raises
        ------
        ImportError
            If pyarrow is not installed.
        ValueError
            If ``n`` or ``shard`` is not as above, a candidate is unknown, or an id is a text that is not in
            Unicode.

        Warns
        -----
        UserWarning
            If a user is unknown, as in `recommend`.
        """
        n = positive_integer("n", n)
        is_pair = isinstance(shard, (tuple, list)) and len(shard) == 2
        is_shard = is_pair and all(map(is_positive_integer, shard)) and shard[0] <= shard[1]
        check("shard", shard, "(k, m), the k-th of m parts, with k from 1 to m", is_shard)
        model = self._fitted_model()
        items = _found_candidates(model, candidates)
        ids = model.user_ids if uids is None else _listed("uids", uids)
        start, end = ((part * len(ids)) // shard[1] for part in (shard[0] - 1, shard[0]))
        users = model.find_users(ids[start:end])
        _warn_of_unknown(ids[start:end], users)
        blocks = rank_blocks(model, users, n, exclude_rated, items)
        return write_rankings(path, blocks, ids, model.item_ids, first_user=start)

    @final
    def similar_items(self, iid: Hashable, n: int = 10) -> pd.DataFrame:
        """List the items that are most similar to an item, by the cosine of their factors.

        Parameters
        ----------
        iid : item id
        n : int, default=10
            How many.

        Returns
        -------
        DataFrame
            Columns ``item`` and ``similarity`` (cosine, -1 to 1), the most similar first.

        Raises
        ------
        ValueError
            If the item is unknown, or ``n`` is not a positive integer.

        Examples
        --------
        >>> from surprise import Dataset, Reader
        >>> from surprise_autorec import AutoRec, datasets
        >>> data = Dataset.load_from_df(datasets.make_ratings(), Reader(rating_scale=(1, 5)))
        >>> algorithm = AutoRec(n_factors=16, n_epochs=3, random_state=0).fit(data.build_full_trainset())
        >>> similar = algorithm.similar_items(7, n=2)
        >>> list(similar.columns), len(similar)
        (['item', 'similarity'], 2)
        """
        return self._similar("item", iid, n)

    @final
    def similar_users(self, uid: Hashable, n: int = 10) -> pd.DataFrame:
        """List the users that are most similar to a user, as `similar_items` does for items."""
        return self._similar("user", uid, n)

    @final
    def _similar(self, side: Side, one: Hashable, n: int) -> pd.DataFrame:
        import pandas as pd

        n = positive_integer("n", n)
        model = self._fitted_model()
        indices, similarities = nearest(model, side, self._known(side, one), n)
        return pd.DataFrame({side: _column(_taken(model.ids(side), indices)), "similarity": similarities})


def _listed(name: str, ids: Iterable[Hashable]) -> list[Hashable]:
    if isinstance(ids, (str, bytes)):
        raise ValueError(f"{name} must be a list of ids, got {ids!r}")
    return list(ids)


def answered(
    model: AutoRecModel, users: Int32Array, items: Int32Array, return_std: bool
) -> Float64Array | tuple[Float64Array, Float64Array]:
    """Estimates and, with ``return_std``, their standard errors."""
    answers = model.answer(users, items)
    return (answers, model.std(users, items, answers)) if return_std else answers


def _found_candidates(model: AutoRecModel, candidates: Iterable[Hashable] | None) -> Int32Array | None:
    """Indices of the items to choose from, if not all. Raises ValueError if one is unknown."""
    if candidates is None:
        return None
    wanted = list(dict.fromkeys(_listed("candidates", candidates)))
    items = model.find_items(wanted)
    if (items < 0).any():
        unknown = wanted[int(np.argmin(items))]
        raise ValueError(f"candidates must be items of the training ratings, got {unknown!r}")
    return items


def _taken(ids: Sequence[Hashable], positions: npt.NDArray[np.integer]) -> list[Hashable]:
    return [ids[position] for position in positions]


def _column(ids: list[Hashable]) -> pd.Series[Any]:
    """Ids as a column of a table."""
    import pandas as pd

    try:
        return pd.Series(ids, dtype=None if ids else object)
    except (OverflowError, UnicodeEncodeError):  # what some versions of pandas cannot keep as number or text
        return pd.Series(ids, dtype=object)


def _one_of_each(items: Int32Array, values: Float64Array) -> tuple[Int32Array, Float64Array]:
    """Ratings of distinct items; of several ratings of an item, the mean, as in training."""
    distinct, place, counts = np.unique(items, return_inverse=True, return_counts=True)
    return distinct, np.bincount(place, values) / counts


def _explained(
    explanation: Explanation, iids: Sequence[Hashable], values: Float64Array, n: int
) -> pd.DataFrame:
    """An explanation as a table, with n of the ratings."""
    import pandas as pd

    baseline, contributions, shared, training, clipping = explanation
    order = np.argsort(-np.abs(contributions), kind="stable")
    listed, others = order[:n], order[n:]
    rest = {
        "other ratings": float(contributions[others].sum()),
        "shared": shared,
        "training": training,
        "clipping": clipping,
    }
    nothing = [None] * len(rest)
    return pd.DataFrame(
        {
            "part": ["baseline", *["rating"] * len(listed), *rest],
            "item": pd.Series([None, *_taken(iids, listed), *nothing], dtype=object),  # ids as they are
            "rating": np.array([None, *values[listed], *nothing], np.float64),
            "contribution": [baseline, *contributions[listed], *rest.values()],
        }
    )


def _warn_of_unknown(ids: Sequence[Hashable], users: Int32Array) -> None:
    unknown = np.flatnonzero(users < 0)
    if len(unknown):
        warnings.warn(
            f"user {ids[unknown[0]]!r} is not in the training ratings ({len(unknown)} of {len(ids)} users "
            "are not): unknown users get the items that all users together rate highest or most often",
            UserWarning,
            stacklevel=3,
        )
