"""AutoRec stands wherever Surprise takes an algorithm."""

import gc
import signal
import time
import warnings
from itertools import pairwise

import numpy as np
import pytest
from conftest import FAST
from surprise import AlgoBase, Dataset, KNNBasic, Reader, dump
from surprise.model_selection import (
    GridSearchCV,
    KFold,
    LeaveOneOut,
    PredefinedKFold,
    RandomizedSearchCV,
    RepeatedKFold,
    ShuffleSplit,
    cross_validate,
)

from surprise_autorec import AutoRec, compare, datasets


def test_is_an_algorithm_of_surprise(trainset):
    algorithm = AutoRec(**FAST)
    assert isinstance(algorithm, AlgoBase)
    assert algorithm.fit(trainset) is algorithm
    assert algorithm.trainset is trainset
    assert type(algorithm.estimate(0, 0)) is float
    bu, bi = algorithm.compute_baselines()
    assert (bu.shape, bi.shape) == ((trainset.n_users,), (trainset.n_items,))


@pytest.mark.parametrize(
    "cv",
    [
        KFold(3, random_state=0),
        LeaveOneOut(n_splits=2, random_state=0),
        ShuffleSplit(n_splits=2, random_state=0),
        RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
    ],
    ids=lambda cv: type(cv).__name__,
)
def test_cross_validate(data, cv):
    result = cross_validate(
        AutoRec(**FAST), data, measures=["rmse", "mae"], cv=cv, return_train_measures=True
    )
    assert np.isfinite(result["test_rmse"]).all()
    assert np.isfinite(result["train_mae"]).all()
    assert len(result["fit_time"]) == cv.get_n_folds()


def test_cross_validate_of_predefined_folds(tmp_path):
    files = [(tmp_path / f"{n}.base", tmp_path / f"{n}.test") for n in (1, 2)]
    for n, (base, test) in enumerate(files):
        base.write_text("\n".join(f"u{u} i{i} {1 + (u + i + n) % 5}" for u in range(12) for i in range(9)))
        test.write_text("\n".join(f"u{u} i{u % 9} {1 + (2 * u) % 5}" for u in range(14)))
    data = Dataset.load_from_folds(
        [tuple(map(str, pair)) for pair in files], Reader(line_format="user item rating")
    )
    result = cross_validate(AutoRec(**FAST), data, cv=PredefinedKFold())
    frame = compare([AutoRec(**FAST)], data, cv=PredefinedKFold()).folds
    gc.collect()  # Surprise leaves the files open
    assert len(result["test_rmse"]) == 2
    assert frame["rmse"].tolist() == result["test_rmse"].tolist()


def test_one_and_two_processes_give_the_same_bits(data):
    one, two = (
        cross_validate(AutoRec(**FAST, variant="hybrid"), data, cv=KFold(3, random_state=0), n_jobs=n)
        for n in (1, 2)
    )
    assert one["test_rmse"].tolist() == two["test_rmse"].tolist()


def test_grid_search(data):
    grid = {
        "n_factors": [4, (8, 4)],
        "variant": ["item", "user"],
        "n_epochs": [2],
        "random_state": [0],
        "bsl_options": {"method": ["als", "sgd"], "n_epochs": [3]},
    }
    search = GridSearchCV(AutoRec, grid, cv=KFold(2, random_state=0), refit=True)
    search.fit(data)
    assert len(search.cv_results["params"]) == 8
    assert set(search.best_params["rmse"]) == {
        "n_factors",
        "variant",
        "n_epochs",
        "random_state",
        "bsl_options",
    }
    assert len(set(search.cv_results["mean_test_rmse"])) == 8
    assert 1 <= search.predict(1, 1).est <= 5


def test_randomized_search(data):
    distributions = {"dropout": [0.0, 0.25, 0.5], "n_factors": [4, 8], "n_epochs": [2], "random_state": [0]}
    search = RandomizedSearchCV(AutoRec, distributions, n_iter=3, cv=2, random_state=0)
    search.fit(data)
    assert len(search.cv_results["params"]) == 3
    assert np.isfinite(search.best_score["rmse"])


