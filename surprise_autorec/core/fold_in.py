"""Factors of rows and columns that were not there in training, from their ratings, with the network as it is.

A new row goes through the encoder. A new column has no decoder weights yet. The encoder of columns gives it a
vector, which is one sum. The rest of eq. 2, with hidden activations H of the rows that rate it held fixed, is
ridge regression (the "half-step" of alternating least squares: Zhou, Wilkinson, Schreiber, Pan, AAIM 2008,
section 3.1)::

    min over w, b:  |y - f(H (v + w) + b - own)|^2 + reg / 2 |w|^2 + reg_bias / 2 b^2 + column_reg (b + b_c)^2

with y the ratings less their baselines, v the vector of the column's ratings, and own what a rating itself
adds to its output by way of v, left out as in training; b_c is the column's bias in the baselines and
column_reg their penalty, or 0 where biases were not trained jointly. For f = identity, A = [H 1] and D =
diag(reg, ..., reg, reg_bias + 2 column_reg)::

    [w b] = (A^T A + D / 2)^-1 (A^T (y - H v + own) - [0 column_reg b_c])

and for other f, Gauss-Newton steps of the same form, each cut in half until the objective falls.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from surprise_autorec.core.arrays import Float32Array, Int64Array
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import Batch, BatchCutter
from surprise_autorec.core.columns import column_vectors
from surprise_autorec.core.network import AutoEncoder, initial_output
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Encoders, Factors, Side, TrainedNetwork, other_side, row_scales

#: Steps of Gauss-Newton where f is not the identity, and how often each is cut in half at most.
GAUSS_NEWTON_STEPS, HALVINGS = 20, 12


def fold_in(
    network: TrainedNetwork, side: Side, ratings: RatingMatrix, baselines: Baselines
) -> TrainedNetwork:
    """A network of new users and the items of a trained one, or of new items and its users.

    ``side`` says which are new. They are in the rows of the ratings and the baselines, and the others of the
    network are in the columns.

    Raises ValueError if the network is itself one of new users or items.
    """
    encoders = network.required_encoders()
    baselines = network.member.beside(baselines, rows=side)
    if network.member.side == side:
        factors = encode_rows(encoders, ratings, baselines, network.member.gain)
    else:
        hidden = network.factors(other_side(side)).vectors
        factors = solve_columns(encoders, ratings.transposed, baselines.transposed, hidden)
    if side == "user":
        return replace(network, users=factors, encoders=None)
    return replace(network, items=factors, encoders=None)


@torch.no_grad()
def encode_rows(encoders: Encoders, ratings: RatingMatrix, baselines: Baselines, gain: float) -> Factors:
    """The factors of new rows, given by their ratings and baselines: their hidden activations.

    ``gain`` is that of the network's member.
    """
    batch = _batch(encoders, ratings, baselines, np.arange(ratings.n_rows))
    hidden = encoders.network.encode(batch.cells, batch.inputs) - torch.from_numpy(encoders.mean_hidden)
    hidden *= row_scales(gain, batch.cells.row_counts).unsqueeze(1)
    return Factors(hidden.numpy(), np.zeros(len(hidden), np.float32))


@torch.inference_mode(False)  # as slopes need gradients
@torch.no_grad()
def solve_columns(
    encoders: Encoders, ratings: RatingMatrix, baselines: Baselines, hidden: Float32Array
) -> Factors:
    """The factors of new columns: decoder weights, with the vectors of the columns' ratings, and biases.

    Ratings and baselines have the network's rows and the new columns. ``hidden``, of shape (n_rows, k), has
    the hidden activations of all rows.
    """
    network = encoders.network
    rated_rows = np.flatnonzero(ratings.row_counts)
    batch = _batch(encoders, ratings, baselines, rated_rows if len(rated_rows) else np.arange(1))
    rated = torch.from_numpy(hidden)[batch.rows].double()
    vectors, own_products = rated.new_zeros(ratings.n_columns, rated.shape[1]), rated.new_zeros(len(rated))
    if network.column_encoder_weight is not None:
        vectors = column_vectors(network.column_encoder_weight, [batch]).double()
        own_products = (network.column_encoder_weight[batch.rows].double() * rated).sum(1)
    offsets, order = batch.cells.column_offsets.tolist(), batch.cells.order
    targets, inputs = (
        cells.index_select(0, order).double() for cells in (batch.targets, batch.column_inputs)
    )
    ridge = _Ridge(
        network, encoders.reg, encoders.reg_bias, baselines.column_reg if encoders.joint_biases else 0.0
    )
    weight, bias = torch.empty_like(vectors), vectors.new_empty(len(vectors))
    for column, vector in enumerate(vectors):
        cells = slice(offsets[column], offsets[column + 1])
        rows = batch.cells.rows[cells]
        by_column = rated.index_select(0, rows)
        own = inputs[cells] * own_products.index_select(0, rows)
        baseline_bias = baselines.column_share * float(baselines.column_biases[column])
        solution = ridge.solve(by_column, targets[cells], by_column @ vector - own, baseline_bias)
        weight[column], bias[column] = vector + solution[:-1], solution[-1]
    return Factors(weight.float().numpy(), bias.float().numpy())


def regression(hidden: Tensor, reg: float, reg_bias: float) -> tuple[Tensor, Tensor]:
    """The A of the module's equation, and the diagonal of its D / 2."""
    inputs = torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)
    penalty = inputs.new_full((inputs.shape[1],), reg / 2)
    penalty[-1] = reg_bias / 2
    # Without a penalty there may be many solutions: a faint one picks the smallest.
    return inputs, penalty.clamp(min=1e-9 * (1 + float(inputs.square().sum())))


