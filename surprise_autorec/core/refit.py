"""The decoder fitted once more, to activations that do not contain the rating which they predict.

In training, dropout shows the encoder a random half of a row's ratings, often with the one to predict among
them. Predictions are made from all ratings of a row, and the one to predict is not among them. After
training, such activations can be computed for every rating. Those of row z without its rating in column c
are nearly ::

    l_zc = h_z - x_zc s_z * V_c                                                                            (a)

where * is elementwise and V_c is column c of V. The slopes s_z are those of the chords of g between h_z and
the activations without the n-th part of ``V x_z``, for n ratings: exact for a single rating, and close to
tangents for many. With the encoders as they are, the rest of eq. 2 is ridge regression for each column, as in
`surprise_autorec.core.fold_in`, with l_zc in place of h_z::

    min over w, b:  |y - L (w + v) - b + own|^2 + reg / 2 |w|^2 + reg_bias / 2 b^2 + column_reg (b + b_c)^2

The bias comes first, with the weights that training has found. For the weights, two steps of conjugate
gradients (Hestenes, Stiefel, J. Res. NBS 49, 1952) from there come close to the solution. Each column has
step lengths of its own. L is never made: its products are products at the observed cells, of h and of s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from surprise_autorec.core.batches import Batch
from surprise_autorec.core.collective import ALONE, Collective
from surprise_autorec.core.columns import column_vectors
from surprise_autorec.core.network import AutoEncoder
from surprise_autorec.core.sparse import Cells, decode_cells, encode_cells, summed, weight_gradient
from surprise_autorec.core.step import BiasPenalty, mean_over_ratings
from surprise_autorec.core.trained import row_scales

#: Steps of conjugate gradients.
N_STEPS = 2
#: Chords shorter than this are replaced by tangents.
SHORT = 1e-3


class Activations(NamedTuple):
    """The hidden activations of the rows of a batch, with all of their ratings or all but one.

    Attributes
    ----------
    cells : Cells
        Where the rows have ratings.
    inputs : Tensor, shape (n_cells,)
        What the encoder sees of them.
    encoder : Tensor, shape (n_columns, k)
        The encoder's weights.
    hidden : Tensor, shape (n_rows, k)
        With all ratings: less their mean, and with the gain.
    slopes : Tensor, shape (n_rows, k)
        The s of the module's text, with the gain.
    """

    cells: Cells
    inputs: Tensor
    encoder: Tensor
    hidden: Tensor
    slopes: Tensor

    def products(self, weight: Tensor) -> Tensor:
        """``l_zc . weight_c`` at the cells."""
        return self._decode(self.hidden, weight) - self.inputs * self._decode(
            self.slopes, self.encoder * weight
        )

    def own_products(self, row_weight: Tensor) -> Tensor:
        """``l_zc . row_weight_z`` at the cells."""
        with_all = (row_weight * self.hidden).sum(1).repeat_interleave(self.cells.row_counts)
        return with_all - self.inputs * self._decode(row_weight * self.slopes, self.encoder)

    def _decode(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return decode_cells(hidden, weight, weight.new_zeros(len(weight)), self.cells)


def activations_of(
    network: AutoEncoder, batches: Sequence[Batch], gain: float, collective: Collective = ALONE
) -> list[Activations]:
    """The activations of a network with one hidden layer, for batches that are all rows with ratings."""
    hidden, slopes = zip(*(_hidden_and_slopes(network, batch) for batch in batches), strict=True)
    counts = [batch.cells.row_counts for batch in batches]
    mean = mean_over_ratings(torch.cat(hidden), torch.cat(counts), collective)
    scales = [row_scales(gain, count).unsqueeze(1) for count in counts]
    return [
        Activations(batch.cells, batch.inputs, network.encoder_weight, (h - mean) * scale, slope * scale)
        for batch, h, slope, scale in zip(batches, hidden, slopes, scales, strict=True)
    ]


def _hidden_and_slopes(network: AutoEncoder, batch: Batch) -> tuple[Tensor, Tensor]:
    products = encode_cells(network.encoder_weight, batch.inputs, batch.cells)
    with torch.enable_grad():
        hidden = network.hidden(products.requires_grad_())
        (tangents,) = torch.autograd.grad(hidden.sum(), products)
    hidden, products = hidden.detach(), products.detach()
    lengths = products / batch.cells.row_counts.unsqueeze(1)
    chords = (hidden - network.hidden(products - lengths)) / lengths
    return hidden, torch.where(lengths.abs() < SHORT, tangents, chords)


class DecoderFit:
    """The regressions of the module's text, one for each column.

    Parameters
    ----------
    network : AutoEncoder
        With one hidden layer and the identity as its output. Its decoder is changed.
    batches : sequence of Batch
        All rows that have ratings.
    gain : float
        That of the network's member.
    reg : float
        The penalty of weights.
    collective : Collective
        The processes that hold the rows.
    """

    def __init__(
        self,
        network: AutoEncoder,
        batches: Sequence[Batch],
        gain: float,
        reg: float,
        collective: Collective = ALONE,
    ) -> None:
        self.weight, self.bias, self.encoder = (
            network.decoder_weight,
            network.decoder_bias,
            network.encoder_weight,
        )
        self.reg, self.collective = reg, collective
        self.activations = activations_of(network, batches, gain, collective)
        self.errors = self._errors_without_biases(network, batches)

    def _errors_without_biases(self, network: AutoEncoder, batches: Sequence[Batch]) -> list[Tensor]:
        """Targets less outputs, in the order of each batch's cells."""
        column_encoder = network.column_encoder_weight
        weight: Tensor = self.weight
        if column_encoder is not None:
            weight = weight + column_vectors(column_encoder, batches, collective=self.collective)
        errors = []
        for batch, activations in zip(batches, self.activations, strict=True):
            error = batch.targets - activations.products(weight)
            if column_encoder is not None:
                own_weight = column_encoder.index_select(0, batch.rows)
                error += batch.column_inputs * activations.own_products(own_weight)
            errors.append(error)
        return errors

    def run(self, reg_bias: float, shared: BiasPenalty | None, n_steps: int = N_STEPS) -> None:
        """Fit the decoder.

        Parameters
        ----------
        reg_bias : float
            The penalty of biases.
        shared : BiasPenalty or None
            That on the sum of the two biases of a column, if there is one.
        n_steps : int
            Steps of conjugate gradients for the weights.
        """
        self._solve_biases(reg_bias, shared)
        self._step_weights(n_steps)

    def _solve_biases(self, reg_bias: float, shared: BiasPenalty | None) -> None:
        sums = self._by_column(self.errors)
        penalties = self._by_column([torch.ones_like(error) for error in self.errors]) + reg_bias / 2
        if shared:
            sums, penalties = sums - shared.penalty * shared.baseline, penalties + shared.penalty
        self.bias.copy_(_ratios(sums, penalties))
        for error, activations in zip(self.errors, self.activations, strict=True):
            error -= self.bias.index_select(0, activations.cells.columns)

    def _step_weights(self, n_steps: int) -> None:
        direction = torch.zeros_like(self.weight)
        square = torch.full_like(self.bias, torch.inf)  # so that the first step takes nothing of this
        for _ in range(n_steps):
            gradient, before = self._gradient(), square
            square = gradient.square().sum(1)
            direction = gradient.addcmul_(_ratios(square, before).unsqueeze(1), direction)
            changes = [activations.products(direction) for activations in self.activations]
            curvature = self._by_column([change.square() for change in changes])
            lengths = _ratios(square, curvature + self.reg / 2 * direction.square().sum(1))
            self.weight.addcmul_(lengths.unsqueeze(1), direction)
            for error, change, activations in zip(self.errors, changes, self.activations, strict=True):
                error -= lengths.index_select(0, activations.cells.columns) * change

    def _gradient(self) -> Tensor:
        """The gradient of the objective by the weights, times -1/2."""
        pairs = list(zip(self.errors, self.activations, strict=True))
        by_hidden, by_slopes = (
            summed(parts, self.weight.dtype, self.collective)
            for parts in (
                [weight_gradient(error, one.hidden, one.cells) for error, one in pairs],
                [weight_gradient(error * one.inputs, one.slopes, one.cells) for error, one in pairs],
            )
        )
        return by_hidden - self.encoder * by_slopes - self.reg / 2 * self.weight

    def _by_column(self, values: Sequence[Tensor]) -> Tensor:
        """The sums over columns of values at the cells of each batch."""
        total = torch.zeros_like(self.bias)
        for value, activations in zip(values, self.activations, strict=True):
            total.index_add_(0, activations.cells.columns, value)
        self.collective.sum_(total)
        return total


def _ratios(numerators: Tensor, denominators: Tensor) -> Tensor:
    """Ratios, of denominators that are not negative; 0 for 0 / 0."""
    return numerators / denominators.clamp(min=torch.finfo(denominators.dtype).tiny)
