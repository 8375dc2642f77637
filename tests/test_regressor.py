"""The face toward scikit-learn."""

import io
import pickle
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from surprise import Dataset, Reader

from surprise_autorec import AutoRec, AutoRecRegressor, datasets, load

SMALL = {"n_factors": 16, "n_epochs": 5, "random_state": 0}


@pytest.fixture(scope="module")
def frame():
    return datasets.make_ratings(n_users=80, n_items=50, n_ratings=2000, noise=0.3, random_state=1)


@pytest.fixture(scope="module")
def X(frame):  # noqa: N802 (scikit-learn's name)
    return frame[["user", "item"]]


@pytest.fixture(scope="module")
def y(frame):
    return frame["rating"]


@pytest.mark.parametrize("variant", ["item", "user", "hybrid"])
@pytest.mark.parametrize("biased", [True, False])
def test_predictions_are_those_of_autorec_bit_for_bit(frame, X, y, variant, biased):
    data = Dataset.load_from_df(frame, Reader(rating_scale=(1, 5)))
    algorithm = AutoRec(**SMALL, variant=variant, biased=biased).fit(data.build_full_trainset())
    regressor = AutoRecRegressor(**SMALL, variant=variant, biased=biased, rating_scale=(1, 5)).fit(X, y)
    pairs = [(user, item) for user in [0, 7, 79, 1000] for item in [3, 2, 49, 2000]]
    wanted = [prediction.est for prediction in algorithm.test([(*pair, None) for pair in pairs])]
    assert regressor.predict(pd.DataFrame(pairs, columns=["user", "item"])).tolist() == wanted


def test_it_predicts_better_than_baselines(X, y):
    learnt, asked, y_learnt, y_asked = train_test_split(X, y, test_size=0.2, random_state=0)
    regressor = AutoRecRegressor(n_factors=16, n_epochs=10, random_state=0).fit(learnt, y_learnt)
    no_network = AutoRecRegressor(n_factors=1, n_epochs=1, reg_all=1e6, random_state=0).fit(learnt, y_learnt)
    assert regressor.score(asked, y_asked) > no_network.score(asked, y_asked) > 0.2


FORMS = {
    "lists": lambda X: X.to_numpy().tolist(),
    "array": lambda X: X.to_numpy(),
    "floats": lambda X: X.to_numpy(np.float64),
    "texts": lambda X: X.astype(str),
    "text array": lambda X: X.astype(str).to_numpy(dtype="U5"),
    "objects": lambda X: X.astype(object),
    "categories": lambda X: X.astype(str).astype("category"),
    "nullable": lambda X: X.astype("Int64"),
    "mixed": lambda X: X.assign(item=[f"i{item}" for item in X["item"]]),
}


@pytest.mark.parametrize("form", FORMS)
def test_ids_may_come_in_many_forms(X, y, form):
    wanted = AutoRecRegressor(**SMALL).fit(X, y).predict(X)
    other = FORMS[form](X)
    np.testing.assert_array_equal(AutoRecRegressor(**SMALL).fit(other, y).predict(other), wanted)


def test_columns_are_the_first_two_or_those_named(X, y):
    wanted = AutoRecRegressor(**SMALL).fit(X, y).predict(X)
    wide = X.assign(other=1.5)
    np.testing.assert_array_equal(AutoRecRegressor(**SMALL).fit(wide, y).predict(wide), wanted)
    turned = pd.DataFrame({"time": 1, "item": X["item"], "user": X["user"]})
    named = AutoRecRegressor(**SMALL, user_column="user", item_column="item").fit(turned, y)
    np.testing.assert_array_equal(named.predict(turned), wanted)
    assert list(named.feature_names_in_) == ["time", "item", "user"]


@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("as_array", [True, False])
def test_a_column_that_is_not_there_is_named(X, y, side, as_array):
    regressor = AutoRecRegressor(**SMALL, **{f"{side}_column": "uid"})
    with pytest.raises(ValueError, match=rf"{side}_column must be a column of X, one of \[.*\], got 'uid'"):
        regressor.fit(X.to_numpy() if as_array else X, y)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, np.inf])
