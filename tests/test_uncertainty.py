"""Standard errors and intervals of fitted models: every variant, and every way to ask for them."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from conftest import FAST
from surprise import Dataset, Reader

import surprise_autorec
from surprise_autorec import PAPER, AutoRec, AutoRecRegressor, datasets

KINDS = {
    "item": {},
    "user": {"variant": "user"},
    "hybrid": {"variant": "hybrid", "n_estimators": 2},
    "deep": {"n_factors": (16, 8)},
    "not biased": {"biased": False},
    "sigmoid": {"decoder_activation": "sigmoid"},
    "sgd": {"optimizer": "sgd"},
    "rprop": {"optimizer": "rprop"},
    "lbfgs": {"optimizer": "lbfgs"},
    "early stopping": {"early_stopping": True},
    "one epoch": {"n_epochs": 1},
}
LEVELS = [0.5, 0.8, 0.9, 0.95]


def fit_on(frame, **options):
    scale = options.pop("rating_scale", (1, 5))
    data = Dataset.load_from_df(frame, Reader(rating_scale=scale))
    return AutoRec(**{**FAST, **options}).fit(data.build_full_trainset())


@pytest.fixture(scope="module")
def frames():
    """Synthetic ratings with noise of its own for each user, and other ratings of the same."""
    frame = datasets.make_ratings(200, 100, 12_000, noise=0, random_state=0)
    rng = np.random.default_rng(0)
    noise = rng.uniform(0.2, 0.9, 200)
    frame["rating"] += noise[frame["user"]] * rng.normal(size=len(frame))
    frame["rating"] = frame["rating"].clip(1, 5)
    return frame[:9000], frame[9000:].reset_index(drop=True)


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def fitted(request, frames):
    return fit_on(frames[0], **request.param)


@pytest.fixture(scope="module")
def algorithm(frames):
    return fit_on(frames[0], n_epochs=12)


@pytest.fixture(scope="module")
def regressor(frames):
    frame = frames[0]
    regressor = AutoRecRegressor(**FAST, rating_scale=(1, 5))
    return regressor.fit(frame[["user", "item"]], frame["rating"])


def pairs_of(frame):
    return list(zip(frame["user"], frame["item"], frame["rating"], strict=True))


def share_held(algorithm, frame, level):
    low, high = algorithm.predict_interval(pairs_of(frame), level).T
    return ((low <= frame["rating"]) & (frame["rating"] <= high)).mean()


@pytest.mark.parametrize("level", LEVELS)
def test_intervals_hold_what_they_promise(fitted, frames, level):
    assert abs(share_held(fitted, frames[1], level) - level) < 0.05


def test_intervals_are_nested_and_on_the_scale(fitted, frames):
    bounds = [fitted.predict_interval(pairs_of(frames[1]), level) for level in LEVELS]
    for inner, outer in pairwise(bounds):
        assert (outer[:, 0] <= inner[:, 0]).all()
        assert (inner[:, 1] <= outer[:, 1]).all()
    assert bounds[-1].min() >= 1
    assert bounds[-1].max() <= 5


def test_the_std_is_about_the_error_and_larger_where_errors_are(algorithm, frames):
    predictions = algorithm.test(pairs_of(frames[1]), return_std=True)
    std = np.array([prediction.details["std"] for prediction in predictions])
    errors = np.array([prediction.est - prediction.r_ui for prediction in predictions])
    np.testing.assert_allclose(np.sqrt(np.mean((errors / std) ** 2)), 1, atol=0.08)
    assert np.corrcoef(std, np.abs(errors))[0, 1] > 0.25


def test_predict_has_the_std_of_test_which_has_it_where_asked_for(fitted, frames):
    pairs = [*pairs_of(frames[1])[:20], ("nobody", 1, 3.0), (1, "nothing", 3.0), ("nobody", "nothing", 3.0)]
    asked, plain = fitted.test(pairs, return_std=True), fitted.test(pairs)
    for pair, one, other in zip(pairs, asked, plain, strict=True):
        prediction = fitted.predict(*pair)
        assert prediction.details["std"] == pytest.approx(one.details["std"], rel=1e-5)
        assert prediction[:3] == other[:3]
        assert "std" not in other.details


def test_predict_prints_the_std(algorithm, capsys):
    prediction = algorithm.predict(1, 2, verbose=True)
    assert f"'std': {prediction.details['std']}" in capsys.readouterr().out


def test_an_estimate_off_the_scale_has_the_std_of_the_clipped_one():
    pairs = pd.MultiIndex.from_product([range(30), range(20)], names=["user", "item"]).to_frame(index=False)
    frame = pairs.assign(rating=np.where((pairs["user"] < 15) & (pairs["item"] < 10), 1.0, 5.0))
    algorithm = fit_on(frame, n_epochs=1)
    off = algorithm.predict(20, 15, clip=False)
    assert off.est > 5
    assert off.details["std"] == algorithm.predict(20, 15).details["std"]


def test_less_is_known_of_unknown_users_and_items(algorithm):
    std = {pair: algorithm.predict(*pair).details["std"] for pair in [(1, 2), ("?", 2), (1, "?"), ("?", "?")]}
    assert std["?", 2] > std[1, 2]
    assert std[1, "?"] > std[1, 2]
    assert std["?", "?"] > max(std["?", 2], std[1, "?"])


def test_a_new_user_with_more_ratings_is_better_known(algorithm, frames):
    own = frames[0][frames[0]["user"] == frames[0]["user"].mode()[0]]
    ratings = dict(zip(own["item"], own["rating"], strict=True))
    few = dict(list(ratings.items())[:2])
    items = list(range(100))
    _, with_few = algorithm.predict_new_user(few, items, return_std=True)
    _, with_all = algorithm.predict_new_user(ratings, items, return_std=True)
    unknown = np.array([algorithm.predict("?", item).details["std"] for item in items])
    assert with_all.mean() < with_few.mean() < 1.1 * unknown.mean()


def test_a_folded_in_user_has_about_the_std_that_training_gave(algorithm, frames):
    frame = frames[0]
    own, items = frame[frame["user"] == 7], list(range(100))
    _, std = algorithm.predict_new_user(dict(zip(own["item"], own["rating"], strict=True)), items, True)
    trained = [algorithm.predict(7, item).details["std"] for item in items]
    np.testing.assert_allclose(std, trained, rtol=0.1)


def test_new_items_have_a_std(algorithm):
    estimates, std = algorithm.predict_new_item({1: 4.0, 2: 5.0}, [1, 2, "?"], return_std=True)
    assert estimates.tolist() == algorithm.predict_new_item({1: 4.0, 2: 5.0}, [1, 2, "?"]).tolist()
    assert std.shape == (3,)
    assert std[2] > std[:2].max()


def test_recommend_has_a_column(algorithm):
    table = algorithm.recommend([3, 5], n=4, return_std=True, new_users={"new": {1: 5.0}})
    assert list(table) == ["user", "item", "rank", "estimate", "std"]
    known = table[table["user"] != "new"]
    expected = [
        algorithm.predict(user, item).details["std"]
        for user, item in zip(known["user"], known["item"], strict=True)
    ]
    np.testing.assert_allclose(known["std"], expected, rtol=1e-5)
    new = table[table["user"] == "new"]
    _, std = algorithm.predict_new_user({1: 5.0}, new["item"], return_std=True)
    np.testing.assert_allclose(new["std"], std, rtol=1e-5)
    assert list(algorithm.recommend([3], n=2)) == ["user", "item", "rank", "estimate"]


def test_the_regressor_returns_std_and_intervals(regressor, frames):
    X = frames[1][["user", "item"]]
    estimates, std = regressor.predict(X, return_std=True)
    np.testing.assert_array_equal(estimates, regressor.predict(X))
    algorithm = fit_on(frames[0])
    expected = [one.details["std"] for one in algorithm.test(pairs_of(frames[1]), return_std=True)]
    np.testing.assert_allclose(std, expected, rtol=1e-4)
    bounds = regressor.predict_interval(X, 0.8)
    np.testing.assert_allclose(bounds, algorithm.predict_interval(pairs_of(frames[1]), 0.8), atol=1e-4)


def test_other_scales_have_the_same_intervals_on_them(frames):
    def of_scale(low, high):
        def moved(values):
            return low + (values - 1) / 4 * (high - low)

        frame = frames[0].assign(rating=moved(frames[0]["rating"]))
        algorithm = fit_on(frame, rating_scale=(low, high))
        return algorithm.predict_interval([(1, 2), ("?", 2), (3, 4)], 0.9), moved

    expected, _ = of_scale(1, 5)
    for low, high in [(-10, 10), (0, 1), (0.5, 5)]:
        bounds, moved = of_scale(low, high)
        np.testing.assert_allclose(bounds, moved(expected), atol=2e-3 * (high - low))


def test_saved_and_loaded_it_is_the_same(algorithm, frames, tmp_path):
    algorithm.save(tmp_path / "model")
    loaded = surprise_autorec.load(tmp_path / "model")
    pairs = [*pairs_of(frames[1])[:50], ("?", 3, 1.0)]
    assert loaded.test(pairs, return_std=True) == algorithm.test(pairs, return_std=True)
    for level in LEVELS:
        np.testing.assert_array_equal(
            loaded.predict_interval(pairs, level), algorithm.predict_interval(pairs, level)
        )


def test_without_it_saved_and_loaded_there_is_none(frames, tmp_path):
    fit_on(frames[0], uncertainty=False).save(tmp_path / "model")
    loaded = surprise_autorec.load(tmp_path / "model")
    assert "std" not in loaded.predict(1, 2).details


def test_partial_fit_keeps_it_and_counts_new_ratings(frames):
    algorithm = fit_on(frames[0])
    before, unknown = (algorithm.predict(user, 2).details["std"] for user in (1, "new"))
    scores = algorithm.model_.errors.scores
    new = [("new", item, 3.0 + item % 2) for item in range(40)]
    algorithm.partial_fit(new, n_epochs=2)
    assert algorithm.model_.errors.scores is scores
    assert algorithm.predict(1, 2).details["std"] == pytest.approx(before, rel=0.1)
    assert algorithm.predict("new", 2).details["std"] < unknown


@pytest.mark.parametrize("coverage", [0, 1, -0.5, 90, "0.9", None, True, float("nan")])
def test_a_coverage_that_is_none_gets_one_clear_line(algorithm, regressor, coverage):
    message = f"coverage must be a number between 0 and 1, got {coverage!r}"
    with pytest.raises(ValueError, match=message) as error:
        algorithm.predict_interval([(1, 2)], coverage)
    assert str(error.value) == message
    with pytest.raises(ValueError, match=message):
        regressor.predict_interval(pd.DataFrame({"user": [1], "item": [2]}), coverage)


def test_a_pair_that_is_not_in_a_list_gets_one_clear_line(algorithm):
    message = r"^testset must be a list of \(uid, iid\) or \(uid, iid, r_ui\), got 'ann' in it$"
    with pytest.raises(ValueError, match=message):
        algorithm.predict_interval(("ann", "heat"))


def test_models_without_it_say_so(frames):
    algorithm = fit_on(frames[0], uncertainty=False)
    assert "std" not in algorithm.predict(1, 2).details
    for ask in (
        lambda: algorithm.test([(1, 2, 3.0)], return_std=True),
        lambda: algorithm.predict_interval([(1, 2)]),
        lambda: algorithm.recommend([1], return_std=True),
        lambda: algorithm.predict_new_user({1: 5.0}, [2], return_std=True),
    ):
        with pytest.raises(
            ValueError, match="no standard errors: it was fitted with uncertainty=False or to"
        ):
            ask()


def test_few_ratings_are_no_reason_not_to_fit():
    frame = datasets.make_ratings(10, 8, 60, noise=0.2)
    algorithm = fit_on(frame)
    assert algorithm.model_.errors is None


def test_intervals_that_too_few_errors_tell_of_are_the_scale():
    frame = datasets.make_ratings(20, 15, 150, noise=0.2)
    bounds = fit_on(frame).predict_interval([(1, 2)], 0.95)
    assert bounds.tolist() == [[1, 5]]


def test_no_pairs_are_no_intervals(algorithm):
    assert algorithm.predict_interval([]).shape == (0, 2)
    assert algorithm.test([], return_std=True) == []


def test_the_paper_does_without():
    assert PAPER["uncertainty"] is False


@pytest.mark.parametrize("value", ["yes", None, 2])
def test_uncertainty_is_true_or_false(frames, value):
    with pytest.raises(ValueError, match=f"uncertainty must be True or False, got {value!r}"):
        fit_on(frames[0], uncertainty=value)
