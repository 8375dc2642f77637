import math

import numpy as np
import pytest
from core_helpers import RATINGS, random_ratings, training_options

from surprise_autorec.core import automatic
from surprise_autorec.core.baselines import als_baselines, zero_baselines
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Member
from surprise_autorec.core.training import StopTraining, train
from surprise_autorec.core.uncertainty import LEAST_ERRORS, ErrorModel, Evidence, Support

MEMBERS = [Member("item", 1.0)]


def cells(ratings):
    return ratings.rows, ratings.columns, ratings.values


def noisy_ratings(n_rows=200, n_columns=100, n_ratings=16_000, seed=0):
    """Ratings about 3 with the noise of their user alone, and each user's standard deviation."""
    rng = np.random.default_rng(seed)
    rows, columns = np.divmod(rng.choice(n_rows * n_columns, n_ratings, replace=False), n_columns)
    noise = rng.uniform(0.2, 0.7, n_rows)
    values = 3 + noise[rows] * rng.normal(size=n_ratings).clip(-2.8, 2.8)
    return RatingMatrix.from_cells(rows, columns, values, (n_rows, n_columns)), noise


def fitted_to_noise(seed=0, size=6000):
    """A model of the errors of the estimate 3, the others of the ratings, and each user's noise."""
    ratings, noise = noisy_ratings(seed=seed)
    chosen = np.zeros(ratings.n_ratings, bool)
    chosen[np.random.default_rng(seed).permutation(ratings.n_ratings)[:size]] = True
    known, held_out = ratings.take_cells(~chosen), ratings.take_cells(chosen)
    baselines = als_baselines(known, reg_u=1e6, reg_i=1e6)
    errors = ErrorModel.fit(Evidence.of(known, baselines), baselines, *cells(held_out), np.full(size, 3.0))
    return errors, noise


def trained(ratings=RATINGS, members=MEMBERS, estimate=als_baselines, stop_at=None, **options):
    def on_epoch_end(epoch):
        epochs.append(epoch)
        if epoch.number == stop_at:
            raise StopTraining

    epochs = []
    options = training_options(**{"uncertainty": True, "biased": True, "n_epochs": 8, **options})
    return train(ratings, members, options, estimate, 0, on_epoch_end), epochs


def test_the_standard_deviation_finds_the_noise_of_each_user():
    errors, noise = fitted_to_noise()
    users = np.arange(len(noise))
    found = errors.std(users, np.zeros_like(users), np.full(len(users), 3.0))
    assert np.corrcoef(found, noise)[0, 1] > 0.95
    np.testing.assert_allclose(np.median(found / noise), 1, atol=0.1)
    assert np.quantile(np.abs(np.log(found / noise)), 0.9) < 0.3


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_intervals_hold_as_many_of_other_ratings_as_they_promise_in_each_group_of_users(coverage):
    errors, noise = fitted_to_noise()
    rng = np.random.default_rng(5)
    users = rng.integers(len(noise), size=40_000)
    deviations = noise[users] * rng.normal(size=len(users)).clip(-2.8, 2.8)
    margins = errors.multiple(coverage) * errors.std(users, np.zeros_like(users), np.full(len(users), 3.0))
    is_held = np.abs(deviations) <= margins
    assert abs(is_held.mean() - coverage) < 0.02
    for group in np.array_split(np.argsort(noise[users]), 4):
        assert abs(is_held[group].mean() - coverage) < 0.1