@pytest.mark.parametrize("side", ["user", "item"])
@pytest.mark.parametrize("asked", ["fit", "predict"])
def test_a_missing_id_is_named(X, y, missing, side, asked):
    wrong = X.astype(object)
    wrong.loc[7, side] = missing
    regressor = AutoRecRegressor(**SMALL).fit(X.astype(object), y)
    with pytest.raises(ValueError, match=rf"the {side} of row 7 must be an id \(not NaN, None or inf\), got"):
        regressor.fit(wrong, y) if asked == "fit" else regressor.predict(wrong)


def test_a_missing_rating_is_an_error(X, y):
    with pytest.raises(ValueError, match="Input y contains NaN"):
        AutoRecRegressor(**SMALL).fit(X, y.where(y.index != 3))


def test_fewer_than_two_columns_are_an_error(X, y):
    with pytest.raises(ValueError, match=r"1 feature.* while a minimum of 2 is required"):
        AutoRecRegressor(**SMALL).fit(X[["user"]], y)
    with pytest.raises(ValueError, match="X has 3 features, but AutoRecRegressor is expecting 2 features"):
        AutoRecRegressor(**SMALL).fit(X.to_numpy(), y).predict(np.zeros((4, 3)))


@pytest.mark.parametrize("scale", [(5, 1), (np.nan, 5)])
def test_a_wrong_scale_is_named(X, y, scale):
    with pytest.raises(ValueError, match=r"rating_scale must be a lower and a higher number, got \("):
        AutoRecRegressor(**SMALL, rating_scale=scale).fit(X, y)


def test_ratings_off_a_given_scale_are_named(X, y):
    with pytest.raises(ValueError, match="ratings must lie on the rating scale, 2 to 5: user"):
        AutoRecRegressor(**SMALL, rating_scale=(2, 5)).fit(X, y)


def test_predictions_are_clipped_to_the_scale(X, y):
    regressor = AutoRecRegressor(**SMALL).fit(X, y)
    model = regressor.model_
    regressor.model_ = replace(model, baselines=replace(model.baselines, mean=model.baselines.mean + 1.5))
    raw = regressor.model_.predict(regressor.ratings_.users, regressor.ratings_.items)
    assert raw.max() > y.max()
    np.testing.assert_array_equal(regressor.predict(X), raw.clip(y.min(), y.max()))


@pytest.mark.parametrize(("biased", "is_mean"), [(True, False), (False, True)])
def test_unknown_users_and_items_have_answers(X, y, biased, is_mean):
    regressor = AutoRecRegressor(**SMALL, biased=biased).fit(X, y)
    estimates = regressor.predict(pd.DataFrame([[1000, 0], [0, 1000], [1000, 1000]], columns=["user", "item"]))
    assert (estimates[:2] == pytest.approx(y.mean())) == is_mean
    assert estimates[2] == pytest.approx(y.mean())


def test_a_pair_rated_twice_counts_with_its_mean(X, y):
    twice, y_twice = pd.concat([X, X.iloc[:1]]), np.append(y, 1.0)
    with pytest.warns(UserWarning, match="more than once"):
        AutoRecRegressor(**SMALL).fit(twice, y_twice)


def test_search_and_pipelines(X, y):
    scores = cross_val_score(AutoRecRegressor(**SMALL), X, y, cv=3, scoring="neg_root_mean_squared_error")
    assert (scores > -0.9).all()
    pipeline = Pipeline([("as they are", FunctionTransformer()), ("autorec", AutoRecRegressor(**SMALL))])
    search = GridSearchCV(pipeline, {"autorec__n_epochs": [1, 8]}, cv=2).fit(X, y)
    assert search.best_params_ == {"autorec__n_epochs": 8}
    halving = HalvingGridSearchCV(
        AutoRecRegressor(**SMALL), {"n_factors": [4, 8, 16]}, resource="n_epochs", max_resources=9, cv=2, random_state=0
    ).fit(X, y)
    assert halving.best_params_["n_epochs"] == 9


