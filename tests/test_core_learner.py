"""One network in training, against a dense reference."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from core_helpers import RATINGS, dense, finished, make_learner, random_ratings
from reference import FULL_BATCH, TORCH_OPTIMIZERS, dense_training, paper_parameters

from surprise_autorec.core import automatic, sparse
from surprise_autorec.core import step as step_module
from surprise_autorec.core.baselines import als_baselines
from surprise_autorec.core.optimizers import OPTIMIZERS, settings_of
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import Cells


def snapshot(network):
    return [parameter.detach().clone() for parameter in network.parameters()]


# The objective and the optimisers


def test_every_optimizer_is_tested_here():
    assert TORCH_OPTIMIZERS.keys() == OPTIMIZERS.keys()
    assert {name for name, optimizer in OPTIMIZERS.items() if optimizer.full_batch} == FULL_BATCH


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize(("reg", "reg_bias"), [(0.0, 0.0), (20.0, 0.0), (0.0, 5.0), (20.0, 5.0)])
@pytest.mark.parametrize("optimizer", TORCH_OPTIMIZERS)
def test_training_minimises_equation_2_as_dense_torch_does(optimizer, reg, reg_bias, two_sided):
    learner = make_learner(
        optimizer=optimizer, reg=reg, reg_bias=reg_bias, two_sided=two_sided, batch_size=RATINGS.n_rows
    )
    with torch.no_grad():  # zeros, as training starts from, would leave the encoder without gradient at first
        for n, parameter in enumerate(learner.network.parameters()):
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(n))
    start = paper_parameters(learner.network)
    ratings, observed = dense(RATINGS, RATINGS.values), dense(RATINGS, np.ones(RATINGS.n_ratings))
    unit, n_epochs = (10, 3) if optimizer == "lbfgs" else (1, 4)  # as a line search amplifies rounding errors
    wanted, losses = dense_training(ratings, observed, start, optimizer, reg, reg_bias, n_epochs)
    found = [learner.run_epoch(number)[0] for number in range(1, n_epochs + 1)]
    assert found == pytest.approx(losses, rel=unit * 1e-4)
    ours = paper_parameters(learner.network)
    assert len(ours) == 4 + two_sided
    for our, their, before in zip(ours, wanted, start, strict=True):
        torch.testing.assert_close(our, their, rtol=unit * 1e-3, atol=unit * 2e-5)
        assert (our - before).abs().max() > 1e-3


@pytest.mark.parametrize("n_factors", [(4,), (6, 5, 4)])
def test_there_are_settings_for_all_parameters_but_the_column_encoders(n_factors):
    network = make_learner(n_factors=n_factors, two_sided=True).network
    settings = settings_of(network, 0.5, weight_decay=3.0, bias_decay=7.0)
    rates = {id(parameter): (rate, decay) for parameter, rate, decay in settings}
    weights, biases = network.encoder_parameters()
    wanted = {id(p): (0.5, 3.0) for p in weights} | {id(p): (5.0, 0.0) for p in biases}
    wanted |= {id(network.decoder_weight): (1.0, 3.0), id(network.decoder_bias): (5.0, 7.0)}
    assert rates == wanted
    assert len(settings) == len(list(network.parameters())) - 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_size_of_blocks_does_not_change_the_bits(monkeypatch, optimizer):
    ratings, factors = random_ratings(20, 75, 800), []
    for block_bytes in (2**20, 1):
        monkeypatch.setattr(sparse, "BLOCK_BYTES", block_bytes)
        learner = make_learner(ratings, n_factors=(5,), two_sided=True, dropout=0.3, optimizer=optimizer)
        for number in (1, 2, 3):
            learner.run_epoch(number)
        factors.append(finished(learner, ratings)[:3])
    assert all(map(np.array_equal, *factors))


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_lowers_the_error(optimizer, biased, two_sided):
    baselines = als_baselines(RATINGS) if biased else None
    learner = make_learner(
        RATINGS, baselines, n_factors=(16,), biased=biased, optimizer=optimizer, two_sided=two_sided
    )
    errors = [learner.run_epoch(number)[1] for number in range(1, 101)]
    assert errors[-1] < (0.8 if biased else 0.5) * errors[0]


def test_automatic_reg_goes_with_the_variance_of_the_targets_and_the_cube_root_of_their_number():
    baselines = als_baselines(RATINGS)
    residuals = RATINGS.values - baselines.at(RATINGS.rows, RATINGS.columns)
    assert make_learner(reg=None).reg == pytest.approx(4.5 * RATINGS.values.var() * 500 ** (1 / 3), rel=1e-5)
    assert make_learner(RATINGS, baselines, reg=None).reg == pytest.approx(
        4.5 * residuals.var() * 500 ** (1 / 3), rel=1e-5
    )
    assert make_learner(reg=0.0).reg == 0.0


def test_automatic_reg_beside_baselines_goes_with_the_structure_of_residuals_from_whole_baselines():
    baselines = als_baselines(RATINGS)
    structure = automatic.structure(RATINGS, baselines)
    part = replace(baselines, column_share=0.7)
    residuals = RATINGS.values - part.at(RATINGS.rows, RATINGS.columns)
    assert make_learner(RATINGS, part, biased=True, reg=None).reg == pytest.approx(
        automatic.penalty(residuals.var(), 500, structure), rel=1e-5
    )


def test_a_larger_reg_bias_leaves_smaller_biases():
    sizes = []
    for reg_bias in (0.0, 50.0, 1000.0):
        learner = make_learner(RATINGS, als_baselines(RATINGS), biased=True, reg_bias=reg_bias)
        for number in range(1, 21):
            learner.run_epoch(number)
        sizes.append(float(learner.network.decoder_bias.detach().abs().mean()))
    assert sizes[0] > 2 * sizes[1] > 4 * sizes[2]


def test_without_baselines_the_output_starts_at_the_mean_rating():
    learner = make_learner(two_sided=True)
    outputs = learner.averaged.outputs_at(Cells.of(RATINGS, learner.options.device), [0.0])[0]
    np.testing.assert_allclose(outputs, RATINGS.values.mean(), rtol=1e-6)


# Centring


def trained(n_epochs=3, **options):
    learner = make_learner(
        two_sided=True, input_scaling=0.5, dropout=0.3, averaging=0.5, batch_size=11, **options
    )
    for number in range(1, n_epochs + 1):
        learner.run_epoch(number)
    return learner


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_hidden_activations_have_a_mean_of_zero_over_ratings_but_for_full_batch_optimizers(optimizer):
    hidden = finished(trained(optimizer=optimizer)).hidden
    mean = np.average(hidden, axis=0, weights=RATINGS.row_counts)
    if optimizer in FULL_BATCH:
        assert (mean > 0.2).all()  # of sigmoids
    else:
        np.testing.assert_allclose(mean, 0.0, atol=1e-6)


def test_mean_is_over_the_ratings_that_the_factors_are_made_of():
    part = RATINGS.take_cells(np.random.default_rng(0).random(RATINGS.n_ratings) < 0.5)
    hidden = finished(trained(), part).hidden
    np.testing.assert_allclose(np.average(hidden, axis=0, weights=part.row_counts), 0.0, atol=1e-6)
    assert np.abs(np.average(hidden, axis=0, weights=RATINGS.row_counts)).max() > 1e-4


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_all_hidden_activations_have_in_common_does_not_count_once_they_are_centred(optimizer):
    """A constant added to them all, as a bias adds it where g is the identity."""
    outputs = []
    for constant in (0.0, 2.0):
        learner = trained(optimizer=optimizer, encoder_activation="identity")
        learner.averaged.network.encoder_bias += constant
        outputs.append(finished(learner).outputs)
    same = np.allclose(*outputs, rtol=1e-4, atol=1e-4)
    assert same == (optimizer not in FULL_BATCH)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_steps_of_training_do_not_depend_on_it_either(optimizer):
    losses = []
    for constant in (0.0, 2.0):
        learner = make_learner(two_sided=True, encoder_activation="identity", optimizer=optimizer, reg=0.0)
        with torch.no_grad():
            learner.network.encoder_bias += constant
        losses.append([learner.run_epoch(number)[0] for number in (1, 2, 3)])
    assert (losses[0] == pytest.approx(losses[1], rel=1e-4)) == (optimizer not in FULL_BATCH)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_factors_are_the_averaged_network_run_on_the_ratings(optimizer, two_sided):
    learner = make_learner(averaging=0.9, optimizer=optimizer, two_sided=two_sided)
    learner.run_epoch(1)
    learner.run_epoch(2)
    wanted = learner.averaged.outputs_at(Cells.of(RATINGS, learner.options.device), [0.0])[0]
    np.testing.assert_allclose(finished(learner).outputs[RATINGS.rows, RATINGS.columns], wanted, rtol=1e-4)


def test_gain_makes_hidden_activations_larger_of_rows_with_few_ratings():
    plain, gained = (finished(trained(gain=gain)) for gain in (0.0, 0.5))
    scales = 1 + 0.5 * 12 / (12 + RATINGS.row_counts)
    np.testing.assert_allclose(gained.hidden, scales[:, np.newaxis] * plain.hidden, rtol=1e-5)


def test_outputs_with_several_gains_are_those_of_networks_that_have_them():
    cells = Cells.of(RATINGS, torch.device("cpu"))
    outputs = trained().averaged.outputs_at(cells, [0.0, 0.5])
    for gain, found in zip((0.0, 0.5), outputs, strict=True):
        wanted = finished(trained(gain=gain)).outputs[RATINGS.rows, RATINGS.columns]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert not torch.equal(*outputs)


def test_a_row_without_ratings_has_factors_too():
    ratings = RatingMatrix.from_cells([0, 0, 2], [0, 1, 1], [3, 4, 5], (3, 2))
    learner = make_learner(ratings, two_sided=True)
    for number in range(1, 11):
        learner.run_epoch(number)
    bias = learner.averaged.network.encoder_bias.sigmoid()
    filled = learner.averaged.network.encode(learner.batches[0].cells, learner.batches[0].inputs)
    first = learner.batches[0].rows[0]
    hidden = finished(learner, ratings).hidden
    np.testing.assert_allclose(hidden[1] - hidden[first], bias - filled[0], atol=1e-6)


# Batches


def rows_of_batches(learner):
    return [len(batch.cells.row_offsets) - 1 for batch in learner.batches]


@pytest.mark.parametrize("optimizer", ["rprop", "lbfgs"])
def test_automatic_batch_of_a_full_batch_optimizer_is_all_rows(optimizer):
    assert rows_of_batches(make_learner(optimizer=optimizer)) == [40]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize(
    ("n_ratings", "n_steps"),
    [(3600, 8), (800, 8), (500, 5), (400, 4), (200, 4), (80, 4), (79, 3), (40, 2), (25, 2)],
    ids=[
        "full",
        "just enough for 8",
        "enough for 5",
        "enough for 4",
        "enough for 2",
        "4 a column",
        "nearly 4 a column",
        "2 a column",
        "fewer",
    ],
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


@pytest.mark.parametrize("two_sided", [False, True])
def test_rows_without_ratings_are_in_no_batch(two_sided):
    ratings = RatingMatrix.from_cells([0, 0, 9], [0, 1, 1], [3, 4, 5], (12, 3))
    learner = make_learner(ratings, batch_size=1, two_sided=two_sided)
    assert sorted(int(batch.rows) for batch in learner.batches) == [0, 9]
    assert np.isfinite([learner.run_epoch(number) for number in (1, 2, 3)]).all()


# Averaging


def test_averaged_weights_are_a_mean_at_first_and_an_exponential_average_from_there_on():
    learner = make_learner(averaging=0.75, two_sided=True)
    seen = []
    for number in range(1, 7):
        learner.run_epoch(number)
        seen.append(snapshot(learner.network))
        first = [torch.stack(weights).mean(0) for weights in zip(*seen[:4], strict=True)]
        wanted = first  # of epochs 1 to 4: with 0.75, an epoch may weigh no less than a quarter
        for weights in seen[4:]:
            wanted = [0.75 * old + 0.25 * new for old, new in zip(wanted, weights, strict=True)]
        for ours, theirs in zip(learner.averaged.network.parameters(), wanted, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert not torch.allclose(learner.averaged.network.decoder_weight, learner.network.decoder_weight)


def test_without_averaging_the_last_weights_are_used():
    learner = make_learner(averaging=0.0, two_sided=True)
    for number in (1, 2):
        learner.run_epoch(number)
        assert all(map(torch.equal, learner.averaged.network.parameters(), learner.network.parameters()))


def test_averaging_does_not_change_the_course_of_training():
    one, other = (make_learner(averaging=averaging, two_sided=True) for averaging in (0.0, 0.9))
    assert [one.run_epoch(number) for number in (1, 2, 3)] == [
        other.run_epoch(number) for number in (1, 2, 3)
    ]


# Dropout


def spy(monkeypatch, place, name):
    """A list that grows by the arguments of each call of a function."""
    function, calls = getattr(place, name), []
    monkeypatch.setattr(place, name, lambda *args: calls.append(args) or function(*args))
    return calls


def test_dropout_hides_a_share_of_the_inputs_and_scales_up_the_others(monkeypatch):
    ratings = random_ratings(100, 80, 4000)
    learner = make_learner(ratings, dropout=0.3, batch_size=100)
    (batch,) = learner.batches
    encoded, decoded = (spy(monkeypatch, step_module, name) for name in ("encode_cells", "decode_cells"))
    learner.run_epoch(1)
    learner.run_epoch(2)

    masks = []
    for _, values, inputs in encoded:
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
    assert [outputs for _, _, _, outputs in decoded] == [batch.cells] * 2
    assert len(batch.targets) == 4000


def test_a_hidden_rating_counts_twice_as_much_as_one_that_is_seen_and_all_together_as_much_as_without_dropout(
    monkeypatch,
):
    learner = make_learner(dropout=0.25, reg=0.0, batch_size=40)
    keep, masks = Cells.keep, []
    monkeypatch.setattr(Cells, "keep", lambda cells, kept: masks.append(kept) or keep(cells, kept))
    followed = spy(monkeypatch, learner.stepper.optimizer, "update")
    _, error = learner.run_epoch(1)
    (batch,), (kept,) = learner.batches, masks
    weights = torch.where(kept, 0.8, 1.6)  # their mean would be 1 where a quarter is hidden
    errors = weights * (batch.targets - batch.targets.mean())  # the first output is the mean everywhere
    wanted = -2 / 40 * torch.zeros(RATINGS.n_columns).index_add_(0, batch.cells.columns, errors)
    (gradient,) = (
        gradient for parameter, _, gradient in followed if parameter is learner.network.decoder_bias
    )
    torch.testing.assert_close(gradient, wanted)
    assert error == pytest.approx(batch.targets.var(correction=0).item(), rel=1e-5)  # reported unweighted


def test_without_dropout_the_network_sees_all_inputs(monkeypatch):
    learner = make_learner(dropout=0.0, batch_size=40)
    encoded = spy(monkeypatch, step_module, "encode_cells")
    learner.run_epoch(1)
    assert encoded == [(learner.stepper.encoder.values, learner.batches[0].inputs, learner.batches[0].cells)]
