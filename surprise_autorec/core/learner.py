"""One network in training: its batches, its optimiser, its averaged weights."""

from __future__ import annotations

import copy
import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.network import AutoEncoder
from surprise_autorec.core.optimizers import OPTIMIZERS, parameter_groups
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.ratings import FloatArray, RatingMatrix
from surprise_autorec.core.sparse import Cells

#: Automatic batches cut the rows into this many steps an epoch ...
STEPS_PER_EPOCH = 8
#: ... or into fewer, two at least, until a step holds this many ratings for each column. With less, the optimiser's
#: pass over the weights, which costs the same for any batch, outweighs the work on the ratings.
RATINGS_PER_COLUMN_AND_STEP = 5
#: The automatic penalty is this times the cube root of the number of ratings.
REG_FACTOR = 3


class Factors(NamedTuple):
    """What prediction needs of a trained network: ``f(hidden[z] @ weight[c] + bias[c])`` at row z, column c.

    Attributes
    ----------
    hidden : ndarray of float32, shape (n_rows, k)
    weight : ndarray of float32, shape (n_columns, k)
    bias : ndarray of float32, shape (n_columns,)
    """

    hidden: FloatArray
    weight: FloatArray
    bias: FloatArray


class _Batch(NamedTuple):
    """Some rows: where they have ratings, the encoder's inputs there and the outputs wanted there."""

    cells: Cells
    inputs: Tensor
    targets: Tensor