def test_set_output_of_the_steps_before_it(X, y):
    pipeline = make_pipeline(FunctionTransformer(), AutoRecRegressor(**SMALL, user_column="user", item_column="item"))
    pipeline.set_output(transform="pandas").fit(X[["item", "user"]], y)
    np.testing.assert_array_equal(pipeline.predict(X[["item", "user"]]), AutoRecRegressor(**SMALL).fit(X, y).predict(X))


def test_pickle_joblib_and_our_own_file(X, y, tmp_path):
    regressor = AutoRecRegressor(**SMALL, rating_scale=(0, 6)).fit(X, y)
    wanted = regressor.predict(X)
    joblib.dump(regressor, file := io.BytesIO())
    file.seek(0)
    regressor.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    for copy in (pickle.loads(pickle.dumps(regressor)), joblib.load(file), loaded):
        np.testing.assert_array_equal(copy.predict(X), wanted)
        assert copy.get_params() == regressor.get_params()
        assert list(copy.feature_names_in_) == ["user", "item"]
        assert copy.n_features_in_ == 2
    with pytest.raises(ValueError, match="which a loaded regressor has not"):
        loaded.partial_fit(X, y)


def test_a_saved_regressor_without_names_has_none(X, y, tmp_path):
    AutoRecRegressor(**SMALL).fit(X.to_numpy(), y).save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert not hasattr(loaded, "feature_names_in_")
    with pytest.raises(ValueError, match="X has 3 features"):
        loaded.predict(np.zeros((1, 3)))


def test_new_users_and_top_n(X, y):
    regressor = AutoRecRegressor(**SMALL).fit(X.astype(str), y)
    estimates = regressor.predict_new_user({"3": y.max(), "4": y.min()}, ["3", "4", "5"])
    assert estimates[0] > estimates[1]
    recommended = regressor.recommend(["7"], n=3)
    assert recommended["estimate"].tolist() == regressor.predict(recommended[["user", "item"]]).tolist()
    assert regressor.similar_items("3", n=2)["item"].map(type).eq(str).all()


def test_partial_fit_goes_on_with_more_ratings(X, y):
    order = np.random.default_rng(0).permutation(len(X))
    old, new, asked = order[:1400], order[1400:1800], order[1800:]
    texts = X.astype(str)
    regressor = AutoRecRegressor(**{**SMALL, "n_epochs": 15}, rating_scale=(1, 5)).fit(texts.iloc[old], y.iloc[old])
    before = mean_squared_error(y.iloc[asked], regressor.predict(texts.iloc[asked]))
    assert regressor.partial_fit(texts.iloc[new], y.iloc[new]) is regressor
    assert mean_squared_error(y.iloc[asked], regressor.predict(texts.iloc[asked])) < before
    assert len(regressor.ratings_.values) == 1800
    more = pd.DataFrame({"user": ["new", "new"], "item": ["0", "newer"]})
    regressor.partial_fit(more, [1.0, 5.0], n_epochs=1)
    assert regressor.model_.user_ids[-1] == "new"
    assert regressor.model_.item_ids[-1] == "newer"
    assert regressor.n_iter_ == 1


def test_partial_fit_begins_with_fit(X, y):
    wanted = AutoRecRegressor(**SMALL).fit(X, y).predict(X)
    np.testing.assert_array_equal(AutoRecRegressor(**SMALL).partial_fit(X, y).predict(X), wanted)


def test_nothing_works_before_fit(X):
    regressor = AutoRecRegressor()
    for ask in (lambda: regressor.predict(X), regressor.recommend, lambda: regressor.predict_new_user({1: 2}, [3])):
        with pytest.raises(NotFittedError):
            ask()


def test_the_seed_makes_it_reproducible_and_nothing_else_is_touched(X, y):
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    one, same = (AutoRecRegressor(**SMALL).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    other = AutoRecRegressor(**{**SMALL, "random_state": 1}).fit(X, y).predict(X)
    assert not np.allclose(one, other)
