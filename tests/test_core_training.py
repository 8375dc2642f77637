import random
import weakref
from typing import NamedTuple

import numpy as np
import pytest
import torch
from core_helpers import RATINGS, random_ratings, training_options

from surprise_autorec.callbacks import EarlyStopping
from surprise_autorec.core import training as training_module
from surprise_autorec.core.baselines import Baselines, als_baselines, zero_baselines
from surprise_autorec.core.batches import BatchCutter, InputRules, RowsAndColumns, typical_count
from surprise_autorec.core.learner import AveragedNetwork, Learner
from surprise_autorec.core.optimizers import OPTIMIZERS
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Member
from surprise_autorec.core.training import DivergenceError, train

USER, ITEM = Member("user", 1.0), Member("item", 1.0)
BOTH = [Member("item", 0.7), Member("user", 0.3)]


class Outcome(NamedTuple):
    baselines: Baselines
    factors: list
    history: list


def run_train(ratings=RATINGS, members=(USER,), seed=0, n_iter_no_change=5, tol=0.0, start=None, **options):
    options = training_options(**options)
    estimate_baselines = als_baselines if options.biased else zero_baselines
    history, stopping = [], EarlyStopping(n_iter_no_change, tol)

    def on_epoch_end(epoch):
        history.append(epoch)
        if options.early_stopping:
            stopping.on_epoch_end(epoch)

    training = train(ratings, members, options, estimate_baselines, seed, on_epoch_end, start)
    assert [network.member for network in training.networks] == list(members)
    factors = [(*network.users, *network.items) for network in training.networks]
    return Outcome(training.baselines, factors, history)


def bits(training):
    return b"".join(array.tobytes() for factors in training.factors for array in factors)


