import numpy as np
import pytest
import torch

from surprise_autorec.core.ratings import RatingMatrix

# Shape (5, 4); row 2 and column 3 are empty; the rating at (1, 0) is zero.
ROWS = [4, 0, 1, 3, 0, 1, 4, 3]
COLUMNS = [1, 2, 1, 0, 0, 0, 2, 2]
VALUES = [3.0, 5.0, 2.5, 4.0, 1.0, 0.0, 2.0, -1.5]
SHAPE = (5, 4)


@pytest.fixture
def ratings():
    return RatingMatrix.from_cells(ROWS, COLUMNS, VALUES, SHAPE)


def dense(ratings):
    """The matrix as an array, unobserved cells being NaN."""
    array = np.full((ratings.n_rows, ratings.n_columns), np.nan, np.float32)
    for row in range(ratings.n_rows):
        cells = slice(ratings.row_offsets[row], ratings.row_offsets[row + 1])
        array[row, ratings.columns[cells]] = ratings.values[cells]
    return array


def expected():
    array = np.full(SHAPE, np.nan, np.float32)
    array[ROWS, COLUMNS] = VALUES
    return array


def assert_well_formed(ratings):
    assert [ratings.row_offsets.dtype, ratings.columns.dtype, ratings.values.dtype] == [
        np.int32,
        np.int32,
        np.float32,
    ]
    assert ratings.row_offsets[0] == 0
    assert ratings.row_offsets[-1] == len(ratings.columns) == len(ratings.values) == ratings.n_ratings
    for start, end in zip(ratings.row_offsets[:-1], ratings.row_offsets[1:], strict=True):
        assert (np.diff(ratings.columns[start:end]) > 0).all()


def assert_same(ratings, other):
    assert ratings.n_columns == other.n_columns
    np.testing.assert_array_equal(ratings.row_offsets, other.row_offsets)
    np.testing.assert_array_equal(ratings.columns, other.columns)
    np.testing.assert_array_equal(ratings.values, other.values)


def test_from_cells_sorts_the_cells_into_the_matrix(ratings):
    assert_well_formed(ratings)
    assert (ratings.n_rows, ratings.n_columns, ratings.n_ratings) == (5, 4, 8)
    np.testing.assert_array_equal(dense(ratings), expected())


def test_from_cells_does_not_depend_on_the_order_of_the_cells(ratings):
    order = np.random.default_rng(0).permutation(len(VALUES))
    shuffled = RatingMatrix.from_cells(
        np.array(ROWS)[order], np.array(COLUMNS)[order], np.array(VALUES)[order], SHAPE
    )
    assert_same(shuffled, ratings)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_from_cells_stores_int32_and_float32_whatever_it_is_given(dtype):
    ratings = RatingMatrix.from_cells(
        np.array(ROWS, dtype), np.array(COLUMNS, dtype), np.array(VALUES), SHAPE
    )
    assert_well_formed(ratings)


def test_a_stored_zero_remains_a_rating(ratings):
    assert dense(ratings)[1, 0] == 0
    assert dense(ratings.transposed)[0, 1] == 0
    assert ratings.transposed.n_ratings == len(VALUES)
    assert dense(ratings.take_rows(np.array([1])))[0, 0] == 0


def test_duplicates_become_their_mean():
    ratings = RatingMatrix.from_cells([1, 0, 1, 1, 0], [0, 1, 0, 0, 0], [1, 3, 2, 6, 4], (2, 2))
    assert_well_formed(ratings)
    np.testing.assert_array_equal(dense(ratings), [[4, 3], [3, np.nan]])


def test_duplicates_whose_sum_is_zero_remain_a_rating():
    ratings = RatingMatrix.from_cells([0, 0], [0, 0], [-1, 1], (1, 2))
    np.testing.assert_array_equal(dense(ratings), [[0, np.nan]])


def test_unequal_lengths_raise_an_error_that_names_the_shapes():
    with pytest.raises(ValueError, match=r"\(2,\), \(2,\), \(3,\)"):
        RatingMatrix.from_cells([0, 1], [0, 1], [1, 2, 3], (2, 2))


@pytest.mark.parametrize(("row", "column"), [(2, 0), (0, 2), (-1, 0)])
def test_cells_outside_the_shape_raise_an_error(row, column):
    with pytest.raises(ValueError, match="index"):
        RatingMatrix.from_cells([row], [column], [1.0], (2, 2))


def test_rows_and_counts_tell_where_the_ratings_are(ratings):
    np.testing.assert_array_equal(ratings.row_counts, (~np.isnan(expected())).sum(axis=1))
    np.testing.assert_array_equal(ratings.column_counts, (~np.isnan(expected())).sum(axis=0))
    np.testing.assert_array_equal(expected()[ratings.rows, ratings.columns], ratings.values)
    np.testing.assert_array_equal(ratings.rows, np.sort(ROWS))


def test_transposed_exchanges_rows_and_columns(ratings):
    assert_well_formed(ratings.transposed)
    np.testing.assert_array_equal(dense(ratings.transposed), expected().T)


def test_transposed_twice_is_the_original(ratings):
    assert_same(ratings.transposed.transposed, ratings)


@pytest.mark.parametrize("rows", [[3, 0, 4], [2], [2, 1, 2, 1], [4, 3, 2, 1, 0], []])
def test_take_rows_keeps_the_order_asked_for(ratings, rows):
    taken = ratings.take_rows(np.array(rows, np.int64))
    assert_well_formed(taken)
    np.testing.assert_array_equal(dense(taken), expected()[rows])


@pytest.mark.parametrize("chosen", ["some", "none", "all"])
def test_take_cells_keeps_the_chosen_cells_and_the_shape(ratings, chosen):
    chosen = {"some": ratings.values > 2, "none": np.zeros(8, bool), "all": np.ones(8, bool)}[chosen]
    taken = ratings.take_cells(chosen)
    assert_well_formed(taken)
    wanted = np.full(SHAPE, np.nan)
    wanted[ratings.rows[chosen], ratings.columns[chosen]] = ratings.values[chosen]
    np.testing.assert_array_equal(dense(taken), wanted)


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.5, 0.99])
def test_split_parts_the_ratings_in_two(ratings, fraction):
    kept, held_out = ratings.split(fraction, torch.Generator().manual_seed(0))
    kept_array, held_out_array = dense(kept), dense(held_out)
    assert kept_array.shape == held_out_array.shape == SHAPE
    assert not (~np.isnan(kept_array) & ~np.isnan(held_out_array)).any()
    np.testing.assert_array_equal(np.where(np.isnan(kept_array), held_out_array, kept_array), expected())


@pytest.mark.parametrize(("fraction", "size"), [(0.01, 1), (0.25, 2), (0.5, 4), (0.99, 7)])
def test_split_holds_out_the_fraction_but_at_least_one_and_never_all(ratings, fraction, size):
    kept, held_out = ratings.split(fraction, torch.Generator().manual_seed(0))
    assert (kept.n_ratings, held_out.n_ratings) == (8 - size, size)


def test_split_is_seeded(ratings):
    def held_out(seed):
        return dense(ratings.split(0.5, torch.Generator().manual_seed(seed))[1]).tobytes()

    assert held_out(0) == held_out(0)
    assert len({held_out(seed) for seed in range(5)}) > 1
