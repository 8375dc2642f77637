"""One step of training: the equations of the paper as they are trained, their gradients, and the update.

Eq. 1, with the second encoder (`surprise_autorec.core.columns`) and with hidden activations less their mean::

    hidden  = g(V x + mu) - mean
    outputs = f(hidden . (W + column vectors) + b - own part)

and the part of eq. 2 that depends on ratings, for a batch of rows, divided by their number::

    loss = sum of weight * (outputs - targets)^2

The penalties are the optimisers'. tests/reference.py has the same on dense matrices, in a page of plain
torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from surprise_autorec.core import automatic
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import Batch
from surprise_autorec.core.collective import ALONE, Collective
from surprise_autorec.core.columns import ColumnEncoder, column_vectors, own_part
from surprise_autorec.core.network import AutoEncoder
from surprise_autorec.core.optimizers import Optimizer, Receiver
from surprise_autorec.core.sparse import (
    Block,
    Cells,
    WorkingCopy,
    decode_cells,
    encode_cells,
    weight_gradient,
)

#: What a rating that dropout hides from the encoder counts in the loss; one that the encoder sees counts 1.
#: Only hidden ratings show how well the network predicts what it does not know.
HIDDEN_WEIGHT = 2.0
#: The mean of the hidden activations is an exponential one over steps: a step weighs this much less than the
#: next.
MEAN_DECAY = 0.9


class Inputs(NamedTuple):
    """What a step shows the encoder of a batch, and what it makes of each rating's error.

    ``cells`` are those that are not hidden, with their ``values``. ``weights`` is what each squared error
    counts in the loss.
    """

    cells: Cells
    values: Tensor
    weights: Tensor | float


class BiasPenalty(NamedTuple):
    """The penalty of the baselines, on the decoder's biases and those of the baselines together.

    Without it, the decoder would take back what the baselines were shrunk by. ``penalty`` is what a sum's
    square is multiplied by, ``baseline`` the baselines' biases of the columns.
    """

    penalty: float
    baseline: Tensor

    @classmethod
    def of_columns(cls, baselines: Baselines, device: torch.device) -> BiasPenalty:
        """That of the columns' baselines."""
        biases = baselines.column_share * baselines.column_biases
        return cls(baselines.column_reg, torch.from_numpy(biases.astype(np.float32)).to(device))

    def over(self, n_rows: int) -> BiasPenalty:
        """The same per row."""
        return self._replace(penalty=self.penalty / n_rows)

    def of(self, decoder_bias: Tensor) -> Tensor:
        """The penalty of these biases of the decoder."""
        return self.penalty * (self.baseline + decoder_bias).square().sum()