class _Ridge:
    """The regression of the module's equation for one column. (All is float64.)."""

    def __init__(self, network: AutoEncoder, reg: float, reg_bias: float, column_reg: float) -> None:
        self.network, self.reg, self.reg_bias, self.column_reg = network, reg, reg_bias, column_reg
        self.activation = network.architecture.decoder_activation

    def solve(self, hidden: Tensor, targets: Tensor, outputs_so_far: Tensor, baseline_bias: float) -> Tensor:
        """The w and b of the module's equation, in one tensor."""
        inputs, penalty = regression(hidden, self.reg, self.reg_bias + 2 * self.column_reg)
        pull = torch.zeros_like(penalty)
        pull[-1] = self.column_reg * baseline_bias

        def objective(solution: Tensor) -> float:
            outputs, _ = self._output_and_slope(inputs @ solution + outputs_so_far)
            return float(
                (targets - outputs).square().sum() + penalty @ solution.square() + 2 * pull @ solution
            )

        solution = inputs.new_zeros(inputs.shape[1])
        if not len(targets):
            return solution
        solution[-1] = initial_output(
            self.activation, float(targets.mean())
        )  # as in training: relu has no slope below
        for _ in range(1 if self.activation == "identity" else GAUSS_NEWTON_STEPS):
            now = inputs @ solution
            outputs, slopes = self._output_and_slope(now + outputs_so_far)
            slanted = slopes.unsqueeze(1) * inputs
            wanted = targets - outputs + slopes * now
            right = slanted.T @ wanted - pull
            step = torch.linalg.solve(slanted.T @ slanted + torch.diag(penalty), right) - solution
            before = objective(solution)
            tried = (solution + 0.5**n * step for n in range(HALVINGS))
            better = next((candidate for candidate in tried if objective(candidate) < before), None)
            if better is None:
                break
            solution = better
        return solution

    @torch.enable_grad()
    def _output_and_slope(self, pre_activation: Tensor) -> tuple[Tensor, Tensor]:
        """F and its derivative."""
        inputs = pre_activation.detach().requires_grad_()
        outputs = self.network.output(inputs)
        (slopes,) = torch.autograd.grad(outputs.sum(), inputs)
        return outputs.detach(), slopes


def _batch(encoders: Encoders, ratings: RatingMatrix, baselines: Baselines, rows: Int64Array) -> Batch:
    cutter = BatchCutter(encoders.rules, baselines, torch.device("cpu"))
    (batch,) = cutter.cut(ratings, rows, max(len(rows), 1))
    return batch
