import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from surprise_autorec.core.baselines import Baselines, als_baselines, zero_baselines
from surprise_autorec.core.learner import Learner
from surprise_autorec.core.optimizers import OPTIMIZERS
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import Cells
from surprise_autorec.core.training import DivergenceError, Member, train

CPU = torch.device("cpu")
USER, ITEM = Member("user", 1.0, 0.0), Member("item", 1.0, 0.0)
BOTH = [Member("item", 0.7, None), Member("user", 0.3, 0.8)]

#: The plainest training there is: the paper's loss and nothing else.
PLAIN = {
    "n_factors": (4,),
    "n_epochs": 3,
    "biased": False,
    "encoder_activation": "sigmoid",
    "decoder_activation": "identity",
    "learning_rate": None,
    "reg": 2.0,
    "dropout": 0.0,
    "input_scaling": 0.0,
    "averaging": 0.0,
    "optimizer": "adam",
    "batch_size": None,
    "early_stopping": False,
    "validation_fraction": 0.2,
    "n_iter_no_change": 5,
    "tol": 0.0,
    "device": CPU,
}


def random_ratings(n_rows, n_columns, n_ratings, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.divmod(rng.choice(n_rows * n_columns, n_ratings, replace=False), n_columns)
    values = 3 + rng.normal(0, 0.7, n_rows)[rows] + rng.normal(0, 0.7, n_columns)[columns]
    return RatingMatrix.from_cells(rows, columns, values.round().clip(1, 5), (n_rows, n_columns))


RATINGS = random_ratings(40, 30, 500)


def make_learner(ratings=RATINGS, baselines=None, input_centering=0.0, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    options = TrainingOptions(**{**PLAIN, **options})
    return Learner(ratings, baselines or zero_baselines(ratings), input_centering, options, generator)


def run_train(ratings=RATINGS, members=(USER,), seed=0, on_epoch_end=lambda _: None, **options):
    options = TrainingOptions(**{**PLAIN, **options})
    estimate_baselines = als_baselines if options.biased else zero_baselines
    return train(ratings, members, options, estimate_baselines, seed, on_epoch_end)


def snapshot(network):
    return [parameter.detach().clone() for parameter in network.parameters()]


def bits(training):
    return b"".join(array.tobytes() for factors in training.factors for array in factors)


# The objective and the optimisers

TORCH_OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.0025),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9),
    "rprop": lambda parameters: torch.optim.Rprop(parameters, lr=0.001),
    "lbfgs": lambda parameters: torch.optim.LBFGS(
        parameters, lr=1, max_iter=1, history_size=10, line_search_fn="strong_wolfe"
    ),
}


def dense_training(ratings, V, mu, W, b, optimizer, reg, n_epochs):
    """Eq. 2 on dense matrices, one full batch a step; returns the weights and each epoch's loss per rating."""
    R, observed = torch.zeros(ratings.n_rows, ratings.n_columns), torch.zeros(ratings.n_rows, ratings.n_columns)
    R[ratings.rows, ratings.columns] = torch.from_numpy(ratings.values)
    observed[ratings.rows, ratings.columns] = 1.0
    parameters = V, mu, W, b = [tensor.clone().requires_grad_() for tensor in (V, mu, W, b)]
    stepper = TORCH_OPTIMIZERS[optimizer](parameters)
    errors, losses = [], []

    def penalty():
        return reg / 2 * (V.square().sum() + W.square().sum())

    def objective():
        stepper.zero_grad()
        outputs = torch.sigmoid(R @ V.T + mu) @ W.T + b
        error = (observed * (R - outputs)).square().sum()
        errors.append(error.item())
        loss = (error + penalty()) / ratings.n_rows
        loss.backward()
        return loss

    for _ in range(n_epochs):
        errors.clear()
        stepper.step(objective)
        losses.append((errors[0] + penalty().item()) / ratings.n_ratings)
    return [tensor.detach() for tensor in parameters], losses


def test_every_optimizer_is_tested_here():
    assert TORCH_OPTIMIZERS.keys() == OPTIMIZERS.keys()


