"""What an AutoRec shows of itself, and what it says to those who hold it wrongly."""

import inspect
import typing
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import FAST
from scipy.sparse import coo_array
from sklearn.exceptions import NotFittedError

import surprise_autorec
from surprise_autorec import AutoRec, AutoRecRegressor
from surprise_autorec.parameters import AutoRecParameters, Keywords

CLASSES = [AutoRec, AutoRecRegressor]


@pytest.fixture(scope="module")
def fitted(data):
    return AutoRec(**FAST).fit(data.build_full_trainset())


@pytest.mark.parametrize("constructor", CLASSES)
def test_repr_shows_what_differs_from_the_defaults(constructor):
    name = constructor.__name__
    assert repr(constructor()) == f"{name}()"
    assert (
        repr(constructor(n_factors=8, variant="user", biased=True)) == f"{name}(n_factors=8, variant='user')"
    )
    assert repr(constructor(biased=1)) == f"{name}(biased=1)"
    assert repr(constructor(random_state=np.random.RandomState(0))).startswith(f"{name}(random_state=Random")


def test_the_repr_of_a_model_is_short(fitted):
    assert repr(fitted.model_) == "<AutoRecModel: 80 users, 50 items, 2,000 ratings, networks: item>"


@pytest.mark.parametrize("constructor", CLASSES)
def test_the_card_escapes_values(constructor):
    card = constructor(variant="<b>")._repr_html_()
    assert "not fitted" in card
    assert "&lt;b&gt;" in card
    assert "<b>" not in card
    assert constructor()._repr_mimebundle_()["text/html"] == constructor()._repr_html_()


def test_the_card_of_a_fitted_one_has_its_sizes_and_its_loss(fitted):
    card = fitted._repr_html_()
    assert "80 users, 50 items, 2,000 ratings" in card
    assert f"epochs: {fitted.n_iter_}" in card
    assert card.count(",") > 2 * fitted.n_iter_ > 0
    assert "polyline" in card
    assert "validation RMSE" not in card


def test_the_card_has_the_validation_error(trainset):
    algorithm = AutoRec(**FAST, early_stopping=True).fit(trainset)
    assert f"validation RMSE: {min(algorithm.validation_scores_):.4f}" in algorithm._repr_html_()
    single = AutoRec(**{**FAST, "n_epochs": 1}).fit(trainset)
    assert "polyline" not in single._repr_html_()


@pytest.mark.parametrize("constructor", CLASSES)
def test_an_unknown_keyword_names_the_class_and_the_nearest(constructor):
    with pytest.raises(
        TypeError, match=f"^{constructor.__name__} has no parameter 'n_factor': did you mean 'n_factors'"
    ):
        constructor(n_factor=3)
    with pytest.raises(TypeError, match=f"^{constructor.__name__} has no parameter 'zzz'$"):
        constructor(zzz=3)
    with pytest.raises(TypeError, match="has no parameter 'lr': did you mean 'lr_all'"):
        constructor(lr=0.1)


def test_the_nearest_keyword_may_be_one_of_the_regressor_alone():
    with pytest.raises(
        TypeError, match="AutoRecRegressor has no parameter 'user_col': did you mean 'user_column'"
    ):
        AutoRecRegressor(user_col="user")


@pytest.mark.parametrize("constructor", CLASSES)
def test_help_leads_with_words_and_has_every_parameter(constructor):
    documentation = inspect.getdoc(constructor)
    assert documentation.splitlines()[0].endswith(".")
    parameters, attributes = documentation.index("Parameters\n---"), documentation.index("Attributes\n---")
    assert parameters < attributes
    for name, parameter in inspect.signature(constructor).parameters.items():
        assert f"\n{name} : " in documentation[parameters:attributes]
        assert parameter.annotation is parameter.empty
    assert documentation.count("Parameters\n---") == 1
    assert "**parameters" not in documentation


@pytest.mark.parametrize("constructor", CLASSES)
def test_the_signature_is_short_when_printed_and_whole_when_read(constructor):
    signature = inspect.signature(constructor)
    assert str(signature).endswith(", ...)")
    assert len(str(signature)) < 130
    assert list(signature.parameters)[-1] == "verbose"
    given = signature.bind(n_factors=3, verbose=True).arguments
    assert given == {"n_factors": 3, "verbose": True}


def test_type_checkers_see_the_keywords_of_both_classes():
    signature = typing.get_type_hints(AutoRecParameters.__init__)
    signature.pop("return")
    assert typing.get_type_hints(Keywords) == signature


