"""What AutoRecRegressor does beyond scikit-learn's contract: ids, columns, the scale, more training."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest
from conftest import FAST
from sklearn.exceptions import NotFittedError
from surprise import Dataset, Reader

from surprise_autorec import AutoRec, AutoRecRegressor, datasets, load

VARIANTS = ["item", "user", "hybrid"]
RATINGS = datasets.make_ratings(n_users=80, n_items=50, n_ratings=2000, noise=0.3, random_state=1)
RATINGS["user"] = "u" + RATINGS["user"].astype(str)
X, y = RATINGS[["user", "item"]], RATINGS["rating"]
FEW = pd.DataFrame({"user": ["ann", "ann", "bob", "bob"], "item": [1, 2, 1, 3], "stars": [1.0, 2, 3, 4]})


@pytest.fixture(scope="module")
def fitted():
    return AutoRecRegressor(**FAST, rating_scale=(1, 5)).fit(X, y)


def algorithm_of(ratings, **parameters):
    data = Dataset.load_from_df(ratings, Reader(rating_scale=(1, 5)))
    return AutoRec(**FAST, **parameters).fit(data.build_full_trainset())


def estimates(algorithm, ratings):
    return [prediction.est for prediction in algorithm.test(list(ratings.itertuples(index=False, name=None)))]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("biased", [True, False])
def test_predicts_what_the_algorithm_of_surprise_predicts_to_the_bit(variant, biased):
    algorithm = algorithm_of(RATINGS, variant=variant, biased=biased)
    regressor = AutoRecRegressor(**FAST, variant=variant, biased=biased, rating_scale=(1, 5)).fit(X, y)
    assert regressor.predict(X).tolist() == estimates(algorithm, RATINGS)
    assert regressor.loss_curve_ == algorithm.loss_curve_
    assert regressor.n_iter_ == 5
    assert list(regressor.model_.user_ids) == [
        algorithm.trainset.to_raw_uid(u) for u in algorithm.trainset.all_users()
    ]


def test_unknown_users_and_items_are_answered_from_the_baselines(fitted):
    unknown = pd.DataFrame({"user": ["u1", "new", "new"], "item": [-7, 1, -7], "rating": 0.0})
    wanted = estimates(algorithm_of(RATINGS), unknown)
    assert fitted.predict(unknown[["user", "item"]]).tolist() == wanted
    assert len(set(wanted)) == 3


def test_without_baselines_unknown_users_and_items_get_the_mean_rating():
    regressor = AutoRecRegressor(**FAST, biased=False).fit(X, y)
    unknown = pd.DataFrame({"user": ["u1", "new", "new"], "item": [-7, 1, -7]})
    assert regressor.predict(unknown) == pytest.approx([y.mean()] * 3)


def test_predicting_nothing_is_nothing(fitted):
    assert fitted.predict(X[:0]).shape == (0,)
    assert AutoRecRegressor(**FAST).fit(X.to_numpy(), np.arange(len(X)) % 5).predict(
        np.empty((0, 2))
    ).shape == (0,)


FORMS = {
    "object array": lambda X: X.to_numpy(dtype=object),
    "list": lambda X: X.to_numpy(dtype=object).tolist(),
    "object columns": lambda X: X.astype(object),
    "NumPy numbers as objects": lambda X: X.assign(
        item=pd.Series(list(X["item"].to_numpy(np.int16)), dtype=object)
    ),
    "categories": lambda X: X.astype("category"),
    "categories in another order": lambda X: X.astype({"item": pd.CategoricalDtype(range(99, -1, -1))}),
    "nullable": lambda X: X.astype({"user": "string", "item": "Int64"}),
    "int16": lambda X: X.astype({"item": "int16"}),
    "other index": lambda X: X.set_index(X.index[::-1]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_ids_gives_the_same_predictions_and_plain_ids(fitted, form):
    changed = FORMS[form](X)
    regressor = AutoRecRegressor(**FAST, rating_scale=(1, 5)).fit(changed, y.to_numpy())
    assert regressor.predict(changed).tolist() == fitted.predict(X).tolist()
    assert {type(uid) for uid in regressor.model_.user_ids} == {str}
    assert {type(iid) for iid in regressor.model_.item_ids} == {int}


def test_ids_of_an_array_of_numbers_and_of_strings():
    numbers = AutoRecRegressor(**FAST).fit(np.array([[7, 1], [2**60 + 1, 0]]), [1, 2])
    assert numbers.model_.user_ids == [7, 2**60 + 1]
    assert {type(uid) for uid in numbers.model_.user_ids} == {int}
    strings = AutoRecRegressor(**FAST).fit(np.array([["b", "x"], ["a", "x"]]), [1, 2])
    assert strings.model_.user_ids == ["b", "a"]
    assert {type(uid) for uid in strings.model_.user_ids} == {str}


def test_a_list_of_numbers_and_strings_keeps_both():
    assert AutoRecRegressor(**FAST).fit([["ann", 1], [5, 2]], [1, 2]).model_.user_ids == ["ann", 5]


def test_large_ids_beside_other_columns_keep_their_digits():
    X = pd.DataFrame({"user": [2**60, 2**60 + 1], "item": [1, 2], "price": [0.5, np.nan]})
    regressor = AutoRecRegressor(**FAST, user_column="user", item_column="item").fit(X, [1, 2])
    assert regressor.model_.user_ids == [2**60, 2**60 + 1]


def test_what_a_fitted_autorec_can_do(fitted):
    algorithm = algorithm_of(RATINGS)
    pd.testing.assert_frame_equal(fitted.recommend(["u3"], n=4), algorithm.recommend(["u3"], n=4))
    assert not set(fitted.recommend(["u3"], n=50)["item"]) & set(X.loc[X["user"] == "u3", "item"])
    seen = {1: 5, 2: 1}
    assert fitted.predict_new_user(seen, [3, 4]).tolist() == algorithm.predict_new_user(seen, [3, 4]).tolist()
    assert (
        fitted.predict_new_item({"u3": 5}, ["u1"]).tolist()
        == algorithm.predict_new_item({"u3": 5}, ["u1"]).tolist()
    )
    pd.testing.assert_frame_equal(fitted.similar_items(1), algorithm.similar_items(1))
    pd.testing.assert_frame_equal(fitted.similar_users("u1"), algorithm.similar_users("u1"))


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        ({"user_column": "user", "item_column": "item"}, ["item", "stars", "user"]),
        ({"user_column": "user"}, ["stars", "item", "user"]),
        ({"item_column": "item"}, ["user", "stars", "item"]),
        ({}, ["user", "item", "stars"]),
    ],
)
@pytest.mark.filterwarnings("ignore:columns of X other than:UserWarning")
def test_columns_are_the_named_ones_or_else_the_first_two(names, columns):
    regressor = AutoRecRegressor(**FAST, **names).fit(FEW[columns], FEW["stars"])
    assert regressor.model_.user_ids == ["ann", "bob"]
    assert regressor.model_.item_ids == [1, 2, 3]
    assert regressor.columns_ == (columns.index("user"), columns.index("item"))
    wanted = AutoRecRegressor(**FAST).fit(FEW[["user", "item"]], FEW["stars"]).predict(FEW[["user", "item"]])
    assert regressor.predict(FEW[columns]).tolist() == wanted.tolist()


def test_columns_of_an_array_are_named_by_their_positions():
    X = FEW[["stars", "item", "user"]].to_numpy()
    assert AutoRecRegressor(**FAST, user_column=2, item_column=1).fit(X, FEW["stars"]).model_.user_ids == [
        "ann",
        "bob",
    ]


def test_further_columns_are_ignored_with_a_warning_unless_both_were_named(recwarn):
    message = r"^columns of X other than \['user', 'item'\] are ignored: \['stars'\]"
    with pytest.warns(UserWarning, match=message) as caught:
        regressor = AutoRecRegressor(**FAST).fit(FEW, FEW["stars"])
    assert caught[0].filename == __file__
    regressor.predict(FEW)
    regressor.partial_fit(FEW, FEW["stars"])
    regressor.set_params(user_column="user", item_column="item").fit(FEW, FEW["stars"])
    assert not recwarn


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"item_column": "film"},
            "item_column must be the name of one column of X, which has ['user', 'item', 'stars'",
        ),
        (
            {"user_column": 0},
            "user_column must be the name of one column of X, which has ['user', 'item', 'stars'",
        ),
        ({"user_column": "item"}, "user_column and item_column must differ, got 'item' for both"),
    ],
)
def test_wrong_column_is_named(names, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        AutoRecRegressor(**FAST, **names).fit(FEW, FEW["stars"])


@pytest.mark.parametrize("X", [FEW[["user"]], FEW[["user"]].to_numpy()], ids=["frame", "array"])
def test_one_column_is_too_few(X):
    with pytest.raises(ValueError, match=r"^X must have a column of users and one of items, got 1 feature"):
        AutoRecRegressor(**FAST).fit(X, FEW["stars"])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, np.inf, -np.inf])
@pytest.mark.parametrize("role", ["user", "item"])
def test_missing_id_is_named_by_row_and_column(fitted, role, missing):
    X = FEW[["user", "item"]].astype(object)
    X.iloc[2:, X.columns.get_loc(role)] = missing
    message = rf"^{role} ids must not be missing .*, got .* in row 2 .* column {role!r} of X \(2 of 4 rows"
    for use in (lambda: AutoRecRegressor(**FAST).fit(X, FEW["stars"]), lambda: fitted.predict(X)):
        with pytest.raises(ValueError, match=message):
            use()
    with pytest.raises(ValueError, match=f"^{role} ids must not be missing .* in row 2 "):
        AutoRecRegressor(**FAST).fit(X.to_numpy(), FEW["stars"])


def test_id_that_is_not_hashable_is_an_error():
    X = [["ann", 1], [["bob"], 2]]
    with pytest.raises(
        TypeError, match=r"^user ids, column 0 of X, must be hashable: unhashable type: 'list'"
    ):
        AutoRecRegressor(**FAST).fit(X, [1, 2])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 2, np.nan, 3], "Input y contains NaN"),
        ([1, 2, None, 3], "Input y contains NaN"),
        ([1, 2, np.inf, 3], "Input y contains infinity"),
        ([1, 2, 10**400, 3], "y must be finite numbers: int too large"),
        ([1, 2, "good", 3], "could not convert string to float"),
        ([1, 2, 3], "inconsistent numbers of samples: \\[4, 3\\]"),
        ([], "inconsistent numbers of samples: \\[4, 0\\]"),
    ],
)
def test_wrong_y_is_an_error(y, message):
    regressor = AutoRecRegressor(**FAST)
    with pytest.raises(ValueError, match=message):
        regressor.fit(FEW[["user", "item"]], y)
    with pytest.raises(ValueError, match=message):
        regressor.fit(FEW[["user", "item"]], FEW["stars"]).partial_fit(FEW[["user", "item"]], y)


def test_no_ratings_are_an_error():
    with pytest.raises(ValueError, match="0 sample"):
        AutoRecRegressor(**FAST).fit(FEW.loc[:-1, ["user", "item"]], [])


def test_scale_is_that_of_y_or_the_given_one_and_predictions_stay_on_it():
    wild = {**FAST, "n_epochs": 60, "lr_all": 0.05, "reg_all": 0.0, "dropout": 0.0, "biased": False}
    X, y = FEW[["user", "item"]], FEW["stars"]
    by_y, given = (AutoRecRegressor(**wild, rating_scale=scale).fit(X, y) for scale in (None, (0, 10)))
    assert by_y.model_.scale == (1, 4)
    assert given.model_.scale == (0, 10)
    everything = pd.DataFrame(
        [(u, i) for u in ("ann", "bob", "new") for i in (1, 2, 3)], columns=["user", "item"]
    )
    for bounds in ((2, 3), [2.0, 3.0]):
        narrow = AutoRecRegressor(**wild, rating_scale=bounds).fit(X, y.clip(2, 3))
        assert (narrow.predict(everything).min(), narrow.predict(everything).max()) == (2, 3)


@pytest.mark.parametrize(
    "scale", [(5, 1), (1,), (1, 2, 3), (1, np.nan), (1, np.inf), (1, 10**400), ("1", "5"), "15", 5]
)
def test_wrong_scale_is_an_error(scale):
    message = f"rating_scale must be None or the lowest and the highest rating, got {scale!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        AutoRecRegressor(**FAST, rating_scale=scale).fit(FEW[["user", "item"]], FEW["stars"])


def test_rating_off_the_scale_is_named():
    with pytest.raises(ValueError, match=r"rating scale, 2 to 5: user 'ann' rated item 1 1 \(1 of 4"):
        AutoRecRegressor(**FAST, rating_scale=(2, 5)).fit(FEW[["user", "item"]], FEW["stars"])


def test_pair_rated_twice_gives_a_warning():
    twice = pd.concat([FEW, FEW])
    with pytest.warns(UserWarning, match="user 'ann' rated item 1 more than once") as caught:
        AutoRecRegressor(**FAST).fit(twice[["user", "item"]], twice["stars"])
    assert caught[0].filename == __file__


@pytest.mark.parametrize("variant", VARIANTS)
def test_partial_fit_goes_on_as_the_algorithm_of_surprise_does(variant):
    first, more = RATINGS[:1500], RATINGS[1400:].assign(rating=3.0)
    more = pd.concat([more, pd.DataFrame({"user": ["new"], "item": [-7], "rating": [5.0]})])
    algorithm = algorithm_of(first, variant=variant)
    algorithm.partial_fit(more.itertuples(index=False, name=None), n_epochs=3)
    regressor = AutoRecRegressor(**FAST, variant=variant, rating_scale=(1, 5))
    regressor.fit(first[["user", "item"]], first["rating"])
    before = regressor.predict(RATINGS[["user", "item"]])
    assert regressor.partial_fit(more[["user", "item"]], more["rating"], n_epochs=3) is regressor
    assert (regressor.n_iter_, len(regressor.ratings_.values)) == (3, 2001)
    assert (regressor.model_.user_ids[-1], regressor.model_.item_ids[-1]) == ("new", -7)
    assert regressor.predict(more[["user", "item"]]).tolist() == estimates(algorithm, more)
    assert not np.allclose(regressor.predict(RATINGS[["user", "item"]]), before)


def test_partial_fit_of_an_unfitted_regressor_is_fit(fitted):
    regressor = AutoRecRegressor(**FAST, rating_scale=(1, 5)).partial_fit(X, y)
    assert regressor.n_iter_ == FAST["n_epochs"]
    assert regressor.predict(X).tolist() == fitted.predict(X).tolist()


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"early_stopping": True}, {}, "partial_fit needs early_stopping=False"),
        ({"n_factors": 9}, {}, "n_factors must be the same as in the model"),
        ({}, {"n_epochs": 0}, "n_epochs must be a positive integer, got 0"),
        ({}, {"y": FEW["stars"] + 1}, r"rating scale, 1 to 4: user 'bob' rated item 3 5"),
    ],
)
def test_partial_fit_that_cannot_be_leaves_the_regressor_as_it_was(changes, arguments, message):
    X = FEW[["user", "item"]]
    regressor = AutoRecRegressor(**FAST).fit(X, FEW["stars"])
    model, ratings = regressor.model_, regressor.ratings_
    with pytest.raises(ValueError, match=message):
        regressor.set_params(**changes).partial_fit(X, **{"y": FEW["stars"], **arguments})
    assert regressor.model_ is model
    assert regressor.ratings_ is ratings


def test_fit_twice_is_fit_once(fitted):
    regressor = (
        AutoRecRegressor(**FAST, rating_scale=(1, 5)).fit(FEW[["user", "item"]], FEW["stars"]).fit(X, y)
    )
    assert regressor.predict(X).tolist() == fitted.predict(X).tolist()


def test_random_state_none_draws_from_numpys_global_generator():
    def fit():
        np.random.seed(3)  # noqa: NPY002
        return AutoRecRegressor(**{**FAST, "random_state": None}).fit(X, y).predict(X).tolist()

    assert fit() == fit()
    assert np.random.randint(2**31) != np.random.RandomState(3).randint(2**31)  # noqa: NPY002


def test_unfitted_is_an_error():
    for use in ("predict", "recommend"):
        with pytest.raises(NotFittedError, match="AutoRecRegressor must be fitted first: call fit"):
            getattr(AutoRecRegressor(), use)(FEW[["user", "item"]])


def test_constructor_takes_the_parameters_of_the_algorithm_and_its_own():
    own = {"user_column", "item_column", "rating_scale"}
    shared = inspect.signature(AutoRec).parameters
    parameters = inspect.signature(AutoRecRegressor).parameters
    assert set(parameters) == {*shared, *own} == set(AutoRecRegressor().get_params())
    for name, parameter in shared.items():
        assert parameters[name].default is parameter.default is getattr(AutoRecRegressor(), name)
        assert parameters[name].annotation == parameter.annotation
    for name in own:
        assert f"\n{name} : " in inspect.getdoc(AutoRecRegressor.__init__)


def test_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="AutoRecRegressor has no parameter 'n_factor'"):
        AutoRecRegressor(n_factor=10)


def test_representation_shows_what_differs_from_the_defaults():
    assert (
        repr(AutoRecRegressor(n_factors=9, user_column="u"))
        == "AutoRecRegressor(user_column='u', n_factors=9)"
    )


def test_parameters_are_checked_by_fit():
    with pytest.raises(ValueError, match=r"^dropout must be a number in \[0, 1\), got 7$"):
        AutoRecRegressor(dropout=7).fit(FEW[["user", "item"]], FEW["stars"])


def test_a_saved_regressor_predicts_the_same_and_does_not_go_on(tmp_path):
    for X in (FEW[["user", "item"]], FEW[["item", "user"]].to_numpy()):
        regressor = AutoRecRegressor(**FAST, rating_scale=(0, 6)).fit(X, FEW["stars"])
        regressor.save(tmp_path / "model")
        loaded = load(tmp_path / "model")
        assert type(loaded) is AutoRecRegressor
        assert loaded.predict(X).tolist() == regressor.predict(X).tolist()
        assert loaded.get_params() == regressor.get_params()
        assert loaded.n_features_in_ == 2
        with pytest.raises(ValueError, match="a loaded model does not have the ratings"):
            loaded.partial_fit(X, FEW["stars"])
        with pytest.raises(ValueError, match=r"X has 3 features|feature names should match"):
            loaded.predict(
                pd.DataFrame(np.zeros((1, 3)), columns=["a", "b", "c"]) if "user" in X else np.zeros((1, 3))
            )


def test_batches_are_fitted_as_the_whole(tmp_path):
    wanted = AutoRecRegressor(**FAST).fit(X, y)
    RATINGS.to_csv(tmp_path / "ratings.csv", index=False)
    for source in (RATINGS, (RATINGS[start : start + 300] for start in range(0, 2000, 300)), tmp_path):
        regressor = AutoRecRegressor(**FAST).fit_batches(source)
        assert regressor.loss_curve_ == wanted.loss_curve_
        assert regressor.model_.user_ids == wanted.model_.user_ids
        frame = X if source is RATINGS else X.astype({"item": str}) if source is tmp_path else X
        np.testing.assert_array_equal(regressor.predict(frame.to_numpy(object)), wanted.predict(X))


def test_columns_of_batches_are_named_by_the_parameters():
    renamed = RATINGS.rename(columns={"user": "Customer No", "item": "Art.", "rating": "stars"})
    regressor = AutoRecRegressor(**FAST, user_column="Customer No", item_column="Art.")
    regressor.fit_batches([renamed], rating_column="stars")
    np.testing.assert_array_equal(
        regressor.predict(X.to_numpy()), AutoRecRegressor(**FAST).fit(X, y).predict(X)
    )
    with pytest.raises(ValueError, match="batch 1 must have a column for the rating"):
        regressor.fit_batches([renamed])


def test_batches_forget_what_was_fitted_before():
    regressor = AutoRecRegressor(**FAST).fit(X.assign(more=1)[["more", "user", "item"]][["user", "item"]], y)
    assert list(regressor.feature_names_in_) == ["user", "item"]
    regressor.fit_batches(FEW, rating_column="stars")
    assert (regressor.n_features_in_, regressor.columns_, len(regressor.model_.user_ids)) == (2, (0, 1), 2)
    assert "feature_names_in_" not in vars(regressor)
    assert len(regressor.ratings_.values) == 4


def test_what_batches_train_can_be_explained_trained_further_and_saved(tmp_path):
    regressor = AutoRecRegressor(**FAST, rating_scale=(1, 5)).fit_batches(FEW, rating_column="stars")
    assert regressor.explain("ann", 1)["item"].tolist()[1:3] == [1, 2]
    regressor.save(tmp_path / "model")
    pairs = FEW[["user", "item"]].to_numpy(object)
    np.testing.assert_array_equal(load(tmp_path / "model").predict(pairs), regressor.predict(pairs))
    regressor.partial_fit([["cleo", 1]], [5.0])
    assert regressor.model_.user_ids == ["ann", "bob", "cleo"]


def test_batches_off_the_scale_or_without_ratings_are_refused():
    with pytest.raises(ValueError, match="ratings must lie on the rating scale, 1 to 3: user 'bob'"):
        AutoRecRegressor(**FAST, rating_scale=(1, 3)).fit_batches(FEW, rating_column="stars")
    with pytest.raises(ValueError, match="the ratings must have at least one rating, got none"):
        AutoRecRegressor(**FAST).fit_batches([])
