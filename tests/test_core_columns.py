"""The second encoder against dense references."""

import numpy as np
import pytest
import torch
from core_helpers import CPU, RATINGS, dense, finished, make_learner, random_ratings
from torch.testing import assert_close

from surprise_autorec.core import automatic
from surprise_autorec.core import step as step_module
from surprise_autorec.core.baselines import als_baselines
from surprise_autorec.core.batches import BatchCutter, InputRules, RowsAndColumns, typical_count
from surprise_autorec.core.columns import column_vectors, own_part
from surprise_autorec.core.network import decoder_output
from surprise_autorec.core.optimizers import OPTIMIZERS
from surprise_autorec.core.sparse import WorkingCopy, decode_cells

K = 3
CENTERING = RowsAndColumns(0.8, 0.4)
BATCH_SIZES = [40, 21, 7, 1]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def cut(batch_size, ratings=RATINGS):
    """Batches of shuffled rows, and the column encoder's inputs as a dense matrix."""
    baselines = als_baselines(ratings)
    cutter = BatchCutter(InputRules(CENTERING, 0.5, typical_count(ratings.row_counts)), baselines, CPU)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(ratings.row_counts))
    offsets = baselines.at(ratings.rows, ratings.columns)
    inputs = (ratings.values - CENTERING.columns * offsets) / np.sqrt(ratings.column_counts[ratings.columns])
    return list(cutter.cut(ratings, rows, batch_size)), dense(ratings, inputs)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_column_vectors_are_the_dense_product(batch_size):
    weight = random(RATINGS.n_rows, K)
    batches, inputs = cut(batch_size)
    assert_close(column_vectors(weight, batches), inputs.T @ weight, rtol=1e-4, atol=1e-5)


def test_rows_and_columns_without_ratings_have_no_part_in_column_vectors():
    ratings = random_ratings(60, 50, 70)
    empty = ratings.column_counts == 0
    assert empty.any()
    assert (ratings.row_counts == 0).any()
    weight = random(60, K)
    weight[torch.from_numpy(ratings.row_counts == 0)] = torch.nan
    vectors = column_vectors(weight, cut(9, ratings)[0])
    assert (vectors[torch.from_numpy(empty)] == 0).all()
    assert vectors.isfinite().all()


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_own_part_leaves_one_rating_out_exactly(batch_size):
    """Where the normalisation is that of all ratings: the sum without the cell's own, cell by cell."""
    weight, decoder, bias = random(40, K), random(30, K, seed=1), random(30, seed=2)
    batches, inputs = cut(batch_size)
    summed = WorkingCopy(decoder, torch.float32, plus=column_vectors(weight, batches))
    for n, batch in enumerate(batches):
        hidden = random(len(batch.rows), K, seed=3 + n)
        outputs = decode_cells(hidden, summed.values, bias, batch.cells) - own_part(
            weight[batch.rows], hidden, batch
        )
        local_rows = np.repeat(np.arange(len(batch.rows)), batch.cells.row_counts)
        for local_row, column, output in zip(local_rows, batch.cells.columns.tolist(), outputs, strict=True):
            others = torch.arange(40) != batch.rows[local_row]
            vector = inputs[others, column] @ weight[others]
            assert_close(
                output, hidden[local_row] @ (decoder[column] + vector) + bias[column], rtol=1e-4, atol=1e-4
            )


def dense_gradient(weight, inputs, targets, observed, steps, f):
    """Autograd of the mean over batches of each one's squared errors over its number of rows.

    Each batch has rows, hidden activations, decoder weights and a decoder bias of its own, those of its step.
    """
    weight = weight.clone().requires_grad_()
    total = 0.0
    for rows, hidden, decoder, bias in steps:
        own = inputs[rows] * (hidden * weight[rows]).sum(1, keepdim=True)
        outputs = f(hidden @ (decoder + inputs.T @ weight).T + bias - own)
        total = total + (observed[rows] * (targets[rows] - outputs)).square().sum() / len(rows)
    return torch.autograd.grad(total / len(steps), weight)[0]


