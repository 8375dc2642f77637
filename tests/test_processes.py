"""Fitted models in other processes: what is sent stays as it was, at both ends."""

import multiprocessing
import pickle
import pickletools
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
import torch.multiprocessing
from conftest import FAST

from surprise_autorec import AutoRec, AutoRecRegressor, datasets

FRAME = datasets.make_ratings(n_users=80, n_items=50, n_ratings=2000, noise=0.3, random_state=1)
X, y = FRAME[["user", "item"]], FRAME["rating"]
VARIANTS = ["item", "user", "hybrid"]


def predictions(model):
    if isinstance(model, AutoRecRegressor):
        return model.predict(X).tolist()
    return [prediction.est for prediction in model.test([*FRAME.itertuples(index=False, name=None)])]


def disturb_memory():
    """Allocate and fill blocks of many sizes, where memory that was freed by mistake is overwritten."""
    return [torch.randn(size) for size in (100, 800, 1280, 5000, 100_000) for _ in range(20)]


def there_and_back(model):
    """What a worker does: predict, and send the model back."""
    disturb_memory()
    return predictions(model), model


@pytest.fixture(params=VARIANTS, scope="module")
def models(request, data):
    settings = {**FAST, "variant": request.param}
    return [AutoRec(**settings).fit(data.build_full_trainset()), AutoRecRegressor(**settings).fit(X, y)]


def test_a_model_is_what_it_was_after_it_has_been_prepared_for_sending(models):
    for model in models:
        before = predictions(model)
        for _ in range(3):
            sent = ForkingPickler.dumps(model)
        kept = disturb_memory()
        assert predictions(model) == before
        received = pickle.loads(sent)
        assert predictions(received) == before
        assert predictions(pickle.loads(pickle.dumps(received))) == before
        del kept


def test_a_model_has_arrays_of_its_own_and_no_tensors(models):
    for model in models:
        for network in model.model_.networks:
            arrays = [
                *network.users,
                *network.items,
                network.encoders.mean_hidden,
                *network.encoders.weights.values(),
            ]
            assert all(type(array) is np.ndarray and array.flags.owndata for array in arrays)
        assert "torch" not in modules_of_pickle(pickle.dumps(model))


def modules_of_pickle(data):
    """The packages whose names a pickle holds."""
    return {text.partition(".")[0] for _, text, _ in pickletools.genops(data) if isinstance(text, str)}


def check(run, models):
    """Parent and child, before and after: the same predictions everywhere."""
    before = [predictions(model) for model in models]
    answers = [run(model) for model in models for _ in range(2)]
    disturb_memory()
    assert [predictions(model) for model in models] == before
    for n, (in_child, returned) in enumerate(answers):
        assert in_child == before[n // 2]
        assert predictions(returned) == before[n // 2]


@pytest.mark.parametrize(
    "context", [multiprocessing.get_context("fork"), torch.multiprocessing.get_context("fork")]
)
def test_pools_of_forked_processes(models, context):
    with context.Pool(2) as pool:
        check(lambda model: pool.apply(there_and_back, (model,)), models)


def test_executor(models):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        check(lambda model: executor.submit(there_and_back, model).result(), models)


@pytest.mark.parametrize(
    "package", [multiprocessing, torch.multiprocessing], ids=["multiprocessing", "torch"]
)
def test_pool_of_new_processes(data, package):
    """All variants at once, as a new process takes seconds to start."""
    models = [AutoRec(**FAST, variant=variant).fit(data.build_full_trainset()) for variant in VARIANTS]
    models += [AutoRecRegressor(**FAST, variant=variant).fit(X, y) for variant in VARIANTS]
    with package.get_context("spawn").Pool(1) as pool:
        check(lambda model: pool.apply(there_and_back, (model,)), models)


def test_an_algorithm_that_is_fitted_in_another_process(data):
    trainset = data.build_full_trainset()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as executor:
        fitted = executor.submit(AutoRec(**FAST).fit, trainset).result()
    assert np.array_equal(predictions(fitted), predictions(AutoRec(**FAST).fit(trainset)))