@pytest.mark.parametrize("reg", [0.0, 20.0])
@pytest.mark.parametrize("optimizer", TORCH_OPTIMIZERS)
def test_training_minimises_equation_2_as_dense_torch_does(optimizer, reg):
    learner = make_learner(optimizer=optimizer, reg=reg, batch_size=RATINGS.n_rows)
    network = learner.network

    def paper_parameters():
        V, mu, W, b = network.encoder_weight.T, network.encoder_bias, network.decoder_weight, network.decoder_bias
        return [tensor.detach().clone(memory_format=torch.contiguous_format) for tensor in (V, mu, W, b)]

    start = paper_parameters()
    wanted, losses = dense_training(RATINGS, *start, optimizer, reg, n_epochs=3)
    assert [learner.run_epoch(number) for number in (1, 2, 3)] == pytest.approx(losses, rel=1e-4)
    for ours, theirs, before in zip(paper_parameters(), wanted, start, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
        assert (ours - before).abs().max() > 1e-3


@pytest.mark.parametrize("optimizer", TORCH_OPTIMIZERS)
def test_training_lowers_the_error(optimizer):
    history = run_train(optimizer=optimizer, n_epochs=100).history
    assert history[-1].loss < 0.5 * history[0].loss


def test_reg_defaults_to_three_times_the_cube_root_of_the_number_of_ratings():
    assert make_learner(reg=None).reg == pytest.approx(3 * 500 ** (1 / 3))


def test_reported_epochs_are_the_history():
    reported = []
    history = run_train(n_epochs=4, on_epoch_end=reported.append).history
    assert reported == history
    assert [epoch.number for epoch in history] == [1, 2, 3, 4]


def test_an_item_network_is_a_user_network_on_the_transposed_ratings():
    assert bits(run_train(members=[ITEM])) == bits(run_train(RATINGS.transposed, members=[USER]))


def test_factors_are_the_averaged_network_run_on_the_ratings():
    learner = make_learner(averaging=0.9)
    learner.run_epoch(1)
    learner.run_epoch(2)
    hidden, weight, bias = learner.factors(RATINGS)
    outputs = (hidden @ weight.T + bias)[RATINGS.rows, RATINGS.columns]
    np.testing.assert_allclose(outputs, learner.outputs_at(Cells.of(RATINGS, CPU)), rtol=1e-4)


# Inputs and targets


@pytest.mark.parametrize("input_centering", [0.0, 0.4, 1.0, None])
def test_inputs_are_centred_and_scaled_and_targets_are_differences_from_the_baselines(input_centering):
    baselines = als_baselines(RATINGS)
    learner = make_learner(RATINGS, baselines, input_centering, biased=True, input_scaling=0.5, batch_size=40)
    (batch,) = learner.batches
    counts = np.bincount(RATINGS.rows)
    typical = np.median(counts[RATINGS.rows])
    share = typical / 30 if input_centering is None else input_centering
    offsets = baselines.mean + baselines.row_biases[:, None] + baselines.column_biases
    offsets = offsets[RATINGS.rows, RATINGS.columns]
    inputs = (RATINGS.values - share * offsets) / np.sqrt(counts[RATINGS.rows] / typical)
    # A batch's rows are shuffled: compare as sets.
    np.testing.assert_allclose(np.sort(batch.inputs), np.sort(inputs), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.sort(batch.targets), np.sort(RATINGS.values - offsets), rtol=1e-5, atol=1e-6)


# Batches


def rows_of_batches(learner):
    return [len(batch.cells.row_offsets) - 1 for batch in learner.batches]


@pytest.mark.parametrize("optimizer", ["rprop", "lbfgs"])
def test_automatic_batch_of_a_full_batch_optimizer_is_all_rows(optimizer):
    assert rows_of_batches(make_learner(optimizer=optimizer)) == [40]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize(
    ("n_ratings", "n_steps"),
    [(3600, 8), (800, 8), (400, 4), (200, 2), (60, 2)],
    ids=["full", "just enough for 8", "enough for 4", "enough for 2", "few"],
)
def test_automatic_batches_are_eight_or_as_many_as_hold_five_ratings_a_column(optimizer, n_ratings, n_steps):
    learner = make_learner(random_ratings(180, 20, n_ratings), optimizer=optimizer)
    rows = rows_of_batches(learner)
    assert len(rows) == n_steps
    assert max(rows) - min(rows) <= 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("batch_size", "n_steps"), [(1, 40), (10, 4), (16, 3), (40, 1), (1000, 1)])
