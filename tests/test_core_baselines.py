import numpy as np
import pandas as pd
import pytest
from surprise import BaselineOnly, Dataset, Reader

from surprise_autorec.core.baselines import Baselines, als_baselines, sgd_baselines, zero_baselines
from surprise_autorec.core.ratings import RatingMatrix


def to_matrix(trainset):
    users, items, values = zip(*trainset.all_ratings(), strict=True)
    return RatingMatrix.from_cells(users, items, values, (trainset.n_users, trainset.n_items))


def assert_are_surprises(baselines, trainset, **bsl_options):
    algorithm = BaselineOnly(bsl_options, verbose=False).fit(trainset)
    assert baselines.mean == pytest.approx(trainset.global_mean, abs=1e-6)
    np.testing.assert_allclose(baselines.row_biases, algorithm.bu, atol=1e-6)
    np.testing.assert_allclose(baselines.column_biases, algorithm.bi, atol=1e-6)


@pytest.fixture
def sorted_trainset(data):
    """Ratings by user, then item. The first user rated every item, so inner ids follow the same order."""
    frame = pd.DataFrame(data.raw_ratings, columns=["user", "item", "rating", "_"])
    items = sorted(frame["item"].unique())
    first = pd.DataFrame({"user": -1, "item": items, "rating": [1 + n % 5 for n in range(len(items))]})
    frame = pd.concat([first, frame[["user", "item", "rating"]]]).sort_values(["user", "item"], kind="stable")
    trainset = Dataset.load_from_df(frame, Reader(rating_scale=(1, 5))).build_full_trainset()
    cells = [(user, item) for user, item, _ in trainset.all_ratings()]
    assert cells == sorted(cells)
    return trainset


@pytest.mark.parametrize(
    "options", [{}, {"n_epochs": 1}, {"reg_u": 3.0}, {"reg_i": 2.5}, {"n_epochs": 7, "reg_u": 0, "reg_i": 40}]
)
def test_als_baselines_are_those_of_surprise(trainset, options):
    assert_are_surprises(als_baselines(to_matrix(trainset), **options), trainset, method="als", **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_epochs": 1},
        {"reg": 0.5},
        {"learning_rate": 0.05},
        {"n_epochs": 7, "reg": 0, "learning_rate": 0.01},
    ],
)
def test_sgd_baselines_are_those_of_surprise_when_it_visits_ratings_in_our_order(sorted_trainset, options):
    assert_are_surprises(
        sgd_baselines(to_matrix(sorted_trainset), **options), sorted_trainset, method="sgd", **options
    )


@pytest.mark.parametrize("estimate", [als_baselines, sgd_baselines])
def test_an_empty_row_or_column_has_no_bias(estimate):
    baselines = estimate(RatingMatrix.from_cells([0, 0, 2], [0, 2, 2], [5, 1, 1], (3, 3)))
    assert baselines.row_biases[1] == baselines.column_biases[1] == 0
    assert (baselines.row_biases[[0, 2]] != 0).all()
    assert (baselines.column_biases[[0, 2]] != 0).all()


def test_at_sums_the_mean_and_both_biases():
    baselines = Baselines(3.0, np.array([0.5, -0.25]), np.array([1.0, 2.0, -4.0]))
    np.testing.assert_array_equal(baselines.at(np.array([0, 1, 1]), np.array([2, 0, 1])), [-0.5, 3.75, 4.75])


def test_at_gives_no_bias_to_an_index_of_minus_one():
    baselines = Baselines(3.0, np.array([0.5, -0.25]), np.array([1.0, 2.0, -4.0]))
    np.testing.assert_array_equal(
        baselines.at(np.array([-1, 1, -1]), np.array([2, -1, -1])), [-1.0, 2.75, 3.0]
    )


def test_transposed_exchanges_the_biases():
    transposed = Baselines(3.0, np.array([0.5, -0.25]), np.array([1.0, 2.0, -4.0])).transposed
    assert transposed.mean == 3.0
    np.testing.assert_array_equal(transposed.row_biases, [1.0, 2.0, -4.0])
    np.testing.assert_array_equal(transposed.column_biases, [0.5, -0.25])


def test_take_rows_takes_row_biases_in_the_given_order():
    taken = Baselines(3.0, np.array([0.5, -0.25, 0.0]), np.array([1.0, 2.0])).take_rows(np.array([2, 0, 0]))
    assert taken.mean == 3.0
    np.testing.assert_array_equal(taken.row_biases, [0.0, 0.5, 0.5])
    np.testing.assert_array_equal(taken.column_biases, [1.0, 2.0])


def test_zero_baselines_are_zero_everywhere():
    ratings = RatingMatrix.from_cells([0, 1], [2, 0], [5, 1], (2, 3))
    rows, columns = np.indices((2, 3)).reshape(2, -1)
    np.testing.assert_array_equal(zero_baselines(ratings).at(rows, columns), np.zeros(6))


def test_a_share_of_a_bias_counts_beside_a_network_and_all_of_it_where_no_network_knows():
    baselines = Baselines(3.0, np.array([1.0, 2.0]), np.array([10.0, 20.0]), row_share=0.5, column_share=0.1)
    rows, columns = np.array([0, 1, 0, -1, -1]), np.array([1, 0, -1, 1, -1])
    np.testing.assert_allclose(baselines.at(rows, columns), [3 + 0.5 + 2, 3 + 1 + 1, 3 + 1, 3 + 20, 3])
    np.testing.assert_allclose(baselines.transposed.at(columns, rows), baselines.at(rows, columns))
