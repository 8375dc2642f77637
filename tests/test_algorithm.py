"""AutoRec as an algorithm: what it predicts."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FAST
from surprise import Dataset, PredictionImpossible, Reader, accuracy
from surprise.model_selection import train_test_split

from surprise_autorec import AutoRec, DivergenceError, datasets

VARIANTS = ["item", "user", "hybrid"]


def dataset_of(frame, scale=(1, 5)):
    return Dataset.load_from_df(frame, Reader(rating_scale=scale))


def estimates(algorithm, testset):
    return np.array([prediction.est for prediction in algorithm.test(testset)])


@pytest.fixture(scope="module")
def frame():
    return datasets.make_ratings(n_users=80, n_items=50, n_ratings=2000, noise=0.3, random_state=1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("decoder_activation", ["identity", "sigmoid", "relu"])
def test_learns_structure_that_baselines_cannot(variant, biased, decoder_activation):
    """Ratings of rank one, without noise: baselines explain nothing of them."""
    generator = np.random.default_rng(0)
    tastes, traits = generator.choice([-1, 1], 60), generator.choice([-1, 1], 40)
    users, items = np.nonzero(generator.random((60, 40)) < 0.6)
    ratings = dataset_of(
        pd.DataFrame({"user": users, "item": items, "rating": 3.0 + tastes[users] * traits[items]})
    )
    train, test = train_test_split(ratings, test_size=0.2, random_state=0)
    parameters = {
        "variant": variant,
        "biased": biased,
        "decoder_activation": decoder_activation,
        "random_state": 0,
        "uncertainty": False,  # every one of so few ratings counts
    }
    algorithm = AutoRec(n_factors=32, n_epochs=60, lr_all=0.01, reg_all=1, **parameters).fit(train)
    assert accuracy.rmse(algorithm.test(test), verbose=False) < 0.35  # of ratings 2 and 4: guessing has 1.0


@pytest.fixture(scope="module")
def split():
    """10,000 ratings by 300 users of 200 items, and 2,000 to predict."""
    frame = datasets.make_ratings(n_users=300, n_items=200, n_ratings=12_000, noise=0.3, random_state=1)
    return train_test_split(dataset_of(frame), test_size=1 / 6, random_state=0)


def rmse(split, **parameters):
    train, test = split
    return accuracy.rmse(AutoRec(random_state=0, **parameters).fit(train).test(test), verbose=False)


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_sided_lowers_the_error(split, variant):
    assert rmse(split, variant=variant) < rmse(split, variant=variant, two_sided=False) - 0.0005


def test_n_estimators_lower_the_error(split):
    noisy = {"lr_all": 0.01, "averaging": 0.0}  # so that networks differ, whatever the ratings
    assert rmse(split, n_estimators=4, **noisy) < rmse(split, **noisy) - 0.002


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_without_baselines_the_error_starts_at_that_of_the_mean_and_falls_well_below(
    split, variant, two_sided
):
    parameters = {"biased": False, "variant": variant, "two_sided": two_sided}
    train, test = split
    of_mean = np.sqrt(np.mean([(rating - train.global_mean) ** 2 for _, _, rating in test]))
    assert rmse(split, lr_all=1e-9, n_epochs=1, **parameters) == pytest.approx(of_mean, rel=1e-5)
    assert rmse(split, **parameters) < 0.9 * of_mean


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("decoder_activation", ["identity", "sigmoid", "tanh"])
@pytest.mark.parametrize("biased", [True, False])
def test_test_returns_what_predict_returns(data, variant, decoder_activation, biased):
    train, test = train_test_split(data, test_size=0.2, random_state=0)
    test += [("nobody", test[0][1], 3.0), (test[0][0], "nothing", None), ("nobody", "nothing", 1.0), test[0]]
    algorithm = AutoRec(**FAST, variant=variant, biased=biased, decoder_activation=decoder_activation).fit(
        train
    )
    one_by_one = [algorithm.predict(*triple) for triple in test]
    at_once = algorithm.test(test, return_std=True)
    assert [p[:3] for p in at_once] == [p[:3] for p in one_by_one]
    std = [[p.details.pop("std") for p in predictions] for predictions in (at_once, one_by_one)]
    np.testing.assert_allclose(*std, rtol=1e-4)
    assert [p.details for p in at_once] == [p.details for p in one_by_one]
    np.testing.assert_allclose([p.est for p in at_once], [p.est for p in one_by_one], rtol=1e-5)
    assert {type(p.est) for p in at_once} == {float}


def test_test_of_nothing_is_nothing(trainset):
    assert AutoRec(**FAST).fit(trainset).test([]) == []


def test_test_prints_when_verbose(trainset, capsys):
    algorithm = AutoRec(**FAST).fit(trainset)
    triples = trainset.build_testset()[:3]
    algorithm.test(triples)
    assert capsys.readouterr().out == ""
    algorithm.test(triples, verbose=True)
    assert capsys.readouterr().out.count("was_impossible") == 3


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("scale", [(0.0, 1.0), (-10.0, 10.0), (1.0, 100.0)])
def test_affine_change_of_scale_changes_predictions_alike(frame, variant, scale):
    factor = (scale[1] - scale[0]) / 4
    rescaled = frame.assign(rating=(frame["rating"].astype(float) - 1) * factor + scale[0])
    algorithm, other = (AutoRec(**FAST, variant=variant) for _ in range(2))
    algorithm.fit(dataset_of(frame).build_full_trainset())
    other.fit(dataset_of(rescaled, scale).build_full_trainset())
    for user, item in [(0, 0), (3, 7), (20, 11)]:
        mapped = (algorithm.estimate(user, item) - 1) * factor + scale[0]
        assert other.estimate(user, item) == pytest.approx(mapped, abs=1e-4 * factor)
    assert other.loss_curve_ == pytest.approx([loss * factor**2 for loss in algorithm.loss_curve_], rel=1e-3)


def test_zero_is_a_rating(frame):
    """On a scale with a zero in the middle, dropping zeros would change everything."""
    centred = frame.assign(rating=np.round(frame["rating"].astype(float)) - 3)
    assert (centred["rating"] == 0).sum() > 100
    algorithm = AutoRec(**FAST).fit(dataset_of(centred, (-2, 2)).build_full_trainset())
    without_zeros = AutoRec(**FAST).fit(
        dataset_of(centred[centred["rating"] != 0], (-2, 2)).build_full_trainset()
    )
    assert algorithm.trainset.n_ratings > without_zeros.trainset.n_ratings
    shifted = AutoRec(**FAST).fit(
        dataset_of(centred.assign(rating=centred["rating"] + 3)).build_full_trainset()
    )
    assert algorithm.estimate(0, 0) == pytest.approx(shifted.estimate(0, 0) - 3, abs=1e-4)


@pytest.mark.parametrize("parameters", [{}, {"variant": "hybrid", "early_stopping": True}])
def test_test_ratings_never_influence_predictions(data, parameters):
    train, test = train_test_split(data, test_size=0.2, random_state=0)
    algorithm = AutoRec(**FAST, **parameters).fit(train)
    before = estimates(algorithm, test)
    inverted = [(uid, iid, 6 - rating) for uid, iid, rating in test]
    assert estimates(algorithm, inverted).tolist() == before.tolist()
    assert estimates(algorithm, test[::-1]).tolist() == before[::-1].tolist()


@pytest.mark.parametrize("variant", VARIANTS)
def test_fit_twice_is_fit_once(data, variant):
    first, second = (train_test_split(data, test_size=0.5, random_state=seed)[0] for seed in (0, 1))
    once = AutoRec(**FAST, variant=variant).fit(second)
    twice = AutoRec(**FAST, variant=variant).fit(first).fit(second)
    testset = second.build_testset()
    assert estimates(twice, testset).tolist() == estimates(once, testset).tolist()
    assert len(twice.loss_curve_) == twice.n_iter_ == FAST["n_epochs"]


def test_same_seed_same_bits_and_global_generators_untouched(trainset):
    torch.manual_seed(5)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (AutoRec(**FAST, variant="hybrid").fit(trainset).estimate(1, 1) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_random_state_may_be_a_generator_or_come_from_numpys_global_one(trainset):
    def estimate(random_state):
        return AutoRec(**{**FAST, "random_state": random_state}).fit(trainset).estimate(1, 1)

    assert estimate(np.random.RandomState(7)) == estimate(7)
    np.random.seed(7)  # noqa: NPY002
    assert estimate(None) == estimate(7)
    assert estimate(None) != estimate(7)


@pytest.mark.parametrize("variant", VARIANTS)
def test_unknown_ids_are_answered_from_the_baselines(trainset, variant):
    algorithm = AutoRec(**FAST, variant=variant).fit(trainset)
    uid, iid = trainset.to_raw_uid(3), trainset.to_raw_iid(5)
    mean = trainset.global_mean
    assert algorithm.predict("nobody", "nothing").est == pytest.approx(mean, abs=1e-5)
    assert algorithm.predict(uid, "nothing").est == pytest.approx(mean + algorithm.bu[3], abs=1e-5)
    assert algorithm.predict("nobody", iid).est == pytest.approx(mean + algorithm.bi[5], abs=1e-5)


def test_unknown_ids_are_impossible_without_baselines(trainset):
    algorithm = AutoRec(**FAST, biased=False).fit(trainset)
    with pytest.raises(PredictionImpossible, match="unknown"):
        algorithm.estimate("UKN__nobody", 0)
    prediction = algorithm.predict("nobody", trainset.to_raw_iid(5))
    assert prediction.est == trainset.global_mean
    assert prediction.details.pop("std") > 0
    unknown = {"was_impossible": True, "reason": "User and/or item is unknown.", "unknown_user": True}
    assert prediction.details == unknown


def test_default_prediction_of_a_subclass_is_used_by_test(trainset):
    class Pessimist(AutoRec):
        def default_prediction(self):
            return 1.5

    algorithm = Pessimist(**FAST, biased=False).fit(trainset)
    assert (
        algorithm.test([("nobody", "nothing", 4.0)])[0].est
        == algorithm.predict("nobody", "nothing").est
        == 1.5
    )


def test_estimate_asks_without_inserting_keys(trainset):
    algorithm = AutoRec(**FAST).fit(trainset)
    algorithm.predict("nobody", "nothing")
    assert len(trainset.ur) == trainset.n_users
    assert len(trainset.ir) == trainset.n_items


def test_divergence_raises_instead_of_being_clipped(trainset):
    with pytest.raises(DivergenceError, match=r"training diverged.*lower lr_all, got 100"):
        AutoRec(**FAST, lr_all=100.0).fit(trainset)
    with pytest.raises(DivergenceError, match="lower lr_all"):
        AutoRec(**FAST, optimizer="sgd", lr_all=1e6, encoder_activation="identity").fit(trainset)


@pytest.mark.parametrize("variant", VARIANTS)
def test_early_stopping_reports_and_stops(trainset, variant):
    algorithm = AutoRec(
        n_factors=16, n_epochs=200, lr_all=0.02, variant=variant, early_stopping=True, random_state=0
    ).fit(trainset)
    scores = algorithm.validation_scores_
    assert algorithm.n_iter_ == len(scores) == len(algorithm.loss_curve_) < 200
    assert min(scores[-5:]) > min(scores[:-5]) - 1e-4  # n_iter_no_change epochs without progress by tol
    assert AutoRec(**FAST).fit(trainset).validation_scores_ == []


def test_validation_scores_are_in_rating_points(frame):
    wide = frame.assign(rating=frame["rating"].astype(float) * 20)
    narrow_scores, wide_scores = (
        AutoRec(**FAST, early_stopping=True)
        .fit(dataset_of(f, scale).build_full_trainset())
        .validation_scores_
        for f, scale in ((frame, (1, 5)), (wide, (20, 100)))
    )
    assert wide_scores == pytest.approx([20 * score for score in narrow_scores], rel=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pickles_and_copies_predict_the_same(trainset, variant):
    algorithm = AutoRec(**FAST, variant=variant).fit(trainset)
    expected = estimates(algorithm, trainset.build_testset()).tolist()
    for twin in (pickle.loads(pickle.dumps(algorithm)), copy.deepcopy(algorithm)):
        assert estimates(twin, trainset.build_testset()).tolist() == expected


@pytest.fixture
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def everything_of(trainset, **settings):
    """The answers of a new algorithm, as bits."""
    algorithm = AutoRec(**{**FAST, "dropout": 0.3, **settings}).fit(trainset)
    answers = [estimates(algorithm, trainset.build_testset())]
    if not settings.get("n_factors"):
        answers.append(algorithm.predict_new_user({trainset.to_raw_iid(0): 4}, [trainset.to_raw_iid(1)]))
        answers.append(algorithm.recommend([trainset.to_raw_uid(0)])["estimate"].to_numpy())
    return b"".join(np.asarray(answer, np.float64).tobytes() for answer in answers)


SETTINGS = [
    {},
    {"variant": "hybrid", "decoder_activation": "tanh"},
    {"optimizer": "rprop"},
    {"n_factors": (8, 4)},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_whether_torch_records_gradients_does_not_matter(trainset, settings, mode):
    wanted = everything_of(trainset, **settings)
    with mode():
        assert everything_of(trainset, **settings) == wanted


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_default_precision_of_torch_does_not_matter(trainset, settings, request):
    wanted = everything_of(trainset, **settings)
    request.getfixturevalue("double_by_default")
    assert everything_of(trainset, **settings) == wanted


def test_model_holds_plain_cpu_arrays(trainset):
    """So a pickle made where there was a GPU loads where there is none."""
    for network in AutoRec(**FAST, variant="hybrid").fit(trainset).model_.networks:
        assert all(
            type(array) is np.ndarray and array.dtype == np.float32
            for array in (*network.users, *network.items)
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("variant", VARIANTS)
def test_cuda_learns_what_the_cpu_learns(trainset, variant):
    on_cpu, on_gpu = (
        AutoRec(n_factors=16, n_epochs=20, dropout=0.0, variant=variant, random_state=0, device=device).fit(
            trainset
        )
        for device in ("cpu", "cuda")
    )
    testset = trainset.build_testset()
    np.testing.assert_allclose(estimates(on_gpu, testset), estimates(on_cpu, testset), atol=1e-2)


def test_more_pairs_may_be_asked_for_than_there_are(frame):
    few = frame[frame["user"].isin([0, 1]) & frame["item"].isin(frame["item"].unique()[:3])]
    algorithm = AutoRec(**FAST).fit(dataset_of(few).build_full_trainset())
    testset = algorithm.trainset.build_testset()
    assert estimates(algorithm, testset * 7).tolist() == estimates(algorithm, testset).tolist() * 7
    assert len(set(algorithm.predict_new_user({few["item"].iloc[0]: 4}, [few["item"].iloc[0]] * 9))) == 1
