"""AutoRec stands wherever Surprise takes an algorithm.

The first part runs with algorithms of Surprise as well, so that it is Surprise's contract that is tested.
"""

import copy
import gc
import pickle
import signal
import time
from itertools import pairwise

import numpy as np
import pytest
from conftest import FAST
from surprise import (
    SVD,
    AlgoBase,
    BaselineOnly,
    Dataset,
    KNNBaseline,
    KNNBasic,
    Prediction,
    Reader,
    accuracy,
    dump,
)
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

from surprise_autorec import PAPER, AutoRec, compare, datasets

#: Algorithms as a search takes them: the class, and keywords.
ALGORITHMS = {
    "SVD": (SVD, {"n_factors": 8, "n_epochs": 3, "random_state": 0}),
    "KNNBaseline": (KNNBaseline, {"k": 10, "verbose": False}),
    "BaselineOnly": (BaselineOnly, {"verbose": False}),
    "item": (AutoRec, FAST),
    "user": (AutoRec, {**FAST, "variant": "user"}),
    "hybrid": (AutoRec, {**FAST, "variant": "hybrid", "n_estimators": 2}),
    "one-sided": (AutoRec, {**FAST, "two_sided": False}),
    "deep": (AutoRec, {**FAST, "n_factors": (8, 4)}),
    "not biased": (AutoRec, {**FAST, "biased": False}),
    "paper": (AutoRec, {**FAST, **PAPER, "n_factors": 16, "n_epochs": 5}),
}
#: What a search tries of each class.
GRIDS = {
    SVD: {"n_factors": [2, 8], "reg_all": [0.02, 0.4]},
    KNNBaseline: {"k": [2, 20], "bsl_options": {"method": ["als", "sgd"], "n_epochs": [2]}},
    BaselineOnly: {"bsl_options": {"method": ["als", "sgd"], "n_epochs": [2, 9]}},
    AutoRec: {"dropout": [0.0, 0.5], "bsl_options": {"method": ["als", "sgd"], "n_epochs": [2]}},
}


@pytest.fixture(params=ALGORITHMS)
def make(request):
    """Makes an algorithm."""
    constructor, keywords = ALGORITHMS[request.param]
    return lambda **more: constructor(**{**keywords, **more})


def estimates(predictions):
    return [prediction.est for prediction in predictions]


def test_what_an_algorithm_is(make, trainset):
    algorithm = make()
    assert isinstance(algorithm, AlgoBase)
    assert algorithm.fit(trainset) is algorithm
    assert algorithm.trainset is trainset
    assert algorithm.default_prediction() == trainset.global_mean
    bu, bi = algorithm.compute_baselines()
    assert (len(bu), len(bi)) == (trainset.n_users, trainset.n_items)
    estimate = algorithm.estimate(0, 0)
    assert isinstance(estimate[0] if isinstance(estimate, tuple) else estimate, float)


def test_what_a_prediction_is(make, trainset):
    algorithm = make().fit(trainset)
    uid, iid = trainset.to_raw_uid(0), trainset.to_raw_iid(0)
    n_known = len(trainset.ur)
    for pair in ((uid, iid), (uid, "nothing"), ("nobody", iid), ("nobody", "nothing")):
        prediction = algorithm.predict(*pair, r_ui=4.0)
        assert isinstance(prediction, Prediction)
        assert (prediction.uid, prediction.iid, prediction.r_ui) == (*pair, 4.0)
        assert 1 <= prediction.est <= 5
        if prediction.details["was_impossible"]:
            assert prediction.est == algorithm.default_prediction()
            assert "unknown" in prediction.details["reason"]
    assert not algorithm.predict(uid, iid).details["was_impossible"]
    assert str(algorithm.predict(uid, iid)).startswith("user: ")
    assert len(trainset.ur) == n_known


def test_a_test_set_is_its_single_predictions(make, trainset, capsys):
    algorithm = make().fit(trainset)
    testset = [
        *trainset.build_testset()[:100],
        ("nobody", 0, 3.0),
        (0, "nothing", None),
        ("nobody", "nothing", 1.0),
    ]
    predictions = algorithm.test(testset)
    assert isinstance(predictions, list)
    singly = [algorithm.predict(*triple) for triple in testset]
    np.testing.assert_allclose(estimates(predictions), estimates(singly), atol=1e-5)
    for together, alone in zip(predictions, singly, strict=True):
        assert together[:3] == alone[:3]
        assert together.details["was_impossible"] == alone.details["was_impossible"]
    capsys.readouterr()
    assert algorithm.test(testset[:3], verbose=True) == predictions[:3]
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert algorithm.test([]) == []


def test_measures_of_accuracy(make, trainset):
    predictions = make().fit(trainset).test(trainset.build_testset())
    for measure in (accuracy.rmse, accuracy.mse, accuracy.mae, accuracy.fcp):
        assert np.isfinite(measure(predictions, verbose=False))
    assert accuracy.rmse(predictions, verbose=False) < 2


