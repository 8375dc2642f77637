"""What ratings that training does not see show of it."""

import numpy as np
import pytest
from core_helpers import training_options

from surprise_autorec.core.baselines import als_baselines
from surprise_autorec.core.blending import combination
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Member
from surprise_autorec.core.training import train

MEMBERS = [
    Member("item", 0.35, 0.5),
    Member("item", 0.35, 0.5),
    Member("item", 0.1, 0.0),
    Member("user", 0.2),
]


@pytest.fixture(scope="module")
def ratings():
    """Ratings with something for networks of both sides to learn."""
    rng = np.random.default_rng(0)
    users, items = np.divmod(rng.choice(300 * 80, 8000, replace=False), 80)
    tastes, kinds = rng.normal(size=(300, 2)), rng.normal(size=(80, 2))
    values = 3 + rng.normal(0, 0.5, 80)[items] + (tastes[users] * kinds[items]).sum(1) / 2
    return RatingMatrix.from_cells(users, items, (values + rng.normal(0, 0.4, 8000)).clip(1, 5), (300, 80))


def trained(ratings, **options):
    settings = {"biased": True, "two_sided": True, "n_epochs": 9, "batch_size": 40, "learn_weights": True}
    options = training_options(**{**settings, **options})
    return train(ratings, MEMBERS, options, als_baselines, 0, on_epoch_end=lambda _: None)


def weights_of(training):
    return [network.member.weight for network in training.networks]


@pytest.mark.parametrize("options", [{"early_stopping": True}, {"uncertainty": True}])
def test_weights_are_learnt_and_members_of_a_kind_have_the_same(ratings, options):
    weights = weights_of(trained(ratings, **options))
    assert sum(weights) == pytest.approx(1)
    assert min(weights) >= 0
    assert weights[0] == weights[1]
    assert weights != [member.weight for member in MEMBERS]
    assert [network.member[::2] for network in trained(ratings, **options).networks] == [
        member[::2] for member in MEMBERS
    ]


@pytest.mark.parametrize("options", [{}, {"early_stopping": True, "learn_weights": False}])
def test_weights_stay_where_nothing_is_held_out_or_they_are_given(ratings, options):
    assert weights_of(trained(ratings, **options)) == [member.weight for member in MEMBERS]


def test_weights_and_gain_are_those_of_the_errors_on_what_was_held_out(ratings, monkeypatch):
    """Of the errors of whole predictions, each network's with the baselines that it is added to."""
    given = []

    def recording(*arguments):
        given.append(arguments)
        return combination(*arguments)

    monkeypatch.setattr("surprise_autorec.core.held_out.combination", recording)
    training = trained(ratings, early_stopping=True, n_epochs=1, averaging=0.0)
    ((products, n_ratings, expected, gain),) = given
    assert n_ratings == 1600
    assert products.shape == (4, 4)
    np.testing.assert_allclose(expected, [0.7, 0.1, 0.2])
    assert gain == 0.0
    # In one epoch the networks have hardly learnt anything: the errors are those of the baselines.
    variance = np.square(ratings.values - als_baselines(ratings).at(ratings.rows, ratings.columns)).mean()
    np.testing.assert_allclose(products[2, 2], variance, rtol=0.15)
    assert products[1, 1] > products[0, 0] > products[2, 2]  # without the item biases
    assert products[3, 3] < 0.01 * variance  # what a gain adds to next to nothing
    learnt, gain = combination(products, n_ratings, expected, gain)
    np.testing.assert_allclose(weights_of(training), [learnt[0] / 2, learnt[0] / 2, learnt[1], learnt[2]])
    assert {network.member.gain for network in training.networks} == {gain}


@pytest.mark.parametrize("options", [{"early_stopping": True}, {"uncertainty": True}])
def test_gain_is_learnt_where_hidden_activations_are_less_their_mean_and_outputs_are_linear(ratings, options):
    def gains(**others):
        return {network.member.gain for network in trained(ratings, **options, **others).networks}

    (gain,) = gains()
    assert gain != 0
    assert gains(biased=False) == gains(optimizer="rprop", batch_size=None) == {0.0}
    assert gains(decoder_activation="sigmoid") == {0.0}
    assert gains(learn_weights=False) == {0.0}


@pytest.mark.parametrize("options", [{}, {"uncertainty": True}])
def test_baselines_of_the_model_are_the_average_of_what_members_are_added_to(ratings, options):
    training = trained(ratings, **options)
    weights = weights_of(training)
    assert training.baselines.column_share == pytest.approx(0.5 * (weights[0] + weights[1]) + weights[3])
    assert training.baselines.row_share == 1
