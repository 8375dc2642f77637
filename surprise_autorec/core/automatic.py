"""What "auto" stands for: every law that makes a setting from the data, with its constants."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surprise_autorec.core.arrays import Int32Array
from surprise_autorec.core.baselines import Baselines, als_baselines
from surprise_autorec.core.batches import RowsAndColumns, typical_count
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.ratings import RatingMatrix, csr_array
from surprise_autorec.core.trained import Kind, Member
from surprise_autorec.core.uncertainty import LEAST_ERRORS

#: Learning rates by optimiser. (Rprop's is the size of its first step, L-BFGS's the one that its line search
#: tries.)
LEARNING_RATES = {"adam": 0.003, "sgd": 0.01, "rprop": 0.001, "lbfgs": 1.0}

#: Batches cut the rows into this many steps an epoch ...
STEPS_PER_EPOCH = 8
#: ... or into fewer, until a step holds this many ratings for each column. With less, the optimiser's pass
#: over the weights, which costs the same for any batch, outweighs the work on the ratings.
RATINGS_PER_COLUMN_AND_STEP = 5
#: But into these at least: the lower one where the mean column has no more ratings than that.
LEAST_STEPS = 2, 4

#: The penalty, over the variance of what the baselines leave over and the cube root of the number of ratings,
#: for ratings of typical `structure`.
REG_FACTOR = 4.5
#: What structure is typical. The penalty falls with this power of the structure, from three times the typical
#: penalty to 0.3 times.
TYPICAL_STRUCTURE, STRUCTURE_POWER, MOST_REG, LEAST_REG = 0.01, 0.25, 3.0, 0.3
#: So many rectangles of typical structure are added to those that are seen. A sample of rows is seen if all
#: have more pairs of ratings in the same column than this.
RECTANGLES_EXPECTED, MOST_PAIRS = 25_000, 1_000_000
#: The penalty of biases that are added to baselines.
REG_BIAS = 10.0
#: The column encoder learns faster where a typical column has fewer ratings than this, by up to this factor.
RATINGS_AT_USUAL_PACE, MOST_PACE = 40, 4.0

#: Who rated an item says much about it, unless everybody did: the centering is this times the share of all
#: users that has rated a typical item, and 1 from there on. For the ratings of a user it is the same, and
#: USER_CENTERING at least.
CENTERING_PER_SHARE = 1.5
USER_CENTERING = 0.8

#: Rounds of estimating the baselines' variances, at most; less where a round changes them by less than this
#: share. They start from Surprise's penalties, of users and of items.
VARIANCE_ROUNDS, SMALL_CHANGE = 40, 0.01
FIRST_PENALTIES = 15.0, 10.0
#: What few ratings say of variances may be far off.
LEAST_PENALTY, MOST_PENALTY = 0.5, 100.0
#: A network that sees who rated an item, and how, knows more of the item's level than its bias tells. So it
#: learns up to this share of the bias itself: less where centering hides who rated, and less where the
#: typical user and the typical item have fewer ratings than this many, in the geometric mean.
LEARNT_SHARE, RATINGS_TO_LEARN_BIASES = 0.3, 40

#: The weight of the item networks in a hybrid, and, among several of them, of those beside which no item bias
#: counts.
ITEM_WEIGHT, WEIGHT_WITHOUT_BIASES = 0.9, 0.3
#: If weights are learnt, these are where they are expected, with this standard deviation.
WEIGHT_STD = 0.2
#: The gain that is expected, over the ratio of inputs hidden by dropout to inputs shown. If it is learnt, its
#: standard deviation and the least that it may be.
GAIN_FACTOR, GAIN_STD, LEAST_GAIN = 0.4, 0.4, -0.9

#: The width, where a column has few ratings to learn its decoder weights from, or a row to show its encoder
#: ...
FACTORS_PER_RATING_OF_COLUMN, FACTORS_PER_RATING_OF_ROW = 4, 8
#: ... in multiples of 32 between these.
LEAST_FACTORS, MOST_FACTORS = 32, 256

#: So large a share of the ratings shows how far estimates are off, or so many ratings, but not more than the
#: second share or number.
SAMPLE_SHARE, LEAST_SAMPLE, MOST_SAMPLE_SHARE, MOST_SAMPLE = 0.03, 2_000, 0.1, 20_000
#: The sample is held out until this share of the epochs is left. With less, not all is learnt from it that
#: there is to learn, and the error grows.
EPOCHS_WITH_SAMPLE = 0.45

#: The decoder's penalty when it is fitted to activations without the noise of dropout, over that of training.
REFIT_PENALTY = 1.25

#: Weights of not more bytes are at home in a core's cache, and nothing is won by reading them at half the
#: size.
CACHE_BYTES = 2 * 2**20


def batch_size(n_rows: int, n_columns: int, n_ratings: int, full_batch: bool) -> int:
    """Rows in a mini-batch."""
    if full_batch:
        return n_rows
    affordable_steps = n_ratings // (RATINGS_PER_COLUMN_AND_STEP * n_columns)
    lowest, highest = LEAST_STEPS
    least_steps = min(max(n_ratings // n_columns, lowest), highest)
    return math.ceil(n_rows / min(max(affordable_steps, least_steps), STEPS_PER_EPOCH))


def penalty(variance: float, n_ratings: int, structure: float) -> float:
    """The penalty on weights: it grows with the number of ratings and with the noise about the baselines."""
    relative = math.pow(max(structure / TYPICAL_STRUCTURE, 1e-12), -STRUCTURE_POWER)
    return REG_FACTOR * min(max(relative, LEAST_REG), MOST_REG) * variance * math.cbrt(n_ratings)


def structure(ratings: RatingMatrix, baselines: Baselines) -> float:
    """How much of what baselines leave over is more than noise.

    Two rows and two columns make a rectangle if all four of their ratings are known. The mean product of its
    four residuals is 0 for noise. For the sum of k patterns of equal size, each the product of something of
    the row and something of the column, it is 1 / k of their squared variance. The structure is this mean
    over the squared variance of all residuals.
    """
    pairs = float(np.square(ratings.column_counts.astype(np.float64)).sum())
    step = max(math.ceil(math.sqrt(pairs / MOST_PAIRS)), 1)
    chosen = ratings.rows % step == 0
    rows, columns = ratings.rows[chosen], ratings.columns[chosen]
    residuals = ratings.values[chosen] - baselines.at(rows, columns)
    rows, columns, residuals = (
        np.concatenate(ratings.collective.gather(array)) for array in (rows // step, columns, residuals)
    )
    product, number = (
        _sum_over_rectangles(csr_array((values, (rows, columns)), (ratings.n_rows, ratings.n_columns)))
        for values in (residuals, np.ones_like(residuals))
    )
    squared_variance = max(float(np.square(residuals).sum()) / max(len(residuals), 1), 1e-6) ** 2
    expected = RECTANGLES_EXPECTED
    return (product / squared_variance + expected * TYPICAL_STRUCTURE) / (number + expected)


def _sum_over_rectangles(matrix: Any) -> float:
    """The sum, over pairs of rows and pairs of columns, of the product of a sparse matrix's four cells."""
    squares = matrix.power(2)
    # Each rectangle is met four times. Where both rows are the same, or both columns, there is none.
    alike = (squares.sum(0) ** 2).sum() + (squares.sum(1) ** 2).sum() - squares.power(2).sum()
    return float(((matrix @ matrix.T).power(2).sum() - alike) / 4)


