"""AutoRecRegressor stands wherever scikit-learn takes a regressor."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from conftest import FAST
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.compose import make_column_transformer
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from surprise_autorec import PAPER, AutoRecRegressor, datasets

#: 2,000 ratings by 80 users of 50 items; ids are strings and ints.
RATINGS = datasets.make_ratings(n_users=80, n_items=50, n_ratings=2000, noise=0.3, random_state=1)
RATINGS["user"] = "u" + RATINGS["user"].astype(str)
X, y = RATINGS[["user", "item"]], RATINGS["rating"]

TINY = {"n_factors": 4, "n_epochs": 2}


@pytest.mark.filterwarnings(
    "ignore:columns of X other than:UserWarning", "ignore:user .* more than once:UserWarning"
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [
        AutoRecRegressor(**TINY),
        AutoRecRegressor(**TINY, variant="hybrid", biased=False),
        AutoRecRegressor(**TINY, variant="user", n_estimators=2),
        AutoRecRegressor(**{**TINY, **PAPER, "n_factors": (4, 3), "n_epochs": 2}),
    ]
)
def test_check_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings(
    "ignore:columns of X other than:UserWarning", "ignore:user .* more than once:UserWarning"
)
def test_check_estimator():
    results = check_estimator(AutoRecRegressor(**TINY), on_skip=None)
    statuses = [result["status"] for result in results]
    assert set(statuses) <= {"passed", "skipped"}
    assert statuses.count("passed") > 40


def test_is_a_regressor():
    assert is_regressor(AutoRecRegressor())


def test_cross_val_score():
    scores = cross_val_score(
        AutoRecRegressor(random_state=0), X, y, cv=KFold(3, shuffle=True, random_state=0)
    )
    assert scores.min() > 0.25


def test_one_and_two_processes_give_the_same_bits():
    one, two = (
        cross_validate(AutoRecRegressor(**FAST, variant="hybrid"), X, y, cv=2, n_jobs=n)["test_score"]
        for n in (1, 2)
    )
    assert one.tolist() == two.tolist()


def test_grid_search():
    grid = {"n_factors": [4, (8, 4)], "variant": ["item", "user"], "bsl_options": [None, {"method": "sgd"}]}
    search = GridSearchCV(AutoRecRegressor(**FAST), grid, cv=2, scoring="neg_root_mean_squared_error").fit(
        X, y
    )
    assert len(set(search.cv_results_["mean_test_score"])) == 8
    assert search.best_estimator_.get_params()["n_factors"] == search.best_params_["n_factors"]
    assert len(search.best_estimator_.recommend([X["user"].iloc[0]], n=3)) == 3


@pytest.mark.parametrize("resource", ["n_samples", "n_epochs"])
def test_halving_grid_search(resource):
    search = HalvingGridSearchCV(
        AutoRecRegressor(**FAST),
        {"reg_all": [1, 10, 100]},
        resource=resource,
        min_resources=200 if resource == "n_samples" else 2,
        max_resources="auto" if resource == "n_samples" else 6,
        cv=2,
        random_state=0,
    ).fit(X, y)
    assert search.n_iterations_ == 2
    assert search.best_params_["reg_all"] in {1, 10, 100}


def test_pipeline_and_parameters_of_its_steps():
    lower_case = FunctionTransformer(lambda frame: frame.assign(user=frame["user"].str.lower()))
    pipeline = Pipeline([("lower", lower_case), ("autorec", AutoRecRegressor(**FAST))])
    search = GridSearchCV(pipeline, {"autorec__dropout": [0.0, 0.5]}, cv=2).fit(X, y)
    shouted = X.assign(user=X["user"].str.upper())
    assert search.predict(shouted).tolist() == search.predict(X).tolist()
    assert len(set(search.cv_results_["mean_test_score"])) == 2


def test_set_output_of_a_pipeline_hands_named_columns_on():
    columns = make_column_transformer(("passthrough", ["item", "user"]), verbose_feature_names_out=False)
    regressor = AutoRecRegressor(**FAST, user_column="user", item_column="item")
    pipeline = make_pipeline(columns, regressor).set_output(transform="pandas").fit(RATINGS, y)
    assert pipeline[-1].feature_names_in_.tolist() == ["item", "user"]
    assert pipeline.predict(RATINGS).tolist() == AutoRecRegressor(**FAST).fit(X, y).predict(X).tolist()


def test_it_is_no_transformer_and_has_no_output_to_set():
    assert not hasattr(AutoRecRegressor(), "set_output")
    assert not hasattr(AutoRecRegressor(), "transform")


def test_importance_of_the_columns():
    regressor = AutoRecRegressor(**{**FAST, "n_epochs": 18}, user_column="user", item_column="item")
    wider = X.assign(noise=np.arange(len(X)))
    regressor.fit(wider, y)
    found = permutation_importance(regressor, wider, y, n_repeats=2, random_state=0)["importances_mean"]
    assert (found[:2] > 0.05).all()
    assert found[2] == 0


def test_routing_of_metadata():
    """There is none that `fit` takes; what is sent all the same is refused by name."""
    with config_context(enable_metadata_routing=True):
        request = AutoRecRegressor().get_metadata_routing()
        assert request.consumes("fit", ["sample_weight"]) == set()
        assert request.consumes("partial_fit", ["n_epochs"]) == set()
        assert AutoRecRegressor().set_partial_fit_request(n_epochs=True).get_metadata_routing().consumes(
            "partial_fit", ["n_epochs"]
        ) == {"n_epochs"}
        search = GridSearchCV(AutoRecRegressor(**FAST), {"dropout": [0.0, 0.5]}, cv=2)
        assert search.fit(X, y).best_score_ > 0
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            search.fit(X, y, sample_weight=np.ones(len(y)))


def test_clone_in_a_pipeline_is_not_fitted():
    pipeline = make_pipeline(FunctionTransformer(), AutoRecRegressor(**FAST)).fit(X, y)
    copy = clone(pipeline)
    assert not [name for name in vars(copy[-1]) if name.endswith("_")]
    assert copy.fit(X, y).predict(X).tolist() == pipeline.predict(X).tolist()


def test_clone_has_the_parameters_and_is_not_fitted():
    regressor = AutoRecRegressor(**FAST, user_column="user", rating_scale=(1, 5)).fit(X, y)
    copy = clone(regressor)
    assert copy.get_params() == regressor.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert copy.fit(X, y).predict(X).tolist() == regressor.predict(X).tolist()


@pytest.mark.parametrize("copied_by", ["pickle", "joblib"])
def test_copies_predict_and_go_on_alike(copied_by, tmp_path):
    regressor = AutoRecRegressor(**FAST).fit(X, y)
    if copied_by == "pickle":
        copy = pickle.loads(pickle.dumps(regressor))
    else:
        joblib.dump(regressor, tmp_path / "regressor.joblib")
        copy = joblib.load(tmp_path / "regressor.joblib")
    assert copy.predict(X).tolist() == regressor.predict(X).tolist()
    more = pd.DataFrame({"user": ["new"], "item": [0]}), [4]
    assert copy.partial_fit(*more).predict(X).tolist() == regressor.partial_fit(*more).predict(X).tolist()


def test_global_generators_are_left_alone():
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    AutoRecRegressor(**FAST).fit(X, y).partial_fit(X[:5], y[:5])
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
