"""Batches against a loop over their cells."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from core_helpers import AS_THEY_ARE, CPU, RATINGS

from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import BatchCutter, InputRules, RowsAndColumns, typical_count
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.sparse import Cells

RNG = np.random.default_rng(3)
BASELINES = Baselines(3.2, RNG.normal(size=RATINGS.n_rows), RNG.normal(size=RATINGS.n_columns))
ALL_ROWS = np.arange(RATINGS.n_rows)
VALUES = {(z, c): x for z, c, x in zip(RATINGS.rows, RATINGS.columns, RATINGS.values, strict=True)}


def cutter(ratings=RATINGS, centering=AS_THEY_ARE, row_scaling=0.0):
    return BatchCutter(InputRules(centering, row_scaling, typical_count(ratings.row_counts)), BASELINES, CPU)


@pytest.mark.parametrize("row_scaling", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("centering", [(0.0, 0.0), (1.0, 1.0), (0.8, 0.3)])
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_inputs_are_centred_and_scaled_and_targets_are_differences_from_the_baselines(
    centering, row_scaling, batch_size
):
    typical = np.median(np.repeat(RATINGS.row_counts, RATINGS.row_counts))
    seen, rows = {}, RNG.permutation(ALL_ROWS)
    for batch in cutter(RATINGS, RowsAndColumns(*centering), row_scaling).cut(RATINGS, rows, batch_size):
        row_of_cell = batch.rows.repeat_interleave(batch.cells.row_counts)
        cells = zip(row_of_cell.tolist(), batch.cells.columns.tolist(), strict=True)
        arrays = batch.inputs, batch.column_inputs, batch.targets
        seen.update(zip(cells, zip(*(array.tolist() for array in arrays), strict=True), strict=True))
    assert seen.keys() == VALUES.keys()
    for (row, column), three in seen.items():
        rating = VALUES[row, column]
        baseline = BASELINES.mean + BASELINES.row_biases[row] + BASELINES.column_biases[column]
        input_ = (rating - centering[0] * baseline) / ((RATINGS.row_counts[row] / typical) ** row_scaling)
        column_input = (rating - centering[1] * baseline) / np.sqrt(RATINGS.transposed.row_counts[column])
        np.testing.assert_allclose(three, [input_, column_input, rating - baseline], rtol=1e-5, atol=1e-6)


def test_batches_are_the_given_rows_in_their_order():
    rows = RNG.permutation(ALL_ROWS)[:25]
    batches = list(cutter().cut(RATINGS, rows, 10))
    np.testing.assert_array_equal(np.concatenate([batch.rows for batch in batches]), rows)
    for batch in batches:
        wanted = Cells.of(RATINGS.take_rows(batch.rows.numpy()), CPU)
        assert all(torch.equal(getattr(batch.cells, f.name), getattr(wanted, f.name)) for f in fields(Cells))


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(40, [40]), (1000, [40]), (39, [20, 20]), (12, [10] * 4), (11, [10] * 4), (1, [1] * 40)],
)
def test_batches_are_of_nearly_one_size_and_at_most_the_one_asked_for(batch_size, sizes):
    assert [len(batch.rows) for batch in cutter().cut(RATINGS, ALL_ROWS, batch_size)] == sizes


@pytest.mark.parametrize("batch_size", range(1, 42))
def test_sizes_of_batches_differ_by_one_at_most(batch_size):
    sizes = [len(batch.rows) for batch in cutter().cut(RATINGS, ALL_ROWS, batch_size)]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_columns_are_scaled_by_the_ratings_cut_and_rows_by_those_trained_on():
    """So a row's input is the same wherever it is cut, and a column's sum has the size of its ratings."""
    part = RATINGS.take_cells(RNG.random(RATINGS.n_ratings) < 0.6)
    (batch,) = cutter(RATINGS, row_scaling=0.5).cut(part, ALL_ROWS, 40)
    typical = typical_count(RATINGS.row_counts)
    np.testing.assert_allclose(
        batch.inputs, part.values / np.sqrt(part.row_counts[part.rows] / typical), rtol=1e-5
    )
    np.testing.assert_allclose(
        batch.column_inputs, part.values / np.sqrt(part.column_counts[part.columns]), rtol=1e-5
    )


def test_rows_without_ratings_have_no_cells():
    ratings = RatingMatrix.from_cells([0, 0, 2], [0, 1, 1], [3, 4, 5], (3, 2))
    rules = InputRules(AS_THEY_ARE, 0.5, typical_count(ratings.row_counts))
    cut = BatchCutter(rules, Baselines(0.0, np.zeros(3), np.zeros(2)), CPU).cut
    (batch,) = cut(ratings, np.array([1, 2, 0]), 3)
    assert batch.cells.row_counts.tolist() == [0, 1, 2]
    assert batch.targets.tolist() == [5, 3, 4]


@pytest.mark.parametrize(
    ("counts", "typical"),
    [
        ([7], 7),
        ([1, 1, 1], 1),
        ([1, 2, 10], 10),  # of 13 ratings, the seventh stands in the row of 10
        ([10, 1, 2], 10),
        ([3, 3, 1, 2, 2], 3),  # of 11 ratings, the sixth: 1 | 2 2 | 2 2 | 3 3 3 | 3 3 3
        ([0, 0, 5, 1], 5),
        ([2, 4, 0], 4),
        ([2, 2], 2),
        ([1, 3, 4], 3),  # of 8 ratings, the lower of the middle ones
    ],
)
def test_typical_count_is_that_of_the_row_of_the_median_rating(counts, typical):
    assert typical_count(np.array(counts, np.int32)) == typical


@pytest.mark.parametrize("seed", range(20))
def test_typical_count_is_the_median_of_repeated_counts(seed):
    counts = np.random.default_rng(seed).integers(0, 30, 51).astype(np.int32)
    counts[0] += 1 - counts.sum() % 2  # an odd number of ratings has one median
    assert typical_count(counts) == np.median(np.repeat(counts, counts))