def test_more_ratings_and_less_noise_mean_less_error_where_the_held_out_ratings_say_so():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 200, 5000).astype(np.int32)
    users = Support(counts, np.zeros(5000))
    items = Support(np.array([50], np.int32), np.zeros(1))
    held_out = RatingMatrix.from_cells(
        np.arange(5000), np.zeros(5000), 3 + rng.normal(size=5000) * counts**-0.25, (5000, 1)
    )
    baselines = zero_baselines(held_out)
    evidence = Evidence(3.0, 1.0, users, items)
    errors = ErrorModel.fit(evidence, baselines, *cells(held_out), np.full(5000, 3.0))
    order = np.argsort(counts)
    std = errors.std(order, np.zeros(5000, int), np.full(5000, 3.0))
    few, many = std[: 5000 // 4].mean(), std[-5000 // 4 :].mean()
    assert few > 1.5 * many
    np.testing.assert_allclose(std[2500:], counts[order][2500:] ** -0.25, rtol=0.15)


def test_the_error_for_the_unknown_is_that_of_the_baselines():
    ratings = random_ratings(300, 200, 20_000)
    chosen = np.arange(ratings.n_ratings) % 5 == 0
    known, held_out = ratings.take_cells(~chosen), ratings.take_cells(chosen)
    baselines = als_baselines(known, reg_u=0.5, reg_i=0.5)
    estimates = baselines.at(held_out.rows, held_out.columns)
    errors = ErrorModel.fit(Evidence.of(known, baselines), baselines, *cells(held_out), estimates)
    nobody, nothing = np.full(held_out.n_ratings, -1), np.full(held_out.n_ratings, -1)
    for users, items in [
        (held_out.rows, held_out.columns),
        (nobody, held_out.columns),
        (held_out.rows, nothing),
        (nobody, nothing),
    ]:
        answers = baselines.at(users, items).clip(1, 5)
        expected = np.sqrt(np.mean((held_out.values - answers) ** 2))
        found = np.sqrt(np.mean(errors.std(users, items, answers) ** 2))
        np.testing.assert_allclose(found, expected, rtol=0.1)


def test_multiples_grow_with_the_coverage_and_are_infinite_where_errors_are_too_few():
    errors, _ = fitted_to_noise()
    multiples = [errors.multiple(coverage) for coverage in np.linspace(0.01, 0.99, 99)]
    assert np.all(np.diff(multiples) >= 0)
    few, _ = fitted_to_noise(size=15)
    assert few.multiple(0.9) < math.inf
    assert few.multiple(0.95) == math.inf  # 16 * .95 is more than the 15 errors


def test_the_multiple_is_the_conformal_quantile():
    errors = ErrorModel(np.zeros(12), np.arange(1.0, 20.0), None)
    assert errors.multiple(0.9) == 18.0  # the 18th of 19: .9 * (19 + 1)
    assert errors.multiple(0.5) == 10.0


def test_one_pair_has_the_standard_deviation_that_it_has_among_many():
    errors, _ = fitted_to_noise()
    users, items, estimates = np.array([4, -1, 7]), np.array([2, 3, -1]), np.array([3.0, 1.0, 4.7])
    many = errors.std(users, items, estimates)
    for user, item, estimate, std in zip(
        users.tolist(), items.tolist(), estimates.tolist(), many, strict=True
    ):
        assert errors.std(user, item, estimate) == pytest.approx(std, rel=1e-12)


def test_no_error_is_larger_than_the_scale_nor_is_any_zero_where_all_are():
    ratings = RatingMatrix.from_cells(
        np.repeat(np.arange(20), 10), np.tile(np.arange(10), 20), [3.0] * 200, (20, 10)
    )
    errors = trained(ratings)[0].errors
    std = errors.std(np.arange(20), np.zeros(20, int), np.full(20, 3.0))
    assert np.all((std > 0) & (std < 0.1))
    wild = ErrorModel(np.full(12, 100.0), errors.scores, errors.evidence)
    assert wild.std(np.arange(20), np.zeros(20, int), np.full(20, 3.0)).tolist() == pytest.approx([4.0] * 20)


def test_a_sample_that_is_too_small_gives_no_model_and_is_not_held_out():
    assert automatic.sample_share(10 * LEAST_ERRORS - 1) == 0
    assert automatic.sample_share(10 * LEAST_ERRORS) > 0
    small = random_ratings(12, 9, 10 * LEAST_ERRORS - 1)
    plain, asked = (trained(small, uncertainty=on)[0] for on in (False, True))
    assert asked.errors is None
    np.testing.assert_array_equal(asked.networks[0].users.vectors, plain.networks[0].users.vectors)


@pytest.mark.parametrize("n_ratings", [1000, 60_000, 600_000, 30_000_000])
def test_the_sample_is_a_small_part_and_large_enough(n_ratings):
    size = automatic.sample_share(n_ratings) * n_ratings
    assert size <= 20_001
    assert size / n_ratings <= 0.1001
    assert size >= min(1999, 0.09 * n_ratings)


def test_the_sample_is_trained_on_in_the_end():
    training, epochs = trained(n_epochs=6)
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert training.baselines.row_biases.tolist() == als_baselines(RATINGS).row_biases.tolist()
    evidence = training.errors.evidence
    assert evidence.users.counts.tolist() == RATINGS.row_counts.tolist()
    assert evidence.items.counts.tolist() == RATINGS.column_counts.tolist()


def test_the_errors_are_of_ratings_that_were_not_trained_on():
    """Networks that learn ratings by heart still make errors on others."""
    ratings = random_ratings(80, 60, 4000)
    is_test = np.arange(ratings.n_ratings) % 4 == 0
    known, test = ratings.take_cells(~is_test), ratings.take_cells(is_test)
    options = {"n_factors": (60,), "n_epochs": 40, "reg": 0.0, "learning_rate": 0.03}
    training, _ = trained(known, **options)
    network = training.networks[0]

    def actual_and_claimed(part):
        users, items = part.rows, part.columns
        outputs = (network.users.vectors[users] * network.items.vectors[items]).sum(1)
        outputs += network.users.biases[users] + network.items.biases[items]
        estimates = (training.baselines.at(users, items) + outputs).clip(1, 5)
        claimed = training.errors.std(users, items, estimates)
        return np.sqrt(np.mean((part.values - estimates) ** 2)), np.sqrt(np.mean(claimed**2))

    actual, claimed = actual_and_claimed(test)
    np.testing.assert_allclose(claimed, actual, rtol=0.15)
    of_training, claimed = actual_and_claimed(known)
    assert claimed > 1.5 * of_training


@pytest.mark.parametrize("stop_at", [1, 5])
def test_a_callback_that_stops_early_leaves_all_of_it(stop_at):
    training, epochs = trained(n_epochs=10, stop_at=stop_at)
    assert len(epochs) == stop_at
    assert training.errors is not None
    assert training.baselines.row_biases.tolist() == als_baselines(RATINGS).row_biases.tolist()


def test_rows_that_only_the_sample_has_join_the_batches():
    rng = np.random.default_rng(0)
    rows, columns = np.arange(400), rng.integers(20, size=400)  # each with one rating
    ratings = RatingMatrix.from_cells(rows, columns, rng.integers(1, 6, 400), (400, 20))
    training, _ = trained(ratings, [Member("user", 1.0)])
    assert len(np.unique(training.networks[0].users.vectors, axis=0)) > 60


def test_early_stopping_holds_out_the_sample():
    early, _ = trained(early_stopping=True)
    plain, _ = trained(early_stopping=True, uncertainty=False)
    assert early.errors is not None
    assert len(early.errors.scores) == 100
    assert plain.errors is None
    np.testing.assert_array_equal(early.networks[0].users.vectors, plain.networks[0].users.vectors)


def test_without_it_there_is_no_model_of_errors():
    assert trained(uncertainty=False)[0].errors is None
