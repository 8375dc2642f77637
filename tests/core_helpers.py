"""Small ratings and plain settings for the tests of the core's training."""

from typing import NamedTuple

import numpy as np
import torch

from surprise_autorec.core import automatic
from surprise_autorec.core.baselines import zero_baselines
from surprise_autorec.core.batches import BatchCutter, InputRules, RowsAndColumns, typical_count
from surprise_autorec.core.learner import Learner
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Encoders, Member

CPU = torch.device("cpu")

#: The plainest training there is: the paper's loss and nothing else.
PLAIN = {
    "n_factors": (4,),
    "n_epochs": 3,
    "biased": False,
    "two_sided": False,
    "encoder_activation": "sigmoid",
    "decoder_activation": "identity",
    "learning_rate": None,
    "reg": 2.0,
    "reg_bias": 0.0,
    "joint_biases": False,
    "dropout": 0.0,
    "input_centering": 0.0,
    "input_scaling": 0.0,
    "averaging": 0.0,
    "optimizer": "adam",
    "batch_size": None,
    "early_stopping": False,
    "validation_fraction": 0.2,
    "uncertainty": False,
    "learn_weights": False,
    "device": CPU,
    "precision": torch.float32,
    "n_threads": 2,
}


def random_ratings(n_rows, n_columns, n_ratings, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.divmod(rng.choice(n_rows * n_columns, n_ratings, replace=False), n_columns)
    values = 3 + rng.normal(0, 0.7, n_rows)[rows] + rng.normal(0, 0.7, n_columns)[columns]
    return RatingMatrix.from_cells(rows, columns, values.round().clip(1, 5), (n_rows, n_columns))


RATINGS = random_ratings(40, 30, 500)
AS_THEY_ARE = RowsAndColumns(0.0, 0.0)


def training_options(**options):
    """The plainest, changed; the learning rate is the optimiser's own."""
    settings = {**PLAIN, **options}
    if settings["learning_rate"] is None:
        settings["learning_rate"] = automatic.LEARNING_RATES[settings["optimizer"]]
    return TrainingOptions(**settings)


def make_learner(ratings=RATINGS, baselines=None, centering=AS_THEY_ARE, seed=0, gain=0.0, **options):
    options = training_options(**options)
    rules = InputRules(centering, options.input_scaling, typical_count(ratings.row_counts))
    cutter = BatchCutter(rules, baselines or zero_baselines(ratings), options.device)
    return Learner(
        ratings, cutter, options, torch.Generator().manual_seed(seed), Member("user", 1.0, gain=gain)
    )


class Finished(NamedTuple):
    """The outcome of a learner, rows and columns told apart as in the paper."""

    hidden: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    encoders: Encoders

    @property
    def outputs(self):
        return self.hidden @ self.weight.T + self.bias


def finished(learner, ratings=None):
    n_rows = len((ratings or RATINGS).row_offsets) - 1
    network, _ = learner.averaged.finish(n_rows, ratings)
    return Finished(network.users.vectors, *network.items, network.encoders)


def dense(ratings, values):
    """A tensor of the ratings' shape that holds the values at their cells, and zeros elsewhere."""
    array = torch.zeros(ratings.n_rows, ratings.n_columns)
    array[ratings.rows, ratings.columns] = torch.as_tensor(values, dtype=torch.float32)
    return array
