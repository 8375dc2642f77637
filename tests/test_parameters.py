"""Every parameter is checked, by name and rule and value, and every parameter does something."""

import inspect
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import FAST
from surprise import Dataset, Reader, accuracy
from surprise.model_selection import train_test_split

from surprise_autorec import BEST, PAPER, AutoRec, datasets
from surprise_autorec.callbacks import History
from surprise_autorec.core import automatic
from surprise_autorec.core.trained import Member

NUMBERS_ARE_NOT = [float("nan"), float("inf"), "1", None, True]


@pytest.mark.parametrize(
    ("name", "rule", "wrong"),
    [
        (
            "n_factors",
            "'auto', a positive integer or a tuple of them",
            [0, -1, 1.5, "5", (), (5, 0), (5, 2**31), 10**30, None, True],
        ),
        ("n_epochs", "a positive integer", [0, -1, 1.5, "5", None, True]),
        ("variant", "one of ['hybrid', 'item', 'user']", ["both", 1, None]),
        ("item_weight", "'auto' or a number in [0, 1]", [-0.1, 1.1, *NUMBERS_ARE_NOT[:-1]]),
        ("two_sided", "True or False", [2, 0.0, "auto", None]),
        ("uncertainty", "True or False", [2, 0.0, "auto", None]),
        ("n_estimators", "a positive integer", [0, -1, 1.5, "5", None, True]),
        ("biased", "True or False", [2, 1.0, "yes", None]),
        (
            "encoder_activation",
            "one of ['elu', 'identity', 'relu', 'selu', 'sigmoid', 'tanh']",
            ["gelu", None],
        ),
        ("callbacks", "a list of objects with a method on_epoch_end(state)", [None, 3, [print], [History]]),
        (
            "decoder_activation",
            "one of ['elu', 'identity', 'relu', 'selu', 'sigmoid', 'tanh']",
            ["softmax", 3],
        ),
        ("lr_all", "'auto' or a number > 0", [0, -1e-3, *NUMBERS_ARE_NOT]),
        ("reg_all", "'auto' or a number >= 0", [-1, *NUMBERS_ARE_NOT]),
        ("reg_bias", "'auto' or a number >= 0", [-1, *NUMBERS_ARE_NOT]),
        ("dropout", "a number in [0, 1)", [-0.1, 1, *NUMBERS_ARE_NOT]),
        ("input_centering", "'auto' or a number in [0, 1]", [-0.1, 1.1, *NUMBERS_ARE_NOT[:-1]]),
        ("input_scaling", "a number in [0, 10]", [-0.5, 1e300, *NUMBERS_ARE_NOT]),
        ("averaging", "a number in [0, 1)", [-0.1, 1.0, *NUMBERS_ARE_NOT]),
        ("optimizer", "one of ['adam', 'lbfgs', 'rprop', 'sgd']", ["Adam", torch.optim.Adam]),
        ("batch_size", "'auto' or a positive integer", [0, -1, 2.5, "full", None]),
        ("early_stopping", "True or False", [-1, None]),
        ("validation_fraction", "a number in (0, 1)", [0, 1, -0.1, *NUMBERS_ARE_NOT]),
        ("n_iter_no_change", "a positive integer", [0, 1.5, None]),
        ("tol", "a number >= 0", [-1e-4, *NUMBERS_ARE_NOT]),
        ("device", "'auto', 'cpu' or a CUDA device that is there", ["tpu", "meta", "cuda:99", 3.5, None]),
        ("precision", "'auto' or one of ['bfloat16', 'float32']", ["float16", torch.float32, 32, None]),
        ("bsl_options", "a dict or None", ["als", []]),
        ("bsl_options", "made of 'method' and, for als, ['n_epochs', 'reg_i', 'reg_u']", [{"reg": 1}]),
        (
            "bsl_options",
            "made of 'method' and, for sgd, ['learning_rate', 'n_epochs', 'reg']",
            [{"method": "sgd", "reg_u": 1}],
        ),
        ("random_state", "None, an int from 0 to 2**32 - 1 or a numpy RandomState", ["seed", 1.5, -1, 2**32]),
        ("verbose", "True or False", ["yes", None]),
    ],
)
def test_wrong_value_names_parameter_rule_and_value(trainset, name, rule, wrong):
    for value in wrong:
        with pytest.raises(
            ValueError, match=rf"^{name} must be {re.escape(rule)}.*, got {re.escape(repr(value))}$"
        ):
            AutoRec(**{**FAST, name: value}).fit(trainset)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "ridge"}, r"bsl_options\['method'\] must be one of \['als', 'sgd'\], got 'ridge'"),
        ({"n_epochs": 0}, r"bsl_options\['n_epochs'\] must be a positive integer, got 0"),
        ({"reg_i": -1}, r"bsl_options\['reg_i'\] must be a number >= 0, got -1"),
    ],
)
def test_wrong_baseline_option_is_named(trainset, options, message):
    with pytest.raises(ValueError, match=message):
        AutoRec(**FAST, bsl_options=options).fit(trainset)