def column_encoder_pace(column_counts: Int32Array) -> float:
    """How fast the column encoder learns, over its usual rate.

    A decoder is the sum of as many of its weights as the column has ratings, over the square root of their
    number. Where columns have few ratings, these weights have further to go, and steps have the same length.
    """
    pace = math.sqrt(RATINGS_AT_USUAL_PACE / typical_count(column_counts))
    return min(max(pace, 1.0), MOST_PACE)


def bias_penalty(biased: bool) -> float:
    """The penalty on the decoder's biases; the paper, which has no baselines, has none."""
    return REG_BIAS if biased else 0.0


def centering(users_by_items: RatingMatrix) -> RowsAndColumns:
    """Shares of the baselines that are taken off the ratings of a user (rows) and of an item (columns)."""
    user_share = typical_count(users_by_items.row_counts) / users_by_items.n_columns
    item_share = typical_count(users_by_items.column_counts) / users_by_items.n_rows
    users, items = (min(CENTERING_PER_SHARE * share, 1.0) for share in (user_share, item_share))
    return RowsAndColumns(max(users, USER_CENTERING), items)


def baseline_penalties(users_by_items: RatingMatrix) -> tuple[float, float]:
    """The penalties of user and item biases: the variance of the noise over that of the biases.

    Biases are taken as drawn from normal distributions, whose variances are estimated by expectation
    maximisation, each bias's uncertainty given the others.
    """
    rows, columns = users_by_items.rows, users_by_items.columns
    values = users_by_items.values.astype(np.float64)
    counts = users_by_items.row_counts, users_by_items.column_counts
    collective = users_by_items.collective
    deviations, user_biases = values - users_by_items.mean, np.zeros(users_by_items.n_rows)
    penalties = FIRST_PENALTIES
    for _ in range(VARIANCE_ROUNDS):
        user_shrinkage, item_shrinkage = (
            1 / (reg + count) for reg, count in zip(penalties, counts, strict=True)
        )
        sums = np.bincount(columns, deviations - user_biases[rows], len(item_shrinkage))
        item_biases = collective.sum_array(sums) * item_shrinkage
        sums = np.bincount(rows, deviations - item_biases[columns], len(user_shrinkage))
        user_biases = collective.sum_array(sums) * user_shrinkage
        errors = deviations - user_biases[rows] - item_biases[columns]
        # (Not by BLAS's dot product: its threads go on looking for work, and slow down what follows.)
        (square,) = collective.sums(float(np.square(errors).sum()))
        effective = counts[0] * user_shrinkage, counts[1] * item_shrinkage
        n_biases = float(effective[0].sum() + effective[1].sum())
        noise = square / max(users_by_items.n_ratings - n_biases, 1.0)
        variances = (
            float(np.mean((biases**2 + noise * shrinkage)[count > 0]))
            for biases, shrinkage, count in zip(
                (user_biases, item_biases), (user_shrinkage, item_shrinkage), counts, strict=True
            )
        )
        ratios = (noise / max(variance, 1e-12) for variance in variances)
        user_penalty, item_penalty = (float(min(max(ratio, LEAST_PENALTY), MOST_PENALTY)) for ratio in ratios)
        before, penalties = penalties, (user_penalty, item_penalty)
        if np.allclose(penalties, before, rtol=SMALL_CHANGE, atol=0.0):
            break
    return penalties


