"""The laws for what is "auto"."""

from itertools import combinations

import numpy as np
import pytest
from core_helpers import training_options

from surprise_autorec.core import automatic
from surprise_autorec.core.baselines import zero_baselines
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Kind


def drawn(n_users, n_items, n_ratings, user_spread, item_spread, noise, seed=0):
    """Ratings of a model of biases and noise, and nothing else."""
    rng = np.random.default_rng(seed)
    users, items = np.divmod(rng.choice(n_users * n_items, n_ratings, replace=False), n_items)
    effects = rng.normal(0, user_spread, n_users)[users] + rng.normal(0, item_spread, n_items)[items]
    return RatingMatrix.from_cells(
        users, items, 3 + effects + rng.normal(0, noise, n_ratings), (n_users, n_items)
    )


@pytest.mark.parametrize(("user_spread", "item_spread"), [(0.5, 0.25), (0.2, 0.8)])
def test_baseline_penalties_are_ratios_of_variances(user_spread, item_spread):
    sparse = drawn(3000, 2000, 30_000, user_spread, item_spread, noise=1.0)
    reg_u, reg_i = automatic.baseline_penalties(sparse)
    np.testing.assert_allclose([reg_u, reg_i], [user_spread**-2, item_spread**-2], rtol=0.2)


@pytest.mark.parametrize(
    ("shape", "n_ratings", "share"),
    [((3000, 2000), 30_000, 1.0), ((4000, 300), 120_000, 0.8), ((300, 300), 80_000, 1.0)],
)
def test_network_learns_a_part_of_item_biases_where_it_sees_many_ratings_and_who_gave_them(
    shape, n_ratings, share
):
    ratings = drawn(*shape, n_ratings, 0.5, 0.5, noise=1.0)
    assert automatic.item_bias_share(ratings) == pytest.approx(share, abs=0.03)


def test_members_of_a_kind_share_its_weight():
    ratings = drawn(4000, 300, 120_000, 0.5, 0.5, noise=1.0)
    kinds = [Kind("item", 2, 0.5, None), Kind("item", 0, 0.0, 0.0), Kind("user", 1, 0.5, 1.0)]
    share = automatic.item_bias_share(ratings)
    assert automatic.members(ratings, kinds, 0.3) == [
        ("item", 0.25, share, 0.3),
        ("item", 0.25, share, 0.3),
        ("user", 0.5, 1.0, 0.3),
    ]


def residual_matrix(n_patterns, share, noise=0.0, shape=(400, 300), seed=0):
    """A share of the cells of a sum of patterns and noise, each of variance 1 or ``noise`` squared."""
    rng = np.random.default_rng(seed)
    of_rows, of_columns = (np.sign(rng.normal(size=(n, n_patterns))) for n in shape)
    dense = of_rows @ of_columns.T / max(n_patterns, 1) ** 0.5 + rng.normal(0, noise, shape)
    return RatingMatrix.from_cells(*(chosen := np.nonzero(rng.random(shape) < share)), dense[chosen], shape)


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("most_pairs", [10**9, 10**5])
@pytest.mark.parametrize(
    ("n_patterns", "noise", "wanted"), [(0, 1.0, 0.0), (1, 0.0, 1.0), (5, 0.0, 0.2), (5, 1.0, 0.05)]
)
def test_structure_is_none_in_noise_and_one_part_in_k_of_k_patterns(
    monkeypatch, share, most_pairs, n_patterns, noise, wanted
):
    monkeypatch.setattr(automatic, "MOST_PAIRS", most_pairs)
    ratings = residual_matrix(n_patterns, share, noise)
    assert automatic.structure(ratings, zero_baselines(ratings)) == pytest.approx(wanted, rel=0.2, abs=0.005)


def test_structure_is_the_mean_product_over_rectangles(monkeypatch):
    monkeypatch.setattr(automatic, "RECTANGLES_EXPECTED", 0)
    ratings = residual_matrix(2, 0.6, 0.5, shape=(9, 7))
    dense = np.full((9, 7), np.nan)
    dense[ratings.rows, ratings.columns] = ratings.values
    products = [
        dense[[top, top, bottom, bottom], [left, right, left, right]].prod()
        for top, bottom in combinations(range(9), 2)
        for left, right in combinations(range(7), 2)
    ]
    wanted = np.nanmean(products) / np.nanmean(dense**2) ** 2
    assert automatic.structure(ratings, zero_baselines(ratings)) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.0, 3.0]])
def test_structure_that_nothing_shows_is_typical(values):
    ratings = RatingMatrix.from_cells(range(len(values)), [0] * len(values), values, (5, 2))
    assert automatic.structure(ratings, zero_baselines(ratings)) == automatic.TYPICAL_STRUCTURE


@pytest.mark.parametrize(
    ("structure", "factor"), [(-0.01, 3.0), (0.0, 3.0), (0.01, 1.0), (0.1, 10**-0.25), (9.0, 0.3)]
)
def test_penalty_falls_where_there_is_more_structure(structure, factor):
    assert automatic.penalty(2.0, 1000, structure) == pytest.approx(4.5 * factor * 2.0 * 10)


@pytest.mark.parametrize(("n_ratings", "pace"), [(200, 1.0), (40, 1.0), (10, 2.0), (1, 4.0)])
def test_column_encoder_is_faster_where_columns_have_few_ratings(n_ratings, pace):
    assert automatic.column_encoder_pace(np.full(7, n_ratings)) == pytest.approx(pace)


def test_gain_is_expected_where_dropout_hides_inputs():
    def gain(dropout, **options):
        return automatic.gain(training_options(dropout=dropout, **options))

    assert gain(0.0, biased=True) == 0.0
    assert gain(0.5, biased=True) == automatic.GAIN_FACTOR
    assert gain(0.75, biased=True) == pytest.approx(3 * automatic.GAIN_FACTOR)
    assert gain(0.5, biased=False) == gain(0.5, biased=True, optimizer="rprop") == 0.0


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0, 3.0], [1.0, 5.0, 1.0]])
def test_baselines_of_next_to_nothing_are_finite(values):
    nobody_rated_the_last = RatingMatrix.from_cells(range(len(values)), [0] * len(values), values, (5, 2))
    baselines = automatic.baselines(nobody_rated_the_last)
    assert np.isfinite(baselines.row_biases).all()
    assert np.isfinite(baselines.column_biases).all()


@pytest.mark.parametrize(
    ("shape", "n_ratings", "wanted"),
    [((100, 1000), 10_000, (0.8, 0.15)), ((500, 40), 18_000, (1.0, 1.0)), ((100, 1000), 30_000, (0.8, 0.45))],
)
def test_centering_goes_with_the_share_of_users_that_rate_a_typical_item(shape, n_ratings, wanted):
    ratings = drawn(*shape, n_ratings, 0.5, 0.5, noise=1.0)
    np.testing.assert_allclose(automatic.centering(ratings), wanted, rtol=0.15)


@pytest.mark.parametrize(
    ("shape", "n_ratings", "factors"),
    [
        ((500, 1000), 3000, 32),
        ((500, 1000), 31_900, 128),
        ((500, 400), 80_000, 256),
        ((9000, 100), 18_000, 32),
    ],
)
def test_width_is_what_the_ratings_of_columns_and_rows_can_carry(shape, n_ratings, factors):
    assert automatic.width(drawn(*shape, n_ratings, 0.5, 0.5, noise=1.0)) == factors
