"""Rating predictors of other packages, each tested with the real package if it is installed."""

import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from surprise import BaselineOnly, Dataset, Reader, SVDpp, accuracy
from surprise.model_selection import GridSearchCV, KFold, train_test_split

from surprise_autorec import AutoRecRegressor, compare, datasets
from surprise_autorec.adapters import Cornac, LensKit, MyFM, Peer
from surprise_autorec.core.arrays import Float64Array, Int32Array


def biased_mf():
    als = pytest.importorskip("lenskit.als")
    return LensKit(als.BiasedMFScorer(features=5, epochs=5), random_state=0)


def item_knn():
    knn = pytest.importorskip("lenskit.knn")
    return LensKit(knn.ItemKNNScorer(k=10))


def mf():
    models = pytest.importorskip("cornac.models")
    return Cornac(models.MF(k=5, seed=0))


def user_knn():
    models = pytest.importorskip("cornac.models")
    return Cornac(models.UserKNN(k=10, verbose=False, seed=0))


def factorisation_machine():
    pytest.importorskip("pkg_resources", reason="myFM needs setuptools<81")
    pytest.importorskip("myfm")
    return MyFM(rank=4, n_iter=20, random_state=0)


pytestmark = pytest.mark.filterwarnings("ignore:.*pkg_resources:UserWarning")
every = pytest.mark.parametrize(
    "make", [biased_mf, item_knn, mf, user_knn, factorisation_machine], ids=lambda make: make.__name__
)


def estimates_of(predictions):
    return np.array([prediction.est for prediction in predictions])


@pytest.fixture(scope="module")
def halves():
    """A trainset and a testset whose raw ids are texts, and differ from the inner ids."""
    frame = datasets.make_ratings(n_users=80, n_items=50, n_ratings=2000, noise=0.3, random_state=1)
    frame = frame.assign(user="u" + frame["user"].astype(str), item="i" + frame["item"].astype(str))
    return train_test_split(Dataset.load_from_df(frame, Reader()), test_size=0.2, random_state=0)


@every
def test_predictions_are_about_as_good_as_they_should_be(make, halves):
    trainset, testset = halves
    predictions = make().fit(trainset).test(testset)
    assert [prediction[:3] for prediction in predictions] == testset
    mean = np.std([rating for _, _, rating in testset])
    assert accuracy.rmse(predictions, verbose=False) < 0.9 * mean


@every
def test_one_pair_is_predicted_as_in_a_batch(make, halves):
    trainset, testset = halves
    algorithm = make().fit(trainset)
    testset = [
        *testset[:20],
        ("nobody", testset[0][1], 3),
        (testset[0][0], "nothing", 3),
        ("nobody", "nothing", 3),
    ]
    testset += [(testset[0][0], "nothing either", 3), testset[0]]
    in_batch = algorithm.test(testset)
    one_by_one = [algorithm.predict(*row) for row in testset]
    np.testing.assert_allclose(estimates_of(in_batch), estimates_of(one_by_one), atol=1e-5)
    assert [p.details for p in in_batch] == [p.details for p in one_by_one]
    assert np.isfinite(estimates_of(in_batch)).all()
    assert all(type(prediction.est) is float for prediction in in_batch)


@every
def test_a_second_fit_starts_from_nothing(make, halves, data):
    trainset, testset = halves
    algorithm = make()
    first = estimates_of(algorithm.fit(trainset).test(testset))
    algorithm.fit(data.build_full_trainset())
    np.testing.assert_array_equal(estimates_of(algorithm.fit(trainset).test(testset)), first)
    np.testing.assert_array_equal(estimates_of(make().fit(trainset).test(testset)), first)


@every
def test_estimates_are_clipped_to_the_scale(make):
    ratings = [(user, item, 5 if (user + item) % 2 else 1) for user in range(9) for item in range(8)]
    data = Dataset.load_from_df(pd.DataFrame(ratings), Reader(rating_scale=(1, 5)))
    predictions = make().fit(data.build_full_trainset()).test([(1, item, None) for item in range(8)])
    assert 1 <= estimates_of(predictions).min() < estimates_of(predictions).max() <= 5


@every
def test_they_take_part_in_comparisons(make, data):
    comparison = compare(
        {"peer": make(), "baseline": BaselineOnly(verbose=False)}, data, cv=KFold(2, random_state=0)
    )
    assert np.isfinite(comparison.summary().loc["peer", "rmse"])


@every
def test_they_can_be_sent_to_another_process_before_they_are_fitted(make, halves):
    trainset, testset = halves
    algorithm = pickle.loads(pickle.dumps(make()))
    expected = estimates_of(make().fit(trainset).test(testset))
    np.testing.assert_array_equal(estimates_of(algorithm.fit(trainset).test(testset)), expected)


@every
def test_torch_keeps_its_threads(make, halves):
    before = torch.get_num_threads()
    make().fit(halves[0])
    assert torch.get_num_threads() == before