def test_constructor_only_stores():
    wrong_but_stored = AutoRec(n_factors="many", dropout=7)
    assert (wrong_but_stored.n_factors, wrong_but_stored.dropout) == ("many", 7)


def test_numpy_numbers_are_numbers(trainset):
    a = AutoRec(
        n_factors=np.int64(16), n_epochs=np.int32(5), dropout=np.float32(0.5), random_state=np.int64(0)
    ).fit(trainset)
    b = AutoRec(**FAST).fit(trainset)
    assert a.estimate(0, 0) == b.estimate(0, 0)


CHANGES = {
    "n_factors": 17,
    "n_epochs": 6,
    "variant": "user",
    "two_sided": False,
    "uncertainty": False,
    "n_estimators": 2,
    "biased": False,
    "bsl_options": {"reg_u": 1},
    "encoder_activation": "tanh",
    "decoder_activation": "tanh",
    "lr_all": 0.01,
    "reg_all": 10.0,
    "reg_bias": 0.0,
    "dropout": 0.3,
    "input_centering": 0.5,
    "input_scaling": 0.0,
    "averaging": 0.0,
    "optimizer": "sgd",
    "batch_size": 5,
    "early_stopping": True,
    "random_state": 1,
}
WITH_EARLY_STOPPING = {"validation_fraction": 0.3, "n_iter_no_change": 1, "tol": 1.0}


def test_the_device_is_the_cpu_unless_another_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert AutoRec().check_parameters().options.device == torch.device("cpu")


WITHOUT_INFLUENCE_ON_PREDICTIONS = {"device", "verbose", "callbacks"}  # that of precision is tested below


@pytest.fixture
def estimates(trainset):
    def fit_and_estimate(**parameters):
        algorithm = AutoRec(**{**FAST, **parameters}).fit(trainset)
        return np.array([algorithm.estimate(u, i) for u in range(10) for i in range(10)])

    return fit_and_estimate


@pytest.mark.parametrize("name", CHANGES)
def test_parameter_changes_predictions(estimates, name):
    assert not np.allclose(estimates(), estimates(**{name: CHANGES[name]}), rtol=1e-6)


@pytest.mark.parametrize("name", WITH_EARLY_STOPPING)
def test_parameter_of_early_stopping_changes_its_course(trainset, name):
    base = {**FAST, "n_epochs": 60, "lr_all": 0.005, "reg_all": 0.0, "dropout": 0.0, "early_stopping": True}
    first, second = (
        AutoRec(**{**base, **change}).fit(trainset) for change in ({}, {name: WITH_EARLY_STOPPING[name]})
    )
    assert first.validation_scores_ != second.validation_scores_


def test_item_weight_weighs_the_networks_of_the_hybrid(estimates):
    hybrid = {weight: estimates(variant="hybrid", item_weight=weight) for weight in (0.0, 0.25, 1.0)}
    np.testing.assert_allclose(hybrid[0.25], 0.75 * hybrid[0.0] + 0.25 * hybrid[1.0], rtol=1e-6)
    assert not np.allclose(hybrid[0.0], hybrid[1.0], rtol=1e-3)


@pytest.mark.parametrize(
    ("variant", "members"),
    [
        ("item", [("item", 0.7 / 3)] * 3 + [("item", 0.3)]),
        ("user", [("user", 1 / 3)] * 3),
        ("hybrid", [("item", 0.8 * 0.7 / 3)] * 3 + [("item", 0.8 * 0.3)] + [("user", 0.1)] * 2),
    ],
)
def test_n_estimators_is_a_number_of_networks_whose_predictions_are_averaged(trainset, variant, members):
    algorithm = AutoRec(**FAST, variant=variant, item_weight=0.8, n_estimators=3).fit(trainset)
    model = algorithm.model_
    assert [network.member.side for network in model.networks] == [side for side, _ in members]
    assert [network.member.weight for network in model.networks] == pytest.approx(
        [weight for _, weight in members]
    )
    users, items = (indices.ravel().astype(np.int32) for indices in np.mgrid[:10, :10])
    single = [
        replace(model, networks=[replace(network, member=Member(network.member.side, 1.0))]).predict(
            users, items
        )
        for network in model.networks
    ]
    assert len({estimates.tobytes() for estimates in single}) == len(members)  # each has a seed of its own
    wanted = sum(weight * estimates for (_, weight), estimates in zip(members, single, strict=True))
    np.testing.assert_allclose(model.predict(users, items), wanted, rtol=1e-6)