def test_epochs_are_reported_in_turn():
    history = run_train(n_epochs=4).history
    assert [(epoch.number, epoch.n_epochs, epoch.validation_rmse) for epoch in history] == [
        (number, 4, None) for number in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize("two_sided", [False, True])
def test_an_item_network_is_a_user_network_on_the_transposed_ratings(two_sided):
    options = {"two_sided": two_sided, "dropout": 0.3}
    (of_items,), (of_users,) = (
        run_train(ratings, [member], **options).factors
        for ratings, member in ((RATINGS, ITEM), (RATINGS.transposed, USER))
    )
    assert all(map(np.array_equal, of_items, [*of_users[2:], *of_users[:2]]))


@pytest.mark.parametrize("input_centering", [0.0, 0.3, 1.0, None])
@pytest.mark.parametrize("member", [USER, ITEM])
def test_every_network_sees_an_items_and_a_users_ratings_centred_alike(monkeypatch, member, input_centering):
    learners = []
    monkeypatch.setattr(
        training_module, "Learner", lambda *args: learners.append(Learner(*args)) or learners[-1]
    )
    run_train(members=[member], input_centering=input_centering, biased=True)
    # Automatic: 1.5 times the share of the users that has rated a typical item; for users the like, or 0.8.
    items, users = (
        1.5 * np.sort(np.repeat(counts, counts))[249] / size
        for counts, size in ((RATINGS.column_counts, 40), (RATINGS.row_counts, 30))
    )
    users, items = (max(users, 0.8), items) if input_centering is None else (input_centering, input_centering)
    assert items <= 1
    assert users <= 1
    assert tuple(learners[0].averaged.cutter.rules.centering) == (
        (users, items) if member is USER else (items, users)
    )


@pytest.mark.parametrize("two_sided", [False, True])
def test_members_of_one_kind_start_from_different_seeds(two_sided):
    (_, _, *one), (_, _, *other) = run_train(members=[Member("item", 0.5)] * 2, two_sided=two_sided).factors
    assert not np.array_equal(one[0], other[0])


# Early stopping

#: Settings that overfit after some epochs.
OVERFITTING = {
    "n_factors": (32,),
    "biased": True,
    "two_sided": True,
    "reg": 0.0,
    "learning_rate": 0.005,
    "averaging": 0.5,
    "n_epochs": 60,
    "early_stopping": True,
}


def retrain(members, n_epochs, seed=0):
    """What `train` does with early stopping, up to an epoch: the learners, what they know, and baselines."""
    options = training_options(**OVERFITTING)
    generator = torch.Generator().manual_seed(seed)
    kept, held_out = RATINGS.split(options.validation_fraction, generator)
    baselines = als_baselines(kept)
    learners = []
    for member in members:
        rows = (kept, baselines) if member.side == "user" else (kept.transposed, baselines.transposed)
        rules = InputRules(RowsAndColumns(0.0, 0.0), options.input_scaling, typical_count(rows[0].row_counts))
        cutter = BatchCutter(rules, rows[1], options.device)
        learners.append(Learner(rows[0], cutter, options, generator, member))
    for number in range(1, n_epochs + 1):
        for learner in learners:
            learner.run_epoch(number)
    return learners, kept, held_out, baselines


def test_early_stopping_stops_after_n_iter_no_change_epochs_without_progress():
    # An epoch that does not lower the RMSE by 100 is without progress: so are all but the first.
    history = run_train(early_stopping=True, tol=100.0, n_iter_no_change=3, n_epochs=50).history
    assert len(history) == 1 + 3


@pytest.mark.parametrize("n_iter_no_change", [1, 4])
def test_early_stopping_goes_on_while_there_is_progress(n_iter_no_change):
    history = run_train(**{**OVERFITTING, "n_iter_no_change": n_iter_no_change}).history
    rmses = [epoch.validation_rmse for epoch in history]
    best = int(np.argmin(rmses))
    assert 1 < best < len(rmses) - 1
    assert len(rmses) == best + 1 + n_iter_no_change < 60


def test_early_stopping_runs_n_epochs_at_most():
    assert len(run_train(early_stopping=True, n_iter_no_change=50, n_epochs=4).history) == 4


@pytest.mark.parametrize("members", [[USER], [ITEM], BOTH], ids=["user", "item", "both"])
def test_validation_rmse_is_that_of_the_averaged_networks_on_the_ratings_held_out(members):
    training = run_train(members=members, **OVERFITTING)
    best = int(np.argmin([epoch.validation_rmse for epoch in training.history])) + 1
    learners, _, held_out, baselines = retrain(members, best)
    estimates = baselines.at(held_out.rows, held_out.columns)
    for member, learner in zip(members, learners, strict=True):
        network, _ = learner.averaged.finish(40 if member.side == "user" else 30, None)
        outputs = network.users.vectors @ network.items.vectors.T
        outputs += network.users.biases[:, None] + network.items.biases
        estimates = estimates + member.weight * outputs[held_out.rows, held_out.columns]
    rmse = np.sqrt(np.mean((held_out.values - estimates) ** 2))
    assert rmse == pytest.approx(min(epoch.validation_rmse for epoch in training.history), rel=1e-5)


@pytest.mark.parametrize("members", [[USER], [ITEM], BOTH], ids=["user", "item", "both"])
def test_early_stopping_restores_the_weights_of_the_best_epoch(members):
    training = run_train(members=members, **OVERFITTING)
    best = int(np.argmin([epoch.validation_rmse for epoch in training.history])) + 1
    assert best < len(training.history)
    learners, *_ = retrain(members, best)
    for member, factors, learner in zip(members, training.factors, learners, strict=True):
        ratings = RATINGS if member.side == "user" else RATINGS.transposed
        wanted, _ = learner.averaged.finish(ratings.n_rows, ratings)
        for ours, theirs in zip(factors, [*wanted.users, *wanted.items], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_early_stopping_learns_the_baselines_from_the_ratings_kept():
    training = run_train(**OVERFITTING)
    _, _, _, baselines = retrain([USER], 0)
    np.testing.assert_array_equal(training.baselines.row_biases, baselines.row_biases)
    assert training.baselines.mean != als_baselines(RATINGS).mean


def test_without_early_stopping_there_is_no_validation():
    history = run_train(n_epochs=8, n_iter_no_change=1).history
    assert [epoch.validation_rmse for epoch in history] == [None] * 8


# Divergence


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rprop"])
def test_a_huge_learning_rate_raises_an_error_that_tells_what_to_do(optimizer, early_stopping):
    options = {"learning_rate": 1e6, "two_sided": True, "early_stopping": early_stopping}
    with pytest.raises(DivergenceError, match=r"lower lr_all, got 1000000\.0"):
        run_train(optimizer=optimizer, **options)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_weights_that_overflow_in_the_last_epoch_are_a_divergence(early_stopping):
    with pytest.raises(DivergenceError, match="lr_all"):
        run_train(
            optimizer="sgd", learning_rate=1e30, batch_size=40, n_epochs=1, early_stopping=early_stopping
        )


def test_a_first_batch_of_small_error_is_no_divergence():
    # Half the rows hit their baseline exactly, the others miss it by 2. Whichever comes first, nothing
    # diverges.
    rows, columns = np.divmod(np.arange(32), 4)
    values = np.where(rows < 4, 3, np.where((rows + columns) % 2, 1, 5))
    ratings = RatingMatrix.from_cells(rows, columns, values, (8, 4))
    baselines = Baselines(3.0, np.zeros(8), np.zeros(4))
    options = training_options(biased=True, input_centering=1.0, batch_size=1, learning_rate=1e-4)
    for seed in range(5):
        train(ratings, [USER], options, lambda _: baselines, seed, lambda _: None)


def test_training_that_has_hardly_begun_is_no_divergence():
    # A bounded f starts halfway, at 3; these steps are too small to come from there to ratings that are all
    # 1.
    rows, columns = np.divmod(np.arange(32), 4)
    ratings = RatingMatrix.from_cells(rows, columns, np.ones(32), (8, 4))
    history = run_train(ratings, decoder_activation="sigmoid", learning_rate=1e-4).history
    assert 4.1 > history[0].loss > history[-1].loss > 3.9


# Reproducibility

#: Every random choice there is.
RANDOM = {
    "biased": True,
    "two_sided": True,
    "dropout": 0.4,
    "averaging": 0.5,
    "early_stopping": True,
    "batch_size": 10,
}


def test_the_same_seed_gives_the_same_bits():
    one, other = (run_train(members=BOTH, seed=5, **RANDOM) for _ in range(2))
    assert bits(one) == bits(other)
    assert one.history == other.history


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_seed_gives_other_bits(optimizer):
    assert bits(run_train(seed=5, optimizer=optimizer)) != bits(run_train(seed=6, optimizer=optimizer))


def test_global_random_generators_are_neither_used_nor_changed():
    def states():
        return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002

    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        before = states()
        results.append(bits(run_train(members=BOTH, **RANDOM)))
        assert states() == before
    assert results[0] == results[1]


LARGE = random_ratings(300, 400, 20_000)


def trained_with_threads(n_threads, ratings, **options):
    torch.set_num_threads(n_threads)
    return run_train(ratings, BOTH, **{**RANDOM, "batch_size": None, **options})


@pytest.mark.parametrize("encoder", ["sigmoid", "tanh", "elu"])
@pytest.mark.parametrize(
    "optimizer", sorted({*OPTIMIZERS} - {"lbfgs"})
)  # its inner products are torch's to sum
def test_the_number_of_threads_does_not_change_the_bits(optimizer, encoder):
    options = {"n_factors": (64,), "optimizer": optimizer, "encoder_activation": encoder}
    one, two = (trained_with_threads(n, LARGE, **options) for n in (1, 2))
    assert bits(one) == bits(two)
    assert one.history == two.history


@pytest.mark.parametrize("two_sided", [False, True])
def test_the_number_of_threads_does_not_change_the_bits_of_products_in_bfloat16(two_sided):
    options = {"n_epochs": 2, "two_sided": two_sided, "precision": torch.bfloat16}
    one, two = (trained_with_threads(n, LARGE, **options) for n in (1, 2))
    assert bits(one) == bits(two)
    assert one.history == two.history


def test_the_number_of_threads_does_not_change_the_bits_of_a_wide_hidden_layer():
    # 400 x 501 hidden activations: more than torch's grain size (32,768), and no multiple of the vector
    # width.
    one, two = (trained_with_threads(n, LARGE, n_factors=(501,), n_epochs=1) for n in (1, 2))
    assert bits(one) == bits(two)


def test_the_number_of_threads_does_not_change_the_loss_of_a_batch_of_many_ratings():
    ratings = random_ratings(300, 400, 90_000)
    options = {"n_factors": (8,), "n_epochs": 2, "early_stopping": False, "batch_size": 400}
    one, two = (trained_with_threads(n, ratings, **options) for n in (1, 2))
    assert bits(one) == bits(two)
    assert one.history == two.history


def test_learners_of_one_model_start_from_different_weights():
    square = random_ratings(30, 30, 300)
    training = run_train(square, [USER, ITEM], n_epochs=1)
    (_, _, one, _), (other, _, _, _) = training.factors
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("options", [{}, {"uncertainty": True, "biased": True}, {"early_stopping": True}])
def test_what_only_training_needs_is_freed_before_rows_are_encoded(monkeypatch, options):
    learners, left = [], []

    class Watched(Learner):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            learners.append(weakref.ref(self))

    def finish(*arguments, finish=AveragedNetwork.finish):
        left.extend(learner() for learner in learners)
        return finish(*arguments)

    monkeypatch.setattr(training_module, "Learner", Watched)
    monkeypatch.setattr(AveragedNetwork, "finish", finish)
    run_train(members=BOTH, **options)
    assert left == [None] * 4