def test_explicit_batch_size_is_obeyed(optimizer, batch_size, n_steps):
    rows = rows_of_batches(make_learner(optimizer=optimizer, batch_size=batch_size))
    assert len(rows) == n_steps
    assert max(rows) <= batch_size


def test_batches_hold_every_rating_once_each():
    batches = make_learner(batch_size=7).batches
    targets = np.concatenate([batch.targets for batch in batches])
    columns = np.concatenate([batch.cells.columns for batch in batches])
    np.testing.assert_array_equal(np.sort(targets), np.sort(RATINGS.values))
    np.testing.assert_array_equal(np.sort(columns), np.sort(RATINGS.columns))


@pytest.mark.parametrize("seed", range(5))
def test_batches_without_ratings_are_no_trouble(seed):
    ratings = RatingMatrix.from_cells([0, 0, 2], [0, 1, 1], [3, 4, 5], (12, 3))
    history = run_train(ratings, seed=seed, batch_size=1).history
    assert np.isfinite([epoch.loss for epoch in history]).all()


# Averaging


def test_averaged_weights_are_a_mean_at_first_and_an_exponential_average_from_there_on():
    learner = make_learner(averaging=0.75)
    seen = []
    for number in range(1, 7):
        learner.run_epoch(number)
        seen.append(snapshot(learner.network))
        first = [torch.stack(weights).mean(0) for weights in zip(*seen[:4], strict=True)]
        wanted = first  # of epochs 1 to 4: with 0.75, an epoch may weigh no less than a quarter
        for weights in seen[4:]:
            wanted = [0.75 * old + 0.25 * new for old, new in zip(wanted, weights, strict=True)]
        for ours, theirs in zip(learner.averaged.parameters(), wanted, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert not torch.allclose(learner.averaged.decoder_weight, learner.network.decoder_weight)


def test_without_averaging_the_last_weights_are_used():
    learner = make_learner(averaging=0.0)
    for number in (1, 2):
        learner.run_epoch(number)
        assert all(map(torch.equal, learner.averaged.parameters(), learner.network.parameters()))


def test_averaging_does_not_change_the_course_of_training():
    assert run_train(averaging=0.0).history == run_train(averaging=0.9).history


# Dropout


def test_dropout_hides_a_share_of_the_inputs_and_scales_up_the_others(monkeypatch):
    ratings = random_ratings(100, 80, 4000)
    learner = make_learner(ratings, dropout=0.3, batch_size=100)
    (batch,) = learner.batches
    calls = {"encode": [], "decode": []}
    for name, seen in calls.items():
        method = getattr(learner.network, name)
        monkeypatch.setattr(
            learner.network, name, lambda *args, method=method, seen=seen: seen.append(args) or method(*args)
        )
    learner.run_epoch(1)
    learner.run_epoch(2)

    masks = []
    for inputs, values in calls["encode"]:
        assert len(values) == pytest.approx(0.7 * 4000, rel=0.05)
        shape = (100, 80)
        kept, everything = np.zeros(shape), np.full(shape, np.nan)
        kept[np.repeat(np.arange(100), np.diff(inputs.row_offsets)), inputs.columns] = values
        rows = np.repeat(np.arange(100), np.diff(batch.cells.row_offsets))
        everything[rows, batch.cells.columns] = batch.inputs / 0.7
        masks.append(kept != 0)
        np.testing.assert_allclose(kept[masks[-1]], everything[masks[-1]], rtol=1e-6)
    agreement = (masks[0] & masks[1]).sum() / 4000
    assert agreement == pytest.approx(0.7**2, abs=0.05)  # each epoch hides other inputs
    assert [outputs for _, outputs in calls["decode"]] == [batch.cells] * 2
    assert len(batch.targets) == 4000


def test_without_dropout_the_network_sees_all_inputs(monkeypatch):
    learner = make_learner(dropout=0.0, batch_size=40)
    encode, seen = learner.network.encode, []
    monkeypatch.setattr(learner.network, "encode", lambda *args: seen.append(args) or encode(*args))
    learner.run_epoch(1)
    assert seen == [(learner.batches[0].cells, learner.batches[0].inputs)]


# Early stopping

#: Settings that overfit after some epochs.
OVERFITTING = {
    "n_factors": (32,),
    "biased": True,
    "reg": 0.0,
    "learning_rate": 0.005,
    "averaging": 0.5,
    "n_epochs": 60,
    "early_stopping": True,
}


def retrain(members, n_epochs, seed=0):
    """What `train` does with early stopping, up to an epoch: the learners, and the ratings and baselines they know."""
    options = TrainingOptions(**{**PLAIN, **OVERFITTING})
    generator = torch.Generator().manual_seed(seed)
    kept, held_out = RATINGS.split(options.validation_fraction, generator)
    baselines = als_baselines(kept)
    learners = []
    for member in members:
        rows = (kept, baselines) if member.rows == "user" else (kept.transposed, baselines.transposed)
        learners.append(Learner(*rows, member.input_centering, options, generator))
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
    learners, kept, held_out, baselines = retrain(members, best)
    estimates = baselines.at(held_out.rows, held_out.columns)
    for member, learner in zip(members, learners, strict=True):
        hidden, weight, bias = learner.factors(kept if member.rows == "user" else kept.transposed)
        outputs = hidden @ weight.T + bias
        outputs = outputs if member.rows == "user" else outputs.T
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
        wanted = learner.factors(RATINGS if member.rows == "user" else RATINGS.transposed)
        for ours, theirs in zip(factors, wanted, strict=True):
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
    with pytest.raises(DivergenceError, match=r"lower lr_all, got 1000000\.0"):
        run_train(optimizer=optimizer, learning_rate=1e6, early_stopping=early_stopping)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_weights_that_overflow_in_the_last_epoch_are_a_divergence(early_stopping):
    with pytest.raises(DivergenceError, match="lr_all"):
        run_train(optimizer="sgd", learning_rate=1e30, batch_size=40, n_epochs=1, early_stopping=early_stopping)


def test_a_first_batch_of_small_error_is_no_divergence():
    # Half the rows hit their baseline exactly, the others miss it by 2. Whichever comes first, nothing diverges.
    rows, columns = np.divmod(np.arange(32), 4)
    values = np.where(rows < 4, 3, np.where((rows + columns) % 2, 1, 5))
    ratings = RatingMatrix.from_cells(rows, columns, values, (8, 4))
    baselines = Baselines(3.0, np.zeros(8), np.zeros(4))
    options = TrainingOptions(**{**PLAIN, "biased": True, "batch_size": 1, "learning_rate": 1e-4})
    for seed in range(5):
        train(ratings, [Member("user", 1.0, 1.0)], options, lambda _: baselines, seed, lambda _: None)


@pytest.mark.parametrize("seed", range(5))
def test_training_that_has_hardly_begun_is_no_divergence(seed):
    # The first random weights answer far worse than no output would; these steps are too small to mend that.
    options = {"biased": True, "encoder_activation": "identity", "learning_rate": 1e-4}
    history = run_train(seed=seed, n_factors=(64,), **options).history
    assert history[0].loss > history[-1].loss


# Reproducibility

#: Every random choice there is.
RANDOM = {"biased": True, "dropout": 0.4, "averaging": 0.5, "early_stopping": True, "batch_size": 10}


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
@pytest.mark.parametrize("optimizer", sorted({*OPTIMIZERS} - {"lbfgs"}))  # its inner products are torch's to sum
def test_the_number_of_threads_does_not_change_the_bits(optimizer, encoder):
    options = {"n_factors": (64,), "optimizer": optimizer, "encoder_activation": encoder}
    one, two = (trained_with_threads(n, LARGE, **options) for n in (1, 2))
    assert bits(one) == bits(two)
    assert one.history == two.history


def test_the_number_of_threads_does_not_change_the_bits_of_a_wide_hidden_layer():
    # 400 x 501 hidden activations: more than torch's grain size (32,768), and no multiple of the vector width.
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
    (_, one, _), (_, other, _) = training.factors
    assert all(not np.array_equal(a, b) for a, b in pairwise((one, other)))
