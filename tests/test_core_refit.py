"""The decoder's last fit, against dense regressions."""

import numpy as np
import pytest
import torch
from core_helpers import RATINGS, dense, finished, make_learner, random_ratings
from torch.testing import assert_close

from surprise_autorec.core import refit
from surprise_autorec.core.baselines import als_baselines
from surprise_autorec.core.batches import RowsAndColumns
from surprise_autorec.core.refit import DecoderFit, activations_of
from surprise_autorec.core.step import BiasPenalty
from surprise_autorec.core.trained import row_scales

REG, REG_BIAS = 3.0, 5.0
#: The width; so many steps of conjugate gradients give the solution.
N_FACTORS = 4
#: Settings under which a decoder is fitted once more.
REFITTED = {"n_factors": (N_FACTORS,), "biased": True, "dropout": 0.5, "n_epochs": 8}


def trained(ratings=RATINGS, n_epochs=8, **options):
    """A learner that has been trained."""
    learner = make_learner(
        ratings, als_baselines(ratings), RowsAndColumns(0.8, 0.4), **{**REFITTED, **options}
    )
    for number in range(1, n_epochs + 1):
        learner.run_epoch(number)
    return learner


def activations_without(averaged, gain):
    """L: the hidden activations of each row without each of its ratings, shape (n_rows, n_columns, k).

    With the slopes of chords, and those found by adding one rating after another, for comparison.
    """
    network, weights = averaged.network, averaged.network.encoder_weight
    n_rows = sum(batch.size for batch in averaged.batches)
    by_chords, exact = torch.zeros(2, n_rows, len(weights), weights.shape[1])
    hidden, counts = torch.zeros(n_rows, weights.shape[1]), torch.zeros(n_rows)
    for batch in averaged.batches:
        inputs = torch.zeros(len(batch.rows), len(weights))
        local = torch.arange(len(batch.rows)).repeat_interleave(batch.cells.row_counts)
        inputs[local, batch.cells.columns.long()] = batch.inputs
        products, count = inputs @ weights, batch.cells.row_counts.unsqueeze(1)
        hidden[batch.rows], counts[batch.rows] = network.hidden(products), count.squeeze(1).float()
        length = products / count
        slopes = (network.hidden(products) - network.hidden(products - length)) / length
        own = inputs.unsqueeze(2) * weights
        by_chords[batch.rows] = network.hidden(products).unsqueeze(1) - own * slopes.unsqueeze(1)
        exact[batch.rows] = network.hidden(products.unsqueeze(1) - own)
    mean = (hidden * counts.unsqueeze(1)).sum(0) / counts.sum()
    scales = row_scales(gain, counts)[:, None, None]
    return (by_chords - mean) * scales, (exact - mean) * scales


def column_inputs(averaged):
    """What the column encoder sees, and the targets, as dense matrices."""
    matrices = torch.zeros(2, RATINGS.n_rows, RATINGS.n_columns)
    for batch in averaged.batches:
        rows = batch.rows.repeat_interleave(batch.cells.row_counts)
        matrices[:, rows, batch.cells.columns.long()] = torch.stack([batch.column_inputs, batch.targets])
    return matrices


def regressions(averaged, gain):
    """For each column: inputs with a one at their end, and targets, both at its ratings."""
    without, _ = activations_without(averaged, gain)
    seen, targets = column_inputs(averaged)
    observed = dense(RATINGS, 1) > 0
    encoder = averaged.network.column_encoder_weight
    for column in range(RATINGS.n_columns):
        rows = observed[:, column]
        inputs, wanted = without[rows, column], targets[rows, column]
        if encoder is not None:
            vectors = seen[rows, column].unsqueeze(1) * encoder[rows]
            wanted = wanted - (inputs * (vectors.sum(0) - vectors)).sum(1)
        yield torch.cat([inputs, torch.ones(len(inputs), 1)], 1).double(), wanted.double()


def fit_of(averaged, gain, n_steps, shared=None):
    fit = DecoderFit(averaged.network, averaged.batches, gain, REG)
    fit.run(REG_BIAS, shared, n_steps)


