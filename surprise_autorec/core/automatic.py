"""What "auto" stands for: every law that makes a setting from the data, with its constants."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surprise_autorec.core.batches import RowsAndColumns, typical_count
from surprise_autorec.core.ratings import RatingMatrix

#: Learning rates by optimiser. (Rprop's is the size of its first step, L-BFGS's the one that its line search
#: tries.)
LEARNING_RATES = {"adam": 0.003, "sgd": 0.01, "rprop": 0.001, "lbfgs": 1.0}

#: Batches cut the rows into this many steps an epoch ...
STEPS_PER_EPOCH = 8
#: ... or into fewer, two at least, until a step holds this many ratings for each column. With less, the
#: optimiser's pass over the weights, which costs the same for any batch, outweighs the work on the ratings.
RATINGS_PER_COLUMN_AND_STEP = 5

#: The penalty, over the variance of what the baselines leave over and the cube root of the number of ratings.
REG_FACTOR = 4.5
#: The penalty of biases that are added to baselines.
REG_BIAS = 10.0

#: The centering of a user's ratings. That of an item's is the share of all users that has rated a typical
#: item: who rated an item says much about it, unless everybody did.
USER_CENTERING = 0.8

#: Weights of not more bytes are at home in a core's cache, and nothing is won by reading them at half the
#: size.
CACHE_BYTES = 2 * 2**20


def batch_size(n_rows: int, n_columns: int, n_ratings: int, full_batch: bool) -> int:
    """Rows in a mini-batch."""
    if full_batch:
        return n_rows
    affordable_steps = n_ratings // (RATINGS_PER_COLUMN_AND_STEP * n_columns)
    return math.ceil(n_rows / min(max(affordable_steps, 2), STEPS_PER_EPOCH))


def penalty(variance: float, n_ratings: int) -> float:
    """The penalty on weights: it grows with the noise about the baselines and with the number of ratings."""
    return REG_FACTOR * variance * float(n_ratings ** (1 / 3))


def bias_penalty(biased: bool) -> float:
    """The penalty on the decoder's biases; the paper, which has no baselines, has none."""
    return REG_BIAS if biased else 0.0


def centering(users_by_items: RatingMatrix) -> RowsAndColumns:
    """Shares of the baselines that are taken off the ratings of a user (rows) and of an item (columns)."""
    return RowsAndColumns(USER_CENTERING, typical_count(users_by_items.column_counts) / users_by_items.n_rows)


def precision(weight: Tensor, full_batch: bool) -> torch.dtype:
    """What products read weights in: bfloat16 where they are large and torch has vectorised kernels for it.

    Rounding would bend the curvature that full-batch optimisers measure.
    """
    is_vectorised = weight.is_cpu and torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    return (
        torch.bfloat16 if is_vectorised and weight.nbytes > CACHE_BYTES and not full_batch else torch.float32
    )
