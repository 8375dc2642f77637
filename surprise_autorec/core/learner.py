"""One network in training: its batches, its steps, and the average of its weights that predicts."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surprise_autorec.core import automatic
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import Batch, BatchCutter
from surprise_autorec.core.collective import Collective
from surprise_autorec.core.columns import ColumnEncoder, column_vectors
from surprise_autorec.core.network import Architecture, AutoEncoder
from surprise_autorec.core.optimizers import COLUMN_ENCODER_RATE, OPTIMIZERS, settings_of
from surprise_autorec.core.options import TrainingOptions
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.refit import DecoderFit
from surprise_autorec.core.sparse import Cells
from surprise_autorec.core.step import BiasPenalty, Stepper, mean_over_ratings, ordered_sum
from surprise_autorec.core.threads import ThreadChooser, use_threads
from surprise_autorec.core.trained import Encoders, Factors, Member, TrainedNetwork, row_scales

#: How fast training goes on from trained weights. The optimiser knows nothing of them, and its first steps
#: are long.
CONTINUED_RATE = 0.25
#: In bytes, what glibc's allocator may keep when it is freed.
LARGEST_BLOCK = 31 * 2**20


class Learner:
    """One network in training on the rows of a matrix.

    It starts from random weights, or from those of a network for the first of the rows and columns.

    Parameters
    ----------
    ratings : RatingMatrix
        With the side that the member encodes in rows.
    cutter : BatchCutter
    options : TrainingOptions
    generator : torch.Generator
        Source of initial weights and of the order of rows and batches.
    member : Member
    start : AutoEncoder, optional
        The network to go on from.

    Attributes
    ----------
    averaged : AveragedNetwork
        What predicts.
    initial_error : float
        The mean squared error of no output, of a constant rating, or of the first step, whichever is most.
        Training that ends above twice this has done harm.
    """

    def __init__(
        self,
        ratings: RatingMatrix,
        cutter: BatchCutter,
        options: TrainingOptions,
        generator: torch.Generator,
        member: Member,
        start: AutoEncoder | None = None,
    ) -> None:
        _keep_freed_memory()
        self.options, self.generator, self.n_ratings = options, generator, ratings.n_ratings
        self.collective = ratings.collective
        mask_generator = torch.Generator(options.device)
        mask_seed = int(torch.randint(2**62, (), generator=generator))
        mask_generator.manual_seed(mask_seed + self.collective.rank)  # masks of its own rows
        rated_rows = np.flatnonzero(ratings.row_counts)
        self.rows = rated_rows[torch.randperm(len(rated_rows), generator=generator).numpy()]
        self.batches = self._cut(ratings, cutter)

        totals = self.collective.sums(
            sum(ordered_sum(batch.targets) for batch in self.batches),
            sum(ordered_sum(batch.targets.square()) for batch in self.batches),
        )
        mean, mean_square = (total / self.n_ratings for total in totals)
        self.initial_error = max(mean_square, 1.0)
        self.reg = (
            self._penalty(ratings, cutter, mean_square - mean**2) if options.reg is None else options.reg
        )

        n_factors = options.n_factors
        if n_factors is None:  # (in training that goes on, as it began)
            n_factors = start.architecture.n_factors if start else (automatic.width(ratings),)
        architecture = Architecture(
            n_factors=n_factors,
            two_sided=options.two_sided,
            biased=options.biased,
            encoder_activation=options.encoder_activation,
            decoder_activation=options.decoder_activation,
        )
        self.network = AutoEncoder(ratings.n_own_rows, ratings.n_columns, architecture, mean, generator)
        if start is not None:
            self.network.start_from(start)
        self.network.to(options.device)
        self.bias_penalty = joint_penalty(cutter.baselines, self.options)
        self.stepper = self._make_stepper(
            mask_generator,
            1.0 if start is None else CONTINUED_RATE,
            automatic.column_encoder_pace(ratings.column_counts),
        )
        self.threads = self._choose_threads()
        self.averaged = AveragedNetwork(
            self.network, member, self.batches, cutter, options, self.reg, self.collective
        )

    def _cut(self, ratings: RatingMatrix, cutter: BatchCutter) -> list[Batch]:
        """The rows in batches, cut once: epochs differ in their order and in the dropout masks."""
        size = self.options.batch_size
        if size is None:
            size = automatic.batch_size(
                len(self.rows), ratings.n_columns, ratings.n_ratings, self.options.full_batch
            )
        return list(cutter.cut(ratings, self.rows, size))

    def _penalty(self, ratings: RatingMatrix, cutter: BatchCutter, variance: float) -> float:
        """The automatic penalty of targets of this variance."""
        structure = automatic.TYPICAL_STRUCTURE
        if self.options.biased:  # (What is left over without baselines would mostly show biases.)
            structure = automatic.structure(ratings, cutter.baselines.whole)
        return automatic.penalty(variance, self.n_ratings, structure)

    def _make_stepper(
        self, mask_generator: torch.Generator, relative_rate: float, column_encoder_pace: float
    ) -> Stepper:
        """What makes the steps. Learning rates are relative to those that training begins with."""
        options, network = self.options, self.network
        # The objective is eq. 2 divided by the number of rows, so that a batch of rows estimates it.
        n_rows = len(self.rows)
        penalty, bias_penalty = self.reg / n_rows, options.reg_bias / n_rows
        settings = settings_of(network, relative_rate * options.learning_rate, penalty, bias_penalty)
        shared = self.bias_penalty.over(n_rows) if self.bias_penalty else None
        column_encoder = None
        if network.column_encoder_weight is not None:
            # Always Adam's, whose rate says how far a step goes, whatever the others' optimiser makes of
            # theirs.
            adams_rate = (
                options.learning_rate if options.optimizer == "adam" else automatic.LEARNING_RATES["adam"]
            )
            rate = COLUMN_ENCODER_RATE * column_encoder_pace * relative_rate * adams_rate
            column_encoder = ColumnEncoder(
                network.column_encoder_weight,
                len(network.decoder_weight),
                rate,
                penalty,
                self.collective,
            )
        optimizer = OPTIMIZERS[options.optimizer](settings)
        return Stepper(
            network,
            optimizer,
            column_encoder,
            options.precision,
            options.dropout,
            mask_generator,
            shared,
            self.collective,
        )

    def _choose_threads(self) -> ThreadChooser | None:
        """What chooses the number of threads of a step, if there is a choice."""
        if not self.options.threads_are_free:
            return None
        return ThreadChooser(self.options.n_threads, self.n_ratings * self.options.n_epochs)

    def take(self, ratings: RatingMatrix, baselines: Baselines) -> None:
        """Go on with more ratings of the same rows and columns, and with baselines of these."""
        cutter = self.averaged.cutter.with_baselines(baselines)
        new_rows = np.setdiff1d(np.flatnonzero(ratings.row_counts), self.rows)
        self.rows = np.concatenate([self.rows, new_rows])
        self.batches, self.n_ratings = self._cut(ratings, cutter), ratings.n_ratings
        self.averaged.batches, self.averaged.cutter = self.batches, cutter
        self.bias_penalty = joint_penalty(cutter.baselines, self.options)
        if self.bias_penalty:
            self.stepper.bias_penalty = self.bias_penalty.over(len(self.rows))

    def state(self) -> dict[str, Any]:
        """All that training has changed, between two epochs."""
        return {
            "weights": self.network.state_dict(),
            "averaged": self.averaged.network.state_dict(),
            "stepper": self.stepper.state(),
            "initial_error": self.initial_error,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what another one was, of the same ratings, options and seed."""
        self.network.load_state_dict(state["weights"])
        self.averaged.network.load_state_dict(state["averaged"])
        self.stepper.restore(state["stepper"])
        self.initial_error = state["initial_error"]

    def run_epoch(self, number: int) -> tuple[float, float]:
        """Train on every batch once.

        Parameters
        ----------
        number : int
            The epoch's, from 1.

        Returns
        -------
        loss, error : float
            Eq. 2 and the squared error in it, per rating, as met on the way (with dropout).
        """
        if self.threads:
            use_threads(self.threads.best)
        order = torch.randperm(len(self.batches), generator=self.generator).tolist()
        self.stepper.begin_epoch(self.batches)
        sums = [self._step(self.batches[n]) for n in order]
        self.stepper.end_epoch(self.batches)
        total, first, n_first = self.collective.sums(sum(sums), sums[0], len(self.batches[order[0]].targets))
        if number == 1:
            self.initial_error = max(self.initial_error, first / n_first)
        self.averaged.update(self.network, number)
        error = total / self.n_ratings
        return error + self._penalties() / self.n_ratings, error

    def _step(self, batch: Batch) -> float:
        if self.threads is None:
            return self.stepper.step(batch)
        return self.threads.run(partial(self.stepper.step, batch), max(len(batch.targets), 1))

    @torch.no_grad()
    def _penalties(self) -> float:
        """The penalties of eq. 2, and that of the decoder's bias."""
        squares = [
            torch.linalg.vector_norm(weight, dim=1).square().sum() for weight in self.network.weights()
        ]
        if self.network.column_encoder_weight is not None:  # the last: some of its rows are held elsewhere
            self.collective.sum_(squares[-1])
        bias_squares = self.network.decoder_bias.square().sum()
        penalties = self.reg / 2 * torch.stack(squares).sum() + self.options.reg_bias / 2 * bias_squares
        if self.bias_penalty:
            penalties += self.bias_penalty.of(self.network.decoder_bias)
        return float(penalties)