@pytest.mark.parametrize("decoder_activation", ["identity", "tanh"])
@pytest.mark.parametrize("reg", [0.0, 50.0])
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_epoch_steps_along_the_gradient_of_the_mean_over_batches(
    monkeypatch, optimizer, batch_size, reg, decoder_activation
):
    """At the points where each batch's step begins, whatever its optimiser tries on the way."""
    learner = make_learner(
        RATINGS,
        als_baselines(RATINGS),
        CENTERING,
        two_sided=True,
        biased=True,
        reg=reg,
        batch_size=batch_size,
        optimizer=optimizer,
        decoder_activation=decoder_activation,
    )
    network = learner.network
    with torch.no_grad():
        for n, parameter in enumerate(network.parameters()):
            parameter += 0.3 * random(*parameter.shape, seed=n)
    weight = network.column_encoder_weight.detach().clone()
    steps, followed = {}, []
    rows_of = {id(batch.cells): batch.rows for batch in learner.batches}

    def spy(hidden, weight, bias, cells):
        point = hidden, network.decoder_weight, network.decoder_bias
        steps.setdefault(id(cells), (rows_of[id(cells)], *(tensor.detach().clone() for tensor in point)))
        return decode_cells(hidden, weight, bias, cells)

    def spy_on_column_encoder(parameter, rows, gradient):
        followed.append(gradient.clone())
        update(parameter, rows, gradient)

    column_optimizer = learner.stepper.column_encoder.optimizer
    update = column_optimizer.update
    monkeypatch.setattr(column_optimizer, "update", spy_on_column_encoder)
    monkeypatch.setattr(step_module, "decode_cells", spy)
    learner.run_epoch(1)
    baselines = als_baselines(RATINGS).at(RATINGS.rows, RATINGS.columns)
    gradient = dense_gradient(
        weight,
        cut(40)[1],
        dense(RATINGS, RATINGS.values - baselines),
        dense(RATINGS, np.ones(RATINGS.n_ratings)),
        list(steps.values()),
        lambda x: decoder_output(x, decoder_activation, biased=True),
    )
    ours = network.column_encoder_weight
    assert len(followed) == 1
    assert_close(followed[0], gradient, rtol=1e-3, atol=1e-4)
    pace = automatic.column_encoder_pace(RATINGS.column_counts)
    theirs = weight.clone().requires_grad_()
    theirs.grad = gradient
    torch.optim.Adam([theirs], lr=0.4 * pace * 0.003, weight_decay=reg / RATINGS.n_rows).step()
    assert_close(ours.detach(), theirs.detach(), rtol=0, atol=1e-5)
    assert (ours - weight).abs().max() > 1e-3


def test_training_moves_the_weights_of_rows_with_ratings_only():
    ratings = random_ratings(60, 50, 70)
    learner = make_learner(ratings, two_sided=True, biased=True, baselines=als_baselines(ratings))
    for number in (1, 2):  # in the first epoch, the decoder starts from zero
        learner.run_epoch(number)
    moved = (learner.network.column_encoder_weight != 0).any(dim=1).numpy()
    # (A row whose columns nobody else rates tells of no other rating: its gradient is zero but for rounding.)
    with_company = np.bincount(ratings.rows, ratings.column_counts[ratings.columns] > 1, 60) > 0
    assert moved[with_company].all()
    assert (ratings.row_counts == 0).sum() > 0
    assert not moved[ratings.row_counts == 0].any()


def test_one_sided_training_has_no_column_encoder():
    learner = make_learner(two_sided=False)
    assert learner.stepper.column_encoder is None
    assert learner.network.column_encoder_weight is None


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_factors_hold_the_sum_of_decoder_and_column_vectors(optimizer):
    learner = make_learner(two_sided=True, optimizer=optimizer, averaging=0.5)
    for number in (1, 2, 3):
        learner.run_epoch(number)
    averaged = learner.averaged.network
    wanted = averaged.decoder_weight + column_vectors(averaged.column_encoder_weight, learner.batches)
    assert not torch.allclose(wanted, averaged.decoder_weight, atol=1e-4)
    np.testing.assert_allclose(finished(learner).weight, wanted, rtol=1e-5)