def test_tab_completion_lists_public_names_only():
    assert not [name for name in dir(surprise_autorec) if name.startswith("_") and name != "__version__"]
    assert not {"Any", "TYPE_CHECKING", "fitting", "version"} & set(dir(surprise_autorec))


@pytest.mark.parametrize(
    ("one", "is_known"),
    [
        ("3", "int"),
        (3, None),
        ("003", "int"),
        ("x", None),
        (3.5, None),
        pytest.param(10**400, None, id="larger than any float"),
        pytest.param("9" * 5000, None, id="more digits than Python turns into a number"),
    ],
)
def test_ids_of_another_type_are_a_warning(fitted, one, is_known):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted.predict(one, fitted.model_.item_ids[0])
    messages = [str(warning.message) for warning in caught]
    if is_known is None:
        assert messages == []
    else:
        assert messages == [
            f"user ids of type str are unknown to the model, but would be known as {is_known}: "
            f"convert them with {is_known}(...)"
        ]
        assert caught[0].filename == __file__


def test_numbers_that_would_be_known_as_text_are_a_warning(data):
    frame = pd.DataFrame(data.raw_ratings, columns=["user", "item", "rating", "time"]).astype({"item": "str"})
    regressor = AutoRecRegressor(**FAST).fit(frame[["user", "item"]], frame["rating"])
    with pytest.warns(UserWarning, match=r"item ids of type int .* would be known as str"):
        regressor.predict(frame[["user", "item"]].astype({"item": "int"}))


def test_details_say_what_is_unknown(fitted):
    user, item = fitted.model_.user_ids[0], fitted.model_.item_ids[0]
    for uid, iid, unknown in (
        (user, item, {}),
        ("x", item, {"unknown_user": True}),
        (user, "x", {"unknown_item": True}),
        ("x", "x", {"unknown_user": True, "unknown_item": True}),
    ):
        expected = {"was_impossible": False, **unknown}
        assert fitted.predict(uid, iid).details == {**expected, "std": pytest.approx(1, abs=0.9)}
        assert fitted.test([(uid, iid, 3.0)])[0].details == expected


def test_predict_prints_if_asked(fitted, capsys):
    assert fitted.predict("x", "x", verbose=True).details["unknown_user"]
    assert "unknown_item" in capsys.readouterr().out


def test_an_unfitted_one_says_so():
    for call in (lambda one: one.predict(1, 2), lambda one: one.test([(1, 2, 3.0)])):
        with pytest.raises(NotFittedError, match="call fit"):
            call(AutoRec())


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (lambda data: data, r"DatasetAutoFolds: call fit\(data.build_full_trainset\(\)\)"),
        (lambda data: pd.DataFrame(data.raw_ratings), "DataFrame: use AutoRecRegressor"),
        (lambda _: np.eye(3), "ndarray: see Surprise's Dataset.load_from_df"),
    ],
)
def test_fit_says_what_to_do_with_other_ratings(data, kind, advice):
    with pytest.raises(TypeError, match=advice):
        AutoRec().fit(kind(data))


def test_the_regressor_says_what_to_do_with_a_sparse_matrix():
    with pytest.raises(TypeError, match=r"sparse matrix of ratings, call fit_batches\(matrix\)"):
        AutoRecRegressor().fit(coo_array(np.eye(3)), [1, 2, 3])


def test_polars_frames_keep_their_names():
    frame = pl.DataFrame({"user": [1, 2, 1], "item": ["a", "b", "b"], "rating": [1.0, 5.0, 3.0]})
    regressor = AutoRecRegressor(user_column="user", item_column="item", **FAST).fit(frame, frame["rating"])
    assert list(regressor.feature_names_in_) == ["user", "item", "rating"]
    assert regressor.model_.item_ids == ["a", "b"]
    assert np.array_equal(
        regressor.predict(frame), regressor.predict(pd.DataFrame(frame.to_dict(as_series=False)))
    )


def test_a_file_is_loaded_as_either_class(fitted, tmp_path, data):
    testset = [row[:3] for row in data.raw_ratings[:20]]
    pairs = [row[:2] for row in testset]
    expected = [prediction.est for prediction in fitted.test(testset)]
    fitted.save(tmp_path / "algorithm")
    regressor = AutoRecRegressor.load(tmp_path / "algorithm")
    assert regressor.predict(pairs).tolist() == expected
    assert regressor.n_factors == fitted.n_factors
    assert regressor.rating_scale == (1, 5)
    regressor.save(tmp_path / "regressor")
    algorithm = AutoRec.load(tmp_path / "regressor")
    assert [prediction.est for prediction in algorithm.test(testset)] == expected
    assert isinstance(surprise_autorec.load(tmp_path / "regressor"), AutoRecRegressor)
