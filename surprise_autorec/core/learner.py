"""One network in training: its batches, its optimisers, its averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from surprise_autorec.core.batches import Batch, BatchCutter
from surprise_autorec.core.columns import ColumnEncoder, column_vectors
from surprise_autorec.core.fold_in import FoldIn
from surprise_autorec.core.network import AutoEncoder
from surprise_autorec.core.optimizers import COLUMN_ENCODER_RATE, OPTIMIZERS, Gradients, settings_of
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.precision import WorkingCopy, automatic_precision
from surprise_autorec.core.ratings import FloatArray, RatingMatrix
from surprise_autorec.core.sparse import Cells, encode_cells, weight_gradient

#: Automatic batches cut the rows into this many steps an epoch ...
STEPS_PER_EPOCH = 8
#: ... or into fewer, two at least, until a step holds this many ratings for each column. With less, the optimiser's
#: pass over the weights, which costs the same for any batch, outweighs the work on the ratings.
RATINGS_PER_COLUMN_AND_STEP = 5
#: The automatic penalty is this times the variance of what the baselines leave over (the noisier the ratings, the more)
#: times the cube root of their number.
REG_FACTOR = 4.5
#: What a rating that dropout hides from the encoder counts in the loss; one that the encoder sees counts 1. Only hidden
#: ratings show how well the network predicts what it does not know.
HIDDEN_WEIGHT = 2.0
#: How fast training goes on from trained weights. The optimiser knows nothing of them, and its first steps are long.
CONTINUED_RATE = 0.25
#: In bytes, what glibc's allocator may keep when it is freed.
LARGEST_BLOCK = 31 * 2**20
#: The mean of the hidden activations is an exponential one over steps: a step weighs this much less than the next.
MEAN_DECAY = 0.9


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


class Learner:
    """One network in training on the rows of a matrix. Whether those are items or users it does not know.

    It starts from random weights, or from those of a network for the first of the rows and columns.

    Hidden activations are taken less their mean over ratings. The decoder's bias makes up for it, so that the model is
    the same, but training needs about half the epochs: the problem is badly conditioned where all activations are about
    0.5.
    """

    def __init__(
        self,
        ratings: RatingMatrix,
        cutter: BatchCutter,
        options: TrainingOptions,
        generator: torch.Generator,
        start: AutoEncoder | None = None,
    ) -> None:
        self.options, self.generator = options, generator
        self.kind = OPTIMIZERS[options.optimizer]
        self.cutter = cutter
        self.shape = ratings.n_rows, ratings.n_columns
        _keep_freed_memory()
        # Dropout masks are drawn on the device that uses them.
        self.mask_generator = torch.Generator(options.device)
        self.mask_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        # Batches are cut once: epochs differ in their order and in the dropout masks.
        rated_rows = np.flatnonzero(ratings.row_counts)
        self.n_rows, self.n_ratings = len(rated_rows), ratings.n_ratings
        shuffled_rows = rated_rows[torch.randperm(self.n_rows, generator=generator).numpy()]
        self.batches = list(cutter.cut(ratings, shuffled_rows, options.batch_size or self._automatic_batch_size()))
        mean = sum(_sum(batch.targets) for batch in self.batches) / self.n_ratings
        mean_square = sum(_sum(batch.targets.square()) for batch in self.batches) / self.n_ratings
        self.network = AutoEncoder(
            *self.shape,
            options.n_factors,
            options.encoder_activation,
            options.decoder_activation,
            options.biased,
            options.two_sided,
            mean,
            generator,
        )
        if start is not None:
            self.network.start_from(start)
        self.network.to(options.device)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        # Beyond twice this mean squared error, that of no output or of a constant rating (or, if it is more, that of
        # the first step), training has done harm.
        self.initial_error = max(mean_square, 1.0)
        self.error = math.nan
        automatic_reg = REG_FACTOR * (mean_square - mean**2) * self.n_ratings ** (1 / 3)
        self.reg = automatic_reg if options.reg is None else options.reg
        self.learning_rate = self.kind.learning_rate if options.learning_rate is None else options.learning_rate
        relative_rate = 1.0 if start is None else CONTINUED_RATE
        self.penalty = self.reg / self.n_rows
        self.dense_parameters = self.network.dense_parameters()
        settings = settings_of(
            self.network, relative_rate * self.learning_rate, self.penalty, options.reg_bias / self.n_rows
        )
        self.optimizer = self.kind.make(settings)
        self.encoder, self.decoder = map(self._working_copy, (self.network.encoder_weight, self.network.decoder_weight))
        self.column_encoder: ColumnEncoder | None = None
        if self.network.column_encoder_weight is not None:
            # Always Adam's, whose rate says how far a step goes, whatever the others' optimiser makes of theirs.
            adams_rate = self.learning_rate if options.optimizer == "adam" else OPTIMIZERS["adam"].learning_rate
            self.column_encoder = ColumnEncoder(
                self.network.column_encoder_weight,
                self.decoder,
                COLUMN_ENCODER_RATE * relative_rate * adams_rate,
                self.penalty,
            )
        self.mean_hidden: Tensor | None = None

    def _automatic_batch_size(self) -> int:
        if self.kind.full_batch:
            return self.n_rows
        affordable_steps = self.n_ratings // (RATINGS_PER_COLUMN_AND_STEP * self.shape[1])
        return math.ceil(self.n_rows / min(max(affordable_steps, 2), STEPS_PER_EPOCH))

    def _working_copy(self, weight: Tensor) -> WorkingCopy:
        precision = self.options.precision
        if precision is None:  # rounding would bend the curvature that full-batch optimisers measure
            precision = torch.float32 if self.kind.full_batch else automatic_precision(weight)
        return WorkingCopy(weight, precision)

    def run_epoch(self, number: int) -> float:
        """Train on every batch once; return the loss, eq. 2 per rating, as met on the way (with dropout)."""
        order = torch.randperm(len(self.batches), generator=self.generator).tolist()
        if self.column_encoder:
            self.column_encoder.begin_epoch(self.batches)
        errors = [self._step(self.batches[n]) for n in order]
        if self.column_encoder:
            self.column_encoder.end_epoch(self.batches)
        if number == 1:
            self.initial_error = max(self.initial_error, errors[0] / len(self.batches[order[0]].targets))
        self.error = sum(errors) / self.n_ratings
        self._average(number)
        with torch.no_grad():
            return self.error + float(self._penalty_sum()) / self.n_ratings

    def _step(self, batch: Batch) -> float:
        """One step of the optimiser; returns the sum of squared errors before it."""
        inputs, values, dropout = batch.cells, batch.inputs, self.options.dropout
        # What each rating's squared error counts, times two: the derivative of a square. The objective is eq. 2 divided
        # by the number of rows, so that a batch of rows estimates it.
        weights: Tensor | float = 2 / len(batch.rows)
        if dropout > 0:
            kept = torch.empty_like(values).uniform_(generator=self.mask_generator) >= dropout
            inputs, positions = inputs.keep(kept)
            values = values.index_select(0, positions) / (1 - dropout)
            unit = 1 / (1 + (HIDDEN_WEIGHT - 1) * dropout)  # so that the mean weight is 1
            weights = kept.mul(-(HIDDEN_WEIGHT - 1) * unit).add_(HIDDEN_WEIGHT * unit).mul_(weights)
        column_encoder, network = self.column_encoder, self.network
        if column_encoder:
            column_encoder.begin_step(batch)
        errors: list[Tensor] = []

        def objective() -> tuple[Gradients, Callable[[], Tensor]]:
            if self.kind.full_batch:  # which moves all weights at once, several times a step
                self.encoder.refresh()
                self.decoder.refresh()
            products = encode_cells(self.encoder.values, values, inputs).requires_grad_()
            hidden = self._centered(network.hidden(products), batch)
            pre_activation = network.pre_activation(hidden, batch.cells, self.decoder.values)
            sources = [products, *self.dense_parameters]
            if column_encoder:
                pre_activation = pre_activation - column_encoder.own_part(hidden, batch)
                sources.append(column_encoder.own_weight)
            outputs = network.output(pre_activation)
            error = outputs.detach() - batch.targets
            errors.append(error)
            by_output, by_product, *others = torch.autograd.grad(outputs, [pre_activation, *sources], error * weights)
            by_encoder_weight = weight_gradient(values, by_product, inputs).blocks()
            by_decoder_weight = weight_gradient(by_output, hidden.detach(), batch.cells).blocks()
            if column_encoder and len(errors) == 1:  # not where an optimiser looks further on its way
                by_decoder_weight = column_encoder.keep_gradients(batch, others[-1], by_decoder_weight)
            gradients: Gradients = {
                network.decoder_weight: self.decoder.behind(by_decoder_weight),
                network.encoder_weight: self.encoder.behind(by_encoder_weight),
            }
            for parameter, gradient in zip(self.dense_parameters, others, strict=False):
                gradients[parameter] = [(slice(None), gradient)]
            return gradients, lambda: (error.square() * weights).sum() / 2

        self.optimizer.step(objective)
        return _sum(errors[0].square())

    def _centered(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Hidden activations less their mean over the ratings of this batch and, fading, the ones before it."""
        if self.kind.full_batch:  # a moving mean would bend the curvature that these optimisers measure
            return hidden
        mean = _mean(hidden.detach(), batch.cells.row_counts)
        self.mean_hidden = mean if self.mean_hidden is None else self.mean_hidden.lerp(mean, 1 - MEAN_DECAY)
        return hidden - self.mean_hidden

    def _penalty_sum(self) -> Tensor:
        """The penalties of eq. 2, and that of the decoder's bias."""
        squares = [torch.linalg.vector_norm(weight, dim=1).square().sum() for weight in self.network.weights()]
        bias_squares = self.network.decoder_bias.square().sum()
        return self.reg / 2 * torch.stack(squares).sum() + self.options.reg_bias / 2 * bias_squares

    @torch.no_grad()
    def _average(self, epoch: int) -> None:
        """Polyak averaging: a plain mean over the first epochs, an exponential one from there on."""
        decay = min(self.options.averaging, 1 - 1 / epoch)
        for mean, new in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(new, 1 - decay)

    @torch.no_grad()
    def outputs_at(self, wanted: Cells) -> Tensor:
        """The averaged network's outputs at the wanted cells, given the ratings it is trained on."""
        hidden, weight, _ = self._representation(self.batches)
        return self.averaged.decode(hidden, wanted, weight)

    @torch.no_grad()
    def finish(self, ratings: RatingMatrix | None = None) -> tuple[Factors, FoldIn]:
        """End training and run the averaged network on ratings; without any, on those it was trained on.

        What is left for prediction is one inner product a rating. The network itself is for new rows and columns.
        """
        del self.network, self.optimizer, self.encoder, self.decoder, self.column_encoder
        batches = self.batches
        if ratings is not None:
            batches = list(self.cutter.cut(ratings, np.flatnonzero(ratings.row_counts), self.n_rows))
        hidden, weight, mean_hidden = self._representation(batches)
        errors = (
            _sum((batch.targets - self.averaged.decode(hidden[batch.rows], batch.cells, weight)).square())
            for batch in batches
        )
        self.error = sum(errors) / sum(len(batch.targets) for batch in batches)
        network = self.averaged.cpu()
        # Copies: torch moves a tensor's storage when it is sent to another process, and views of it are left dangling.
        factors = Factors(*(tensor.detach().cpu().numpy().copy() for tensor in (hidden, weight, network.decoder_bias)))
        return factors, FoldIn(network, mean_hidden.cpu(), self.cutter.rules, self.reg, self.options.reg_bias)

    def _representation(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor, Tensor]:
        """What the averaged network makes of rows and columns: hidden activations, decoder weights in all, the mean."""
        network = self.averaged
        hidden = network.encode_nothing().repeat(self.shape[0], 1)
        counts = torch.zeros(len(hidden), device=hidden.device)
        for batch in batches:
            hidden[batch.rows] = network.encode(batch.cells, batch.inputs)
            counts[batch.rows] = batch.cells.row_counts.float()
        mean_hidden = torch.zeros_like(hidden[0]) if self.kind.full_batch else _mean(hidden, counts)
        hidden -= mean_hidden
        weight: Tensor = network.decoder_weight
        if network.column_encoder_weight is not None:
            weight = weight + column_vectors(network.column_encoder_weight, batches)
        return hidden, weight, mean_hidden

    @property
    def has_diverged(self) -> bool:
        """Whether the error of the last epoch, or that of the factors once they are there, is out of bounds."""
        return not self.error <= 2 * self.initial_error


def _keep_freed_memory() -> None:
    """Let glibc's allocator keep what a step frees, as the next step needs as much again.

    It hands free memory back to the system beyond twice the size of the largest block, of 32 MiB at most, that it ever
    freed. So we free one that large. Otherwise page faults can take a tenth of the time of training. (Larger blocks are
    always handed back.)
    """
    torch.empty(LARGEST_BLOCK, dtype=torch.uint8)


def _mean(hidden: Tensor, counts: Tensor) -> Tensor:
    """The mean of the rows of hidden activations, each as often as the row has ratings."""
    return (hidden * counts.unsqueeze(1)).sum(0) / counts.sum()


def _sum(values: Tensor) -> float:
    """Sum in an order that does not depend on the number of threads, as torch's does."""
    return float(values.cpu().numpy().sum(dtype=np.float64))