@pytest.mark.parametrize("batch_size", [40, 21, 7, 1])
@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("gain", [0.0, 0.7])
def test_weights_solve_the_regression_of_their_column_given_its_bias(batch_size, two_sided, gain):
    averaged = trained(batch_size=batch_size, two_sided=two_sided).averaged
    fit_of(averaged, gain, N_FACTORS)
    network = averaged.network
    for column, (inputs, wanted) in enumerate(regressions(averaged, gain)):
        hidden = inputs[:, :-1]
        equations = hidden.T @ hidden + REG / 2 * torch.eye(hidden.shape[1])
        expected = torch.linalg.solve(equations, hidden.T @ (wanted - network.decoder_bias[column]))
        assert_close(network.decoder_weight[column].double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("column_reg", [None, 4.0])
def test_biases_are_the_best_for_the_weights_of_training(column_reg):
    averaged = trained(two_sided=True).averaged
    weight = averaged.network.decoder_weight.clone()
    baseline, penalty = torch.linspace(-1, 1, RATINGS.n_columns), column_reg or 0.0
    fit_of(averaged, 0.3, 0, column_reg and BiasPenalty(column_reg, baseline))
    assert_close(averaged.network.decoder_weight, weight)
    for column, (inputs, wanted) in enumerate(regressions(averaged, 0.3)):
        left = (wanted - inputs[:, :-1] @ weight[column].double()).sum() - penalty * baseline[column]
        expected = left / (len(wanted) + REG_BIAS / 2 + penalty)
        assert_close(averaged.network.decoder_bias[column].double(), expected, rtol=1e-4, atol=1e-5)


def test_few_steps_come_close_to_the_solution():
    objectives = []
    for n_steps in (0, refit.N_STEPS, N_FACTORS):
        averaged = trained(two_sided=True).averaged
        fit_of(averaged, 0.4, n_steps)
        weight, bias = averaged.network.decoder_weight.double(), averaged.network.decoder_bias
        objectives.append(
            sum(
                (wanted - inputs[:, :-1] @ weight[c] - bias[c]).square().sum()
                + REG / 2 * weight[c].square().sum()
                for c, (inputs, wanted) in enumerate(regressions(averaged, 0.4))
            )
        )
    start, found, least = objectives
    assert found - least < 0.1 * (start - least)


def test_a_row_without_its_only_rating_has_the_activations_of_a_row_without_ratings():
    ratings = random_ratings(60, 20, 80)
    averaged = trained(ratings).averaged
    nothing = averaged.network.encode_nothing()[0]
    without = [
        one.hidden[row] - one.inputs[cell] * one.slopes[row] * one.encoder[one.cells.columns[cell]]
        for one in activations_of(averaged.network, averaged.batches, 0.0)
        for row, cell in enumerate(one.cells.row_offsets[:-1])
        if one.cells.row_counts[row] == 1
    ]
    assert len(without) > 10
    of_all = torch.cat([averaged.network.encode(batch.cells, batch.inputs) for batch in averaged.batches])
    counts = torch.cat([batch.cells.row_counts for batch in averaged.batches])
    mean = (of_all * counts.unsqueeze(1)).sum(0) / counts.sum()
    for found in without:
        assert_close(found, nothing - mean, rtol=1e-3, atol=1e-4)


def test_chords_come_close_to_leaving_each_rating_out():
    averaged = trained().averaged
    by_chords, exact = activations_without(averaged, 0.0)
    with_all = activations_of(averaged.network, averaged.batches, 0.0)
    rows = torch.cat([batch.rows for batch in averaged.batches])
    hidden = torch.cat([one.hidden for one in with_all])[torch.argsort(rows)]
    observed = (dense(RATINGS, 1) > 0).unsqueeze(2)
    error = (observed * (by_chords - exact)).norm()
    assert error < 0.1 * (observed * (hidden.unsqueeze(1) - exact)).norm()


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.0},
        {"biased": False},
        {"n_factors": (6, 4)},
        {"decoder_activation": "tanh"},
        {"optimizer": "rprop"},
    ],
    ids=str,
)
def test_the_decoder_is_left_as_trained_where_the_regression_would_be_another(options):
    learner = trained(**options)
    trained_weight = learner.averaged.network.decoder_weight.clone().numpy()
    found = finished(learner)
    np.testing.assert_array_equal(found.weight, trained_weight)


def test_what_predicts_has_the_refitted_decoder():
    learner = trained(two_sided=True)
    before = learner.averaged.network.decoder_weight.clone()
    found = finished(learner)
    after = torch.from_numpy(found.encoders.weights["decoder_weight"])
    assert (after - before).norm() > 0.05 * before.norm()
    assert_close(after, learner.averaged.network.decoder_weight)


def test_more_known_ratings_do_not_change_the_decoder():
    """With early stopping, the ratings held out are encoded in the end, but nothing is fitted to them."""
    part, _ = RATINGS.split(0.3, torch.Generator().manual_seed(0))
    found, found_of_part = (finished(trained(part), known) for known in (RATINGS, part))
    np.testing.assert_array_equal(found.weight, found_of_part.weight)
    assert not np.array_equal(found.hidden, found_of_part.hidden)