class Learner:
    """One network in training on the rows of a matrix. Whether those are items or users it does not know."""

    def __init__(
        self,
        ratings: RatingMatrix,
        baselines: Baselines,
        input_centering: float | None,
        options: TrainingOptions,
        generator: torch.Generator,
    ) -> None:
        self.options = options
        self.kind = OPTIMIZERS[options.optimizer]
        self.generator = generator
        self.ratings, self.baselines = ratings, baselines
        rated_rows = np.flatnonzero(ratings.row_counts)
        self.n_rows, self.n_ratings = len(rated_rows), ratings.n_ratings
        self.reference_count = float(np.median(ratings.row_counts[ratings.rows]))
        self.network = AutoEncoder(
            ratings.n_columns,
            options.n_factors,
            options.encoder_activation,
            options.decoder_activation,
            options.biased,
            generator,
        ).to(options.device)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        fill = self.reference_count / ratings.n_columns
        self.centering = fill if input_centering is None else input_centering
        self.reg = REG_FACTOR * self.n_ratings ** (1 / 3) if options.reg is None else options.reg
        self.learning_rate = self.kind.learning_rate if options.learning_rate is None else options.learning_rate
        # The objective is eq. 2 divided by the number of rows, so that a batch of rows estimates it.
        self.penalty = self.reg / self.n_rows
        self.optimizer = self.kind.make(
            parameter_groups(
                self.network.weights(), self.network.biases(), self.penalty if self.kind.decays_weights else 0.0
            ),
            self.learning_rate,
        )
        # Dropout masks are drawn on the device that uses them.
        self.mask_generator = torch.Generator(options.device)
        self.mask_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        # Batches are cut once: epochs differ in their order and in the dropout masks.
        steps = math.ceil(self.n_rows / (options.batch_size or self._automatic_batch_size(ratings)))
        shuffled_rows = rated_rows[torch.randperm(self.n_rows, generator=generator).numpy()]
        self.batches = [
            self._batch(ratings.take_rows(rows), baselines.take_rows(rows))
            for rows in np.array_split(shuffled_rows, steps)
        ]
        # Beyond twice this mean squared error, that of no output or of a constant rating (or, if it is more, that of
        # the first step), training has done harm.
        self.initial_error = max(sum(_sum(batch.targets.square()) for batch in self.batches) / self.n_ratings, 1.0)
        self.error = math.nan

    def _automatic_batch_size(self, ratings: RatingMatrix) -> int:
        if self.kind.full_batch:
            return self.n_rows
        affordable_steps = self.n_ratings // (RATINGS_PER_COLUMN_AND_STEP * ratings.n_columns)
        return math.ceil(self.n_rows / min(max(affordable_steps, 2), STEPS_PER_EPOCH))

    def _batch(self, ratings: RatingMatrix, baselines: Baselines) -> _Batch:
        device = self.options.device
        targets = ratings.values - baselines.at(ratings.rows, ratings.columns)
        return _Batch(
            Cells.of(ratings, device),
            self._inputs(ratings, baselines),
            torch.from_numpy(targets.astype(np.float32)).to(device),
        )

    def _inputs(self, ratings: RatingMatrix, baselines: Baselines) -> Tensor:
        """The encoder's inputs, less some of the baseline, scaled by a power of the row's count.

        A rating as it is says two things: that the column was rated, and how. Less its baseline it says only how. And
        a row of many ratings should drive the hidden units about as hard as a row of few.
        """
        relative_counts = np.maximum(ratings.row_counts, 1) / self.reference_count
        scale = relative_counts**-self.options.input_scaling
        values = ratings.values - self.centering * baselines.at(ratings.rows, ratings.columns)
        return torch.from_numpy((values * scale[ratings.rows]).astype(np.float32)).to(self.options.device)

    def run_epoch(self, number: int) -> float:
        """Train on every batch once; return the loss, eq. 2 per rating, as met on the way (with dropout)."""
        order = torch.randperm(len(self.batches), generator=self.generator).tolist()
        errors = [self._step(self.batches[n]) for n in order]
        if number == 1:
            self.initial_error = max(self.initial_error, errors[0] / len(self.batches[order[0]].targets))
        self.error = sum(errors) / self.n_ratings
        self._average(number)
        return self.error + self.reg / 2 * self._squared_norm() / self.n_ratings

    def _step(self, batch: _Batch) -> float:
        """One step of the optimiser; returns the sum of squared errors before it."""
        inputs, values = batch.cells, batch.inputs
        if self.options.dropout > 0:
            kept = torch.empty_like(values).uniform_(generator=self.mask_generator) >= self.options.dropout
            inputs, values = inputs.keep(kept), values[kept] / (1 - self.options.dropout)
        n_rows = len(batch.cells.row_offsets) - 1
        errors: list[Tensor] = []

        def objective() -> Tensor:
            self.optimizer.zero_grad()
            outputs = self.network.decode(self.network.encode(inputs, values), batch.cells)
            squared_errors = (batch.targets - outputs).square()
            errors.append(squared_errors.detach())
            loss = squared_errors.sum() / n_rows
            if not self.kind.decays_weights:
                loss = loss + self.penalty / 2 * sum(weight.square().sum() for weight in self.network.weights())
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        self.optimizer.step(objective)  # type: ignore[arg-type]
        return _sum(errors[0])

    @torch.no_grad()
    def _squared_norm(self) -> float:
        return sum(_sum(weight.square().sum(1)) for weight in self.network.weights())

    @torch.no_grad()
    def _average(self, epoch: int) -> None:
        """Polyak averaging: a plain mean over the first epochs, an exponential one from there on."""
        decay = min(self.options.averaging, 1 - 1 / epoch)
        for mean, new in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(new, 1 - decay)

    @torch.no_grad()
    def outputs_at(self, wanted: Cells) -> Tensor:
        """The averaged network's outputs at the wanted cells, given the ratings it is trained on."""
        return self.averaged.decode(self.averaged.encode(self._all_rows.cells, self._all_rows.inputs), wanted)

    @cached_property
    def _all_rows(self) -> _Batch:
        return self._batch(self.ratings, self.baselines)

    @torch.no_grad()
    def factors(self, ratings: RatingMatrix) -> Factors:
        """The averaged network run on all rows: what is left for prediction is one inner product a rating."""
        cells, inputs, targets = self._batch(ratings, self.baselines)
        hidden = self.averaged.encode(cells, inputs)
        self.error = _sum((targets - self.averaged.decode(hidden, cells)).square()) / ratings.n_ratings
        tensors = (hidden, self.averaged.decoder_weight, self.averaged.decoder_bias)
        return Factors(*(tensor.detach().cpu().numpy() for tensor in tensors))

    @property
    def has_diverged(self) -> bool:
        """Whether the error of the last epoch, or that of the factors once they are there, is out of bounds."""
        return not self.error <= 2 * self.initial_error


def _sum(values: Tensor) -> float:
    """Sum in an order that does not depend on the number of threads, as torch's does."""
    return float(values.cpu().numpy().sum(dtype=np.float64))