class Stepper:
    """Makes the steps that train a network.

    Hidden activations are taken less their mean over ratings. The decoder's bias makes up for it, so that the
    model is the same, but training needs about half the epochs: the problem is badly conditioned where all
    activations are about 0.5.

    The optimiser has all parameters but the column encoder's. Sparse products read the weights in
    ``precision``; None where their size decides. A step hides a share ``dropout`` of the inputs, chosen by
    ``mask_generator`` on the device that uses them. The processes of ``collective`` hold the rows of each
    batch.
    """

    def __init__(
        self,
        network: AutoEncoder,
        optimizer: Optimizer,
        column_encoder: ColumnEncoder | None,
        precision: torch.dtype | None,
        dropout: float,
        mask_generator: torch.Generator,
        bias_penalty: BiasPenalty | None,
        collective: Collective,
    ) -> None:
        self.bias_penalty, self.collective = bias_penalty, collective
        self.network, self.optimizer, self.column_encoder = network, optimizer, column_encoder
        self.dropout, self.mask_generator = dropout, mask_generator
        encoder_precision, self.decoder_precision = (
            precision or automatic.precision(weight, optimizer.full_batch)
            for weight in (network.encoder_weight, network.decoder_weight)
        )
        # Optimisers that want whole gradients change all weights in every process.
        self.updaters = ALONE if optimizer.full_batch else collective
        self.encoder = WorkingCopy(network.encoder_weight, encoder_precision, None, self.updaters)
        self.decoder = WorkingCopy(
            network.decoder_weight, network.decoder_weight.dtype
        )  # until an epoch begins
        self.mean_hidden: Tensor | None = None

    def state(self) -> dict[str, Any]:
        """What it remembers of the steps so far, between two epochs."""
        return {
            "optimizer": self.optimizer.state(),
            "column_encoder": self.column_encoder and self.column_encoder.optimizer.state(),
            "mask_generator": self.mask_generator.get_state(),
            "mean_hidden": self.mean_hidden,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what another one remembered, whose network's weights are now this one's."""
        self.optimizer.restore(state["optimizer"])
        if self.column_encoder:
            self.column_encoder.optimizer.restore(state["column_encoder"])
        self.mask_generator.set_state(state["mask_generator"])
        self.mean_hidden = state["mean_hidden"]
        self.encoder.refresh_all()

    def begin_epoch(self, batches: Sequence[Batch]) -> None:
        """Encode the columns of all batches for the steps of an epoch."""
        vectors = None
        if self.column_encoder:
            vectors = column_vectors(
                self.column_encoder.weight, batches, self.decoder_precision, self.collective
            )
            self.column_encoder.begin_epoch()
        self.decoder = WorkingCopy(
            self.network.decoder_weight, self.decoder_precision, vectors, self.updaters
        )

    def end_epoch(self, batches: Sequence[Batch]) -> None:
        """Make the column encoder's step."""
        self.encoder.gather_weights()
        self.decoder.gather_weights()
        self.decoder = WorkingCopy(self.network.decoder_weight, self.network.decoder_weight.dtype)
        if self.column_encoder:
            self.column_encoder.end_epoch(batches, self.decoder_precision)

    def step(self, batch: Batch) -> float:
        """Make a step on a batch; returns the sum of squared errors before it, of the rows held here."""
        inputs = self._hide(batch)
        sums: list[float] = []

        def objective(receive: Receiver) -> Tensor:
            loss, squared_errors = self._evaluate(batch, inputs, receive, is_first=not sums)
            sums.append(ordered_sum(squared_errors))
            return loss

        self.optimizer.step(objective)
        return sums[0]

    def _evaluate(
        self, batch: Batch, inputs: Inputs, receive: Receiver, is_first: bool
    ) -> tuple[Tensor, Tensor]:
        """Evaluate the loss and hand on its gradients; returns the loss and each rating's squared error.

        An optimiser that searches along a line evaluates more than once. The column encoder follows the
        first, at the weights where the step began.
        """
        network, columns = self.network, self.column_encoder
        if self.optimizer.full_batch:  # which has moved all weights at once, several times a step
            self.encoder.refresh_all()
            self.decoder.refresh_all()

        products = encode_cells(self.encoder.values, inputs.values, inputs.cells).requires_grad_()
        hidden = self._centered(network.hidden(products), batch)
        pre_activation = decoded = decode_cells(
            hidden, self.decoder.values, network.decoder_bias, batch.cells
        )
        own_weight: list[Tensor] = []
        if columns:  # whose vectors are in the decoder's values
            own_weight = [columns.own_weight(batch)]
            pre_activation = decoded - own_part(own_weight[0], hidden, batch)
        squared_errors = mse_loss(network.output(pre_activation), batch.targets, reduction="none")
        loss = (inputs.weights * squared_errors).sum()
        if self.bias_penalty and self.collective.rank == 0:  # once in the sum over processes
            loss = loss + self.bias_penalty.of(network.decoder_bias)

        dense = network.dense_parameters()
        by_decoded, by_products, *others = torch.autograd.grad(loss, [decoded, products, *dense, *own_weight])
        *by_dense, loss = self.collective.sum_all([*others[: len(dense)], loss.detach()])
        for rows, gradient in weight_gradient(by_decoded, hidden.detach(), batch.cells).blocks():
            share, total = self._summed(rows, gradient)
            if columns and is_first:
                columns.add(share, total)
            receive(network.decoder_weight, share, total)
            self.decoder.refresh(rows)
        for rows, gradient in weight_gradient(inputs.values, by_products, inputs.cells).blocks():
            receive(network.encoder_weight, *self._summed(rows, gradient))
            self.encoder.refresh(rows)
        for parameter, gradient in zip(dense, by_dense, strict=True):
            receive(parameter, slice(None), gradient)
        if columns and is_first:
            columns.add_own(batch, others[-1])
        return loss, squared_errors.detach()

    def _summed(self, rows: slice, gradient: Tensor) -> Block:
        """The sum over processes of rows of a gradient: of those that this process updates."""
        if self.optimizer.full_batch:
            self.collective.sum_(gradient)
            return rows, gradient
        return self.collective.share(rows), self.collective.sum_share(gradient)

    def _hide(self, batch: Batch) -> Inputs:
        """Hide a share of the inputs, and weigh the errors of what is hidden and of what is not."""
        unit = 1 / batch.size
        if self.dropout == 0:
            return Inputs(batch.cells, batch.inputs, unit)
        kept = torch.empty_like(batch.inputs).uniform_(generator=self.mask_generator) >= self.dropout
        cells, positions = batch.cells.keep(kept)
        values = batch.inputs.index_select(0, positions) / (1 - self.dropout)
        seen = 1 / (1 + (HIDDEN_WEIGHT - 1) * self.dropout)  # so that the mean weight is 1
        weights = (
            kept.to(values.dtype).mul_(-(HIDDEN_WEIGHT - 1) * seen).add_(HIDDEN_WEIGHT * seen).mul_(unit)
        )
        return Inputs(cells, values, weights)

    def _centered(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Hidden activations less their mean over the ratings of this batch and, fading, those before it."""
        if self.optimizer.full_batch:  # a moving mean would bend the curvature that these optimisers measure
            return hidden
        mean = mean_over_ratings(hidden.detach(), batch.cells.row_counts, self.collective)
        self.mean_hidden = mean if self.mean_hidden is None else self.mean_hidden.lerp(mean, 1 - MEAN_DECAY)
        return hidden - self.mean_hidden


def mean_over_ratings(hidden: Tensor, counts: Tensor, collective: Collective = ALONE) -> Tensor:
    """The mean of the rows of hidden activations, each as often as the row has ratings."""
    total, n_ratings = collective.sum_all(
        [(hidden * counts.unsqueeze(1)).sum(0), counts.sum().to(hidden.dtype)]
    )
    return total / n_ratings


def ordered_sum(values: Tensor) -> float:
    """Sum in an order that does not depend on the number of threads, as torch's does."""
    return float(values.cpu().numpy().sum(dtype=np.float64))