def test_a_fit_begins_from_nothing(make, data):
    folds = list(KFold(2, random_state=0).split(data))
    one, other = make(), make()
    for fold, _ in folds:
        one.fit(fold)
    last, testset = folds[-1]
    assert estimates(one.test(testset)) == estimates(other.fit(last).test(testset))


def test_copies(make, trainset):
    algorithm, testset = make().fit(trainset), trainset.build_testset()[:50]
    wanted = algorithm.test(testset)
    for one in (copy.copy(algorithm), copy.deepcopy(algorithm), pickle.loads(pickle.dumps(algorithm))):
        assert one.test(testset) == wanted


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_dumps(make, trainset, tmp_path):
    algorithm = make().fit(trainset)
    predictions = algorithm.test(trainset.build_testset()[:50])
    dump.dump(str(tmp_path / "dumped"), predictions, algorithm)
    loaded_predictions, loaded = dump.load(str(tmp_path / "dumped"))
    gc.collect()
    assert loaded_predictions == predictions
    assert loaded.test(trainset.build_testset()[:50]) == predictions


@pytest.mark.parametrize(
    "cv",
    [
        KFold(2, random_state=0),
        RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
        LeaveOneOut(1, random_state=0),
        ShuffleSplit(2, 0.2, random_state=0),
        2,
        None,
    ],
    ids=lambda cv: str(cv) if cv in (2, None) else type(cv).__name__,
)
def test_cross_validation(make, data, cv):
    result = cross_validate(make(), data, ["rmse", "mae", "mse"], cv, return_train_measures=True)
    n_folds = 5 if cv is None else cv if isinstance(cv, int) else cv.get_n_folds()
    assert set(result) == {
        *(f"{part}_{measure}" for part in ("test", "train") for measure in ("rmse", "mae", "mse")),
        "fit_time",
        "test_time",
    }
    assert all(len(values) == n_folds for values in result.values())
    assert np.isfinite(result["test_rmse"]).all()


def test_cross_validation_by_two_processes(make, data):
    one, two = (cross_validate(make(), data, cv=KFold(2, random_state=0), n_jobs=n) for n in (1, 2))
    assert one["test_rmse"].tolist() == two["test_rmse"].tolist()


@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
@pytest.mark.parametrize("name", ["SVD", "KNNBaseline", "BaselineOnly", "item", "hybrid", "deep", "paper"])
def test_searches(data, name, search):
    constructor, keywords = ALGORITHMS[name]
    plain = {key: [value] for key, value in keywords.items()}
    grid = {**plain, **GRIDS[constructor]}
    more = {}
    if search is RandomizedSearchCV:
        if constructor is BaselineOnly:  # it has no other parameters, and this search takes no dict of lists
            grid["verbose"] = [False, 0]
        grid.pop("bsl_options", None)
        more = {"n_iter": 2, "random_state": 0}
    cv = KFold(2, random_state=0)
    found = search(constructor, grid, measures=["rmse", "mae"], cv=cv, refit="mae", **more)
    found.fit(data)
    results, best = found.cv_results, found.best_index["rmse"]
    assert len(results["params"]) == len(results["mean_test_rmse"]) == len(results["rank_test_mae"])
    assert found.best_score["rmse"] == min(results["mean_test_rmse"]) == results["mean_test_rmse"][best]
    assert found.best_params["rmse"] == results["params"][best]
    assert isinstance(found.best_estimator["rmse"], constructor)
    alone = cross_validate(constructor(**results["params"][0]), data, ["rmse"], cv)
    assert alone["test_rmse"].mean() == pytest.approx(results["mean_test_rmse"][0], rel=1e-6)
    assert 1 <= found.predict(1, 1).est <= 5
    assert len(found.test([(1, 1, 3.0)])) == 1


def test_a_search_without_a_refit_does_not_predict(make, data):
    algorithm = make()
    found = GridSearchCV(type(algorithm), {"verbose": [False]}, cv=2)
    found.fit(data)
    with pytest.raises(ValueError, match="refit"):
        found.predict(1, 1)


@pytest.mark.parametrize("name", ["KNNBaseline", "BaselineOnly", "item", "user", "deep"])
def test_options_of_baselines_change_estimates(trainset, name):
    constructor, keywords = ALGORITHMS[name]
    testset = trainset.build_testset()[:50]
    every = [
        {"method": "als", "n_epochs": 1},
        {"method": "als", "n_epochs": 5},
        {"method": "als", "reg_u": 1},
        {"method": "als", "reg_i": 1},
        {"method": "sgd", "n_epochs": 1},
        {"method": "sgd", "n_epochs": 5},
        {"method": "sgd", "reg": 0.9},
        {"method": "sgd", "learning_rate": 0.03},
    ]
    algorithms = [constructor(**{**keywords, "bsl_options": options}).fit(trainset) for options in every]
    found = [tuple(estimates(algorithm.test(testset))) for algorithm in algorithms]
    assert len(set(found)) == len(found)
    with pytest.raises((ValueError, RuntimeError)):
        constructor(**{**keywords, "bsl_options": {"method": "wrong_name"}}).fit(trainset)


# AutoRec alone


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
        algorithm.test([(1, 2, 3.0)])
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
