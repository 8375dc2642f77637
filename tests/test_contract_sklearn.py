"""What scikit-learn asks of a regressor, without exceptions."""

import inspect

import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from surprise_autorec import AutoRec, AutoRecRegressor

#: The checks' data are no ratings, and many of their pairs are there more than once: of that, a warning is due.
pytestmark = pytest.mark.filterwarnings("ignore:user .* rated item .* more than once:UserWarning")
VARIANTS = ["item", "user", "hybrid"]


@parametrize_with_checks([AutoRecRegressor(n_factors=8, n_epochs=3, variant=variant) for variant in VARIANTS])
def test_check(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_no_check_is_expected_to_fail():
    results = check_estimator(AutoRecRegressor(n_factors=4, n_epochs=2), on_fail=None)
    assert len(results) > 40
    # (One is skipped: the array API is switched off.)
    assert {result["status"] for result in results} <= {"passed", "skipped"}
    assert sum(result["status"] == "skipped" for result in results) <= 1


def test_it_takes_all_parameters_of_autorec_by_name_and_three_of_its_own():
    own = {"user_column": None, "item_column": None, "rating_scale": None}
    defaults = {name: parameter.default for name, parameter in inspect.signature(AutoRec).parameters.items()}
    assert AutoRecRegressor().get_params() == {**own, **defaults}
    assert {name: p.default for name, p in inspect.signature(AutoRecRegressor).parameters.items()} == {
        **own,
        **defaults,
    }


def test_unknown_parameters_are_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_factor'"):
        AutoRecRegressor(n_factor=3)
    with pytest.raises(ValueError, match="Invalid parameter 'n_factor' for estimator AutoRecRegressor"):
        AutoRecRegressor().set_params(n_factor=3)


def test_clone_and_repr():
    regressor = AutoRecRegressor(n_factors=(9, 4), bsl_options={"reg_u": 3}, user_column="u", rating_scale=(1, 5))
    assert clone(regressor).get_params() == regressor.get_params()
    assert repr(regressor).replace("\n", "").replace(" ", "") == (
        "AutoRecRegressor(bsl_options={'reg_u':3},n_factors=(9,4),rating_scale=(1,5),user_column='u')"
    )