def test_dump_and_load(trainset, tmp_path):
    algorithm = AutoRec(**FAST).fit(trainset)
    predictions = algorithm.test(trainset.build_testset())
    file = str(tmp_path / "dumped")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Surprise leaves the file open
        dump.dump(file, predictions=predictions, algo=algorithm)
        loaded_predictions, loaded = dump.load(file)
        gc.collect()
    assert loaded_predictions == predictions
    assert loaded.test(trainset.build_testset()) == predictions


def test_anti_testset_is_ranked(trainset):
    algorithm = AutoRec(**FAST).fit(trainset)
    anti_testset = trainset.build_anti_testset()
    predictions = algorithm.test(anti_testset)
    assert len(predictions) == trainset.n_users * trainset.n_items - trainset.n_ratings
    assert len({prediction.est for prediction in predictions}) > 1000


def test_wrong_keyword_is_refused():
    """AlgoBase would drop it without a word."""
    with pytest.raises(TypeError, match="n_factor"):
        AutoRec(n_factor=10)


@pytest.mark.parametrize("is_on", [True, False])
def test_test_leaves_garbage_collection_as_it_was(data, is_on):
    algorithm = AutoRec(**FAST).fit(data.build_full_trainset())
    was_on = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        algorithm.test([("a", "b", 1.0)])
        assert gc.isenabled() == is_on
    finally:
        (gc.enable if was_on else gc.disable)()


def test_an_interrupt_of_test_leaves_garbage_collection_on():
    """At 100 moments, spread over the whole call."""
    many = Dataset.load_from_df(datasets.make_ratings(), Reader(rating_scale=(1, 5))).build_full_trainset()
    algorithm, testset = AutoRec(**FAST).fit(many), many.build_testset()
    moments = [time.perf_counter()]
    for _ in range(3):
        algorithm.test(testset)
        moments.append(time.perf_counter())
    duration = min(end - start for start, end in pairwise(moments))
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    n_interrupted = 0
    try:
        for n in range(100):
            try:
                signal.setitimer(signal.ITIMER_REAL, duration * (n + 1) / 100)
                algorithm.test(testset)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                n_interrupted += 1
            assert gc.isenabled()
    finally:
        signal.signal(signal.SIGALRM, handler)
        gc.enable()
    assert n_interrupted > 5


def test_an_interrupt_while_garbage_is_collected_leaves_it_on(data, monkeypatch):
    algorithm = AutoRec(**FAST).fit(data.build_full_trainset())

    def interrupted(_generation):
        raise KeyboardInterrupt

    monkeypatch.setattr(gc, "collect", interrupted)
    with pytest.raises(KeyboardInterrupt):
        algorithm.test([("1", "2", 3.0)])
    assert gc.isenabled()


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("name", ["cosine", "msd", "pearson", "pearson_baseline"])
def test_similarities_are_those_of_every_algorithm(trainset, name, biased):
    """AlgoBase offers them to all; `sim_options` is where it keeps what to compute."""
    ours, theirs = (
        AutoRec(**FAST, biased=biased, bsl_options={"reg_u": 7}).fit(trainset),
        KNNBasic(verbose=False),
    )
    theirs.bsl_options, theirs.verbose = {"reg_u": 7}, False
    AlgoBase.fit(theirs, trainset)
    for options in ({"user_based": True}, {"user_based": False, "min_support": 3}):
        ours.sim_options = theirs.sim_options = {**options, "name": name}
        np.testing.assert_allclose(ours.compute_similarities(), theirs.compute_similarities(), atol=1e-4)


def test_options_of_similarities_are_there_from_the_start():
    assert AutoRec().sim_options == AlgoBase().sim_options == {"user_based": True}


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"method": "als", "reg_u": 3}, {"method": "sgd", "n_epochs": 3}], ids=str
)
def test_baselines_are_those_of_every_algorithm(trainset, options, biased):
    ours = AutoRec(**FAST, biased=biased, bsl_options=options).fit(trainset).compute_baselines()
    theirs = AlgoBase(bsl_options=options).fit(trainset)
    theirs.verbose = False
    # Descent depends on the order of the ratings, which is another here.
    tolerance = 0.02 if options.get("method") == "sgd" else 1e-5
    for our, their in zip(ours, theirs.compute_baselines(), strict=True):
        np.testing.assert_allclose(our, their, atol=tolerance)