def joint_penalty(baselines: Baselines, options: TrainingOptions) -> BiasPenalty | None:
    """The penalty on the two biases of a column, if there is one."""
    return BiasPenalty.of_columns(baselines, options.device) if options.joint_biases else None


class AveragedNetwork:
    """The average of a network's weights over epochs (Polyak), run on ratings.

    Parameters
    ----------
    network : AutoEncoder
        Before training.
    member : Member
    batches : sequence of Batch
        The ratings that it is trained on.
    cutter : BatchCutter
    options : TrainingOptions
    reg : float
        The penalty of training.
    collective : Collective
        The processes that hold the rows.
    """

    def __init__(
        self,
        network: AutoEncoder,
        member: Member,
        batches: Sequence[Batch],
        cutter: BatchCutter,
        options: TrainingOptions,
        reg: float,
        collective: Collective,
    ) -> None:
        self.network, self.collective = copy.deepcopy(network).requires_grad_(False), collective
        self.member, self.batches, self.cutter, self.options, self.reg = member, batches, cutter, options, reg

    @torch.no_grad()
    def update(self, network: AutoEncoder, epoch: int) -> None:
        """Take in the weights of an epoch: a plain mean over the first ones, an exponential one after."""
        decay = min(self.options.averaging, 1 - 1 / epoch)
        for mean, new in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(new, 1 - decay)

    @torch.no_grad()
    def outputs_at(self, wanted: Cells, gains: Sequence[float]) -> Tensor:
        """Outputs at wanted cells of its own rows, given what it is trained on, with each of the gains.

        Returns
        -------
        Tensor, shape (n_gains, n_cells)
        """
        hidden, counts, vectors, _ = self._represent(self.batches, len(wanted.row_offsets) - 1)
        weight = self._decoder_weight(vectors)
        scaled = (hidden * row_scales(gain, counts).unsqueeze(1) for gain in gains)
        return torch.stack([self.network.decode(one, wanted, weight) for one in scaled])

    @torch.no_grad()
    def finish(self, n_rows: int, ratings: RatingMatrix | None = None) -> tuple[TrainedNetwork, float]:
        """Refit the decoder, and encode all rows and columns: a prediction is then one inner product.

        Parameters
        ----------
        n_rows : int
        ratings : RatingMatrix, optional
            What is known of each row. Default: the ratings it was trained on.

        Returns
        -------
        network : TrainedNetwork
        error : float
            Its mean squared error on those ratings, before its decoder is refitted.
        """
        batches = self.batches
        if ratings is not None:
            size = sum(batch.size for batch in batches)
            batches = list(self.cutter.cut(ratings, np.flatnonzero(ratings.row_counts), size))
        hidden, counts, vectors, mean_hidden = self._represent(batches, self.collective.n_own(n_rows))
        hidden *= row_scales(self.member.gain, counts).unsqueeze(1)
        weight = self._decoder_weight(vectors)
        errors = (
            ordered_sum(
                (batch.targets - self.network.decode(hidden[batch.rows], batch.cells, weight)).square()
            )
            for batch in batches
        )
        error, n_ratings = self.collective.sums(sum(errors), sum(len(batch.targets) for batch in batches))
        if self.options.refits_decoder:
            self._refit_decoder()
            weight = self._decoder_weight(vectors)

        weights = self.network.get_weights()
        if "column_encoder_weight" in weights:
            weights["column_encoder_weight"] = self.collective.all_rows(weights["column_encoder_weight"])
        hidden_of_all = self.collective.all_rows(hidden.cpu().numpy().copy())
        encoded = Factors(hidden_of_all, np.zeros(n_rows, np.float32))
        decoded = Factors(weight.cpu().numpy().copy(), weights["decoder_bias"])
        users, items = (encoded, decoded) if self.member.side == "user" else (decoded, encoded)
        encoders = Encoders(
            architecture=self.network.architecture,
            weights=weights,
            mean_hidden=mean_hidden.cpu().numpy().copy(),
            rules=self.cutter.rules,
            reg=self.reg,
            reg_bias=self.options.reg_bias,
            joint_biases=self.options.joint_biases,
        )
        return TrainedNetwork(self.member, users, items, encoders), error / n_ratings

    def _refit_decoder(self) -> None:
        """Fit the decoder to the activations that it will predict from."""
        reg = automatic.REFIT_PENALTY * self.reg
        fit = DecoderFit(self.network, self.batches, self.member.gain, reg, self.collective)
        fit.run(self.options.reg_bias, joint_penalty(self.cutter.baselines, self.options))

    def _represent(
        self, batches: Sequence[Batch], n_rows: int
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """What the encoders make of its rows and columns.

        Hidden activations less their mean, the rows' numbers of ratings, the columns' vectors if there are
        any, and that mean.
        """
        network = self.network
        hidden = network.encode_nothing().repeat(n_rows, 1)
        counts = hidden.new_zeros(n_rows)
        for batch in batches:
            hidden[batch.rows] = network.encode(batch.cells, batch.inputs)
            counts[batch.rows] = batch.cells.row_counts.float()
        mean_hidden = torch.zeros_like(network.encode_nothing()[0])
        if not self.options.full_batch:
            mean_hidden = mean_over_ratings(hidden, counts, self.collective)
        hidden -= mean_hidden
        if network.column_encoder_weight is None:
            return hidden, counts, None, mean_hidden
        vectors = column_vectors(network.column_encoder_weight, batches, collective=self.collective)
        return hidden, counts, vectors, mean_hidden

    def _decoder_weight(self, vectors: Tensor | None) -> Tensor:
        """The decoder's weights, with the columns' vectors if there are any."""
        weight: Tensor = self.network.decoder_weight
        return weight if vectors is None else weight + vectors


def _keep_freed_memory() -> None:
    """Let glibc's allocator keep what a step frees, as the next step needs as much again.

    It hands free memory back to the system beyond twice the size of the largest block, of 32 MiB at most,
    that it ever freed. So we free one that large. Otherwise page faults can take a tenth of the time of
    training. (Larger blocks are always handed back.)
    """
    torch.empty(LARGEST_BLOCK, dtype=torch.uint8)