@pytest.mark.parametrize(("biased", "value"), [(True, 10.0), (False, 0.0)])
def test_automatic_reg_bias_is_ten_where_it_pulls_towards_baselines(estimates, biased, value):
    np.testing.assert_array_equal(estimates(biased=biased), estimates(biased=biased, reg_bias=value))
    assert not np.allclose(
        estimates(biased=biased), estimates(biased=biased, reg_bias=value + 100.0), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("optimizer", "capability", "cache", "chosen"),
    [
        ("adam", "AVX512", 0, "bfloat16"),
        ("sgd", "AVX2", 0, "bfloat16"),
        ("adam", "AVX512", 2**20, "float32"),
        ("adam", "DEFAULT", 0, "float32"),
        ("rprop", "AVX512", 0, "float32"),
        ("lbfgs", "AVX512", 0, "float32"),
    ],
)
def test_automatic_precision_is_bfloat16_where_that_is_fast_and_harmless(
    monkeypatch, estimates, optimizer, capability, cache, chosen
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(automatic, "CACHE_BYTES", cache)
    chosen_by_data = estimates(optimizer=optimizer)
    by_name = {name: estimates(optimizer=optimizer, precision=name) for name in ("float32", "bfloat16")}
    np.testing.assert_array_equal(chosen_by_data, by_name[chosen])
    assert not np.array_equal(by_name["float32"], by_name["bfloat16"])


def test_every_parameter_is_tested_here():
    tested = {*CHANGES, *WITH_EARLY_STOPPING, "item_weight", "precision", *WITHOUT_INFLUENCE_ON_PREDICTIONS}
    assert tested == set(inspect.signature(AutoRec).parameters)


def test_every_parameter_is_documented():
    documentation = inspect.getdoc(AutoRec.__init__)
    for name in inspect.signature(AutoRec).parameters:
        assert f"\n{name} : " in documentation


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rprop", "lbfgs"])
@pytest.mark.parametrize("variant", ["item", "user"])
@pytest.mark.parametrize("two_sided", [True, False])
def test_every_optimizer_reduces_the_loss(trainset, optimizer, variant, two_sided):
    parameters = {
        "n_factors": 16,
        "n_epochs": 15,
        "variant": variant,
        "two_sided": two_sided,
        "random_state": 0,
    }
    algorithm = AutoRec(**parameters, optimizer=optimizer).fit(trainset)
    assert algorithm.loss_curve_[-1] < 0.9 * algorithm.loss_curve_[0]


def test_lbfgs_makes_progress_at_every_step(trainset):
    """Also where the first point of its line search is no better."""
    plain = {"biased": False, "two_sided": False, "dropout": 0.0, "input_scaling": 0.0, "averaging": 0.0}
    parameters = {"n_factors": 60, "n_epochs": 60, "reg_all": 20.0, "random_state": 0}
    losses = AutoRec(**plain, **parameters, optimizer="lbfgs").fit(trainset).loss_curve_
    assert np.diff(losses).all()
    assert losses[-1] < 0.5 * losses[0]


def test_paper_is_the_plain_model(trainset):
    """Eq. 1 by hand: nothing but f(W g(V r + mu) + b), whose outer part the fitted model keeps."""
    algorithm = AutoRec(**{**PAPER, "n_epochs": 3}, random_state=0).fit(trainset)
    (network,) = algorithm.model_.networks
    (weight, bias), (hidden, _) = network.users, network.items
    assert hidden.shape == (trainset.n_items, 500)
    assert weight.shape == (trainset.n_users, 500)
    np.testing.assert_allclose(algorithm.estimate(4, 2), hidden[2] @ weight[4] + bias[4], rtol=1e-5)
    assert algorithm.bu.any() == algorithm.bi.any() == False  # noqa: E712


def test_best_is_the_average_of_networks_of_all_kinds(data):
    train, test = train_test_split(data, test_size=0.2, random_state=0)
    best, one = (AutoRec(**preset, random_state=0).fit(train) for preset in (BEST, {}))
    members = [network.member for network in best.model_.networks]
    kinds = [(one.side, one.item_share > 0) for one in members]
    assert kinds == [("item", True)] * 4 + [("item", False)] * 2 + [("user", True)] * 2
    assert 0 <= members[-1].weight < members[0].weight
    assert best.n_iter_ > one.n_iter_
    rmse_best, rmse_one = (accuracy.rmse(algorithm.test(test), verbose=False) for algorithm in (best, one))
    assert rmse_best < rmse_one


def test_paper_learns():
    frame = datasets.make_ratings(n_users=80, n_items=50, n_ratings=3500, noise=0.2)
    data = Dataset.load_from_df(frame, Reader(rating_scale=(1, 5)))
    train, test = train_test_split(data, test_size=0.2, random_state=0)
    algorithm = AutoRec(**PAPER, random_state=0).fit(train)
    spread = np.std([rating for _, _, rating in test])
    assert accuracy.rmse(algorithm.test(test), verbose=False) < 0.9 * spread