@every
def test_nothing_is_printed_but_predictions_when_asked_for(make, halves, capfd):
    trainset, testset = halves
    algorithm = make().fit(trainset)
    predictions = algorithm.test([*testset[:2], ("nobody", "nothing", 3)])
    assert capfd.readouterr() == ("", "")
    assert algorithm.test([*testset[:2], ("nobody", "nothing", 3)], verbose=True) == predictions
    assert capfd.readouterr().out.splitlines() == [str(prediction) for prediction in predictions]


@pytest.mark.parametrize("make", [biased_mf, factorisation_machine], ids=lambda make: make.__name__)
def test_random_state_decides_the_result(make, halves):
    trainset, testset = halves
    algorithm = make()
    first = estimates_of(algorithm.fit(trainset).test(testset))
    algorithm.random_state = 1
    assert (estimates_of(algorithm.fit(trainset).test(testset)) != first).any()


def test_grid_search_sets_the_parameters_of_myfm(data):
    factorisation_machine()
    grid = {"rank": [2, 4], "n_iter": [10], "random_state": [0]}
    search = GridSearchCV(MyFM, grid, measures=["rmse"], cv=KFold(2, random_state=0))
    search.fit(data)
    assert search.best_params["rmse"]["rank"] in {2, 4}
    assert len(set(search.cv_results["mean_test_rmse"])) == 2


#: Rows of the README's table in which not all packages have a tick, and those that have one.
TICKS = {
    "scikit-learn's `cross_val_score`": {"AutoRec"},
    "new users without training": {"AutoRec", "BiasedMF (LensKit)"},
    "saved without pickle": {"AutoRec"},
}


def test_ticks_of_the_readme():
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in row.split("|")]
        for row in re.findall(r"^\|(.*)\|$", readme, flags=re.MULTILINE)
    ]
    (names,) = [names for first, *names in rows if not first and "AutoRec" in names]
    ticks = {
        first: {name for name, cell in zip(names, cells, strict=True) if cell}
        for first, *cells in rows
        if "✓" in cells
    }
    assert ticks == {"Surprise's `cross_validate`": set(names), **TICKS}


def test_only_autorec_is_an_estimator_of_scikit_learn():
    factorisation_machine()
    from myfm import MyFMRegressor

    assert repr(clone(AutoRecRegressor(n_factors=4))) == "AutoRecRegressor(n_factors=4)"
    for other in (SVDpp(), biased_mf().scorer, mf().model, MyFMRegressor(rank=4)):
        with pytest.raises(TypeError, match="get_params"):
            clone(other)


def test_lenskit_predicts_for_new_users(halves):
    algorithm = biased_mf().fit(halves[0])
    from lenskit.data import ItemList, RecQuery

    scorer = algorithm._pipeline.node("scorer").component
    given, asked = np.arange(8), ItemList(item_ids=np.arange(8, 20))
    low, high = (
        scorer(RecQuery(history_items=ItemList(item_ids=given, rating=np.full(8, rating))), asked).scores()
        for rating in (1.0, 5.0)
    )
    assert low.mean() < high.mean() - 0.5


def test_verbose_shows_the_progress_bar_of_myfm(halves, capfd):
    algorithm = factorisation_machine()
    algorithm.verbose = True
    algorithm.fit(halves[0])
    assert "20/20" in capfd.readouterr().err


class MeanOfItem(Peer):
    """The mean rating of an item, by hand, without a prediction for unknown items."""

    def _train(self, ratings):
        self._means = np.bincount(ratings.items, ratings.values) / np.bincount(ratings.items)
        self._means = np.append(self._means, np.nan)

    def _predict(self, users: Int32Array, items: Int32Array) -> Float64Array:  # noqa: ARG002
        return self._means[items]


def test_what_adapters_share_needs_no_other_package():
    ratings = [("a", "x", 4), ("b", "x", 5), ("a", "y", 1)]
    data = Dataset.load_from_df(pd.DataFrame(ratings), Reader())
    algorithm = MeanOfItem().fit(data.build_full_trainset())
    predictions = algorithm.test([("b", "y", 2), ("c", "x", None), ("a", "z", 3)])
    assert [tuple(prediction) for prediction in predictions[:2]] == [
        ("b", "y", 2, 1.0, {"was_impossible": False}),
        ("c", "x", None, 4.5, {"was_impossible": False}),
    ]
    assert predictions[2].est == pytest.approx(10 / 3)
    assert predictions[2].details["was_impossible"]
    assert predictions == [algorithm.predict(*prediction[:3]) for prediction in predictions]
    assert algorithm.test([]) == []


def test_without_the_package_the_error_names_it(monkeypatch, trainset):
    monkeypatch.setitem(sys.modules, "myfm", None)
    with pytest.raises(ImportError, match="myfm"):
        MyFM().fit(trainset)