def item_bias_share(users_by_items: RatingMatrix) -> float:
    """What counts of the items' biases beside a network that encodes items; it learns the rest itself."""
    counts = users_by_items.row_counts, users_by_items.column_counts
    learnable = math.prod(map(typical_count, counts)) / RATINGS_TO_LEARN_BIASES**2
    hidden = centering(users_by_items).columns
    return 1 - LEARNT_SHARE * (1 - hidden) * learnable / (1 + learnable)


def baselines(users_by_items: RatingMatrix) -> Baselines:
    """Baselines by alternating least squares, with `baseline_penalties`."""
    reg_u, reg_i = baseline_penalties(users_by_items)
    return als_baselines(users_by_items, reg_u=reg_u, reg_i=reg_i)


def gain(options: TrainingOptions) -> float:
    """The gain of networks (see `Member`), unless it is learnt: 0 where they have none."""
    return GAIN_FACTOR * options.dropout / (1 - options.dropout) if options.has_gain else 0.0


def members(users_by_items: RatingMatrix, kinds: Iterable[Kind], gain: float) -> list[Member]:
    """The networks of these kinds, with `item_bias_share` where the ratings decide."""
    found = []
    for side, number, weight, share in kinds:
        if share is None:
            share = item_bias_share(users_by_items)
        found += [Member(side, weight / max(number, 1), share, gain)] * number
    return found


def width(rows_by_columns: RatingMatrix) -> int:
    """Hidden units: as many as the ratings of a mean column and of a typical row can carry."""
    row_ratings = typical_count(rows_by_columns.row_counts)
    largest = largest_width(rows_by_columns.n_ratings, rows_by_columns.n_columns)
    return min(largest, _width(FACTORS_PER_RATING_OF_ROW * row_ratings))


def largest_width(n_ratings: int, n_columns: int) -> int:
    """What `width` is at most: the hidden units that the ratings of a mean column can carry."""
    return _width(FACTORS_PER_RATING_OF_COLUMN * n_ratings / n_columns)


def _width(carried: float) -> int:
    return int(min(max(32 * math.ceil(carried / 32), LEAST_FACTORS), MOST_FACTORS))


def sample_share(n_ratings: int) -> float:
    """The share of the ratings to see how far estimates are off; 0 of so few that they cannot show it."""
    wanted = max(SAMPLE_SHARE * n_ratings, LEAST_SAMPLE)
    size = int(min(wanted, MOST_SAMPLE_SHARE * n_ratings, MOST_SAMPLE))
    return size / n_ratings if size >= LEAST_ERRORS else 0.0


def epochs_without_sample(n_epochs: int) -> int:
    """After how many epochs the sample joins the other ratings."""
    return n_epochs - int(EPOCHS_WITH_SAMPLE * n_epochs)


def precision(weight: Tensor, full_batch: bool) -> torch.dtype:
    """What products read weights in: bfloat16 where they are large and torch has vectorised kernels for it.

    Rounding would bend the curvature that full-batch optimisers measure.
    """
    is_vectorised = weight.is_cpu and torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    return (
        torch.bfloat16 if is_vectorised and weight.nbytes > CACHE_BYTES and not full_batch else torch.float32
    )
