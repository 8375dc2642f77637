"""Explanations: what each rating of the user contributes to an estimate.

That needs what a network puts out for a new user without one of the ratings, for each of them in turn. It is
folding in (`surprise_autorec.core.fold_in`) with that rating left out. `refolded` does it in so many words,
for networks of any kind. It is slow: n ratings are n + 1 regressions. Two shortcuts give the same.

Let rating r be left out. The bias of the new one is then less by d_r. So every other rating exceeds its
baseline by d_r more, and what an encoder sees of it is not u but u + c d_r, times a scale s_r that depends on
the number of ratings. An encoder with the weights M sums this up to::

    sum_r = s_r (u . M + c d_r 1 . M - (u_r + c d_r) M_r)                                                  (a)

**A row** goes through the encoder with these sums: one batch.

**A column** is a ridge regression if f is the identity. In the letters of `surprise_autorec.core.fold_in`,
with v_r the sum (a) over E and e_z = E_z . H_z, its targets are ``F k_r``, where::

    F = [y  1  u * e  e  H],    k_r = [1  d_r  s_r  s_r c d_r  -v_r]

(Here r has an own part, too, which does not matter: its target is the one that is left out.) Let p be the
weights of the targets in a prediction at ``a = [h 1]``, and C what takes off the fit from targets::

    p = A (A^T A + D / 2)^-1 a,    C = I - A (A^T A + D / 2)^-1 A^T

Without row r the regression predicts (Allen, "The Relationship between Variable Selection and Data
Augmentation and a Method for Prediction", Technometrics 1974)::

    p . F k_r - p_r (C F k_r)_r / C_rr

So all of the regressions together cost about as much as one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from surprise_autorec.core.arrays import Float32Array, Float64Array, Int32Array, Int64Array
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.fold_in import fold_in, regression
from surprise_autorec.core.network import decoder_output
from surprise_autorec.core.ratings import RatingMatrix
from surprise_autorec.core.trained import Side, TrainedNetwork, other_side, row_scales
from surprise_autorec.model.scoring import AutoRecModel


class Explanation(NamedTuple):
    """The parts of an estimate, in rating points. Their sum is the estimate.

    Attributes
    ----------
    baseline : float
        The baseline estimate, or the mean training rating if the model has no baselines.
    contributions : ndarray of float64, shape (n_ratings,)
        The estimate for a new user with these ratings, minus that without each of them.
    shared : float
        The rest of that estimate.
    training : float
        The estimate of the model minus that estimate; 0 for a new user.
    clipping : float
        The change by clipping to the rating scale.
    """

    baseline: float
    contributions: Float64Array
    shared: float
    training: float
    clipping: float


def explain(
    model: AutoRecModel, user: int | None, item: int, items: Int32Array, values: Float64Array
) -> Explanation:
    """Explain an estimate by the ratings of the user.

    The user and the item are indices. ``user`` is None if not in the training ratings. ``items``, of shape
    (n_ratings,), is what the user has rated, each once, and -1 for items that the model does not know. There
    is one at least. ``values`` are the ratings.
    """
    scale = model.scale
    cases = Cases.of(items, scale.to_core(values), model.baselines)
    numbers, same_item = np.arange(len(items) + 1), np.full(len(items) + 1, item)
    baselines = cases.baselines.at(numbers, same_item)
    networks = (network.member.weight * outputs(network, "user", cases, item) for network in model.networks)
    folded_in = scale.from_core(baselines + sum(networks))
    if len(items) == 1:  # without it nothing is known of the user, and the model answers as for any such
        folded_in[1:] = model.answer(np.array([-1]), np.array([item]))
    contributions = folded_in[0] - folded_in[1:]

    baseline, estimate = _baseline(cases.baselines, 0, item), float(folded_in[0])
    if user is not None:
        baseline, estimate = _baseline(model.baselines, user, item), model.estimate(user, item)
    baseline = scale.from_core(baseline)
    if not model.biased:
        baseline = model.mean_rating
    return Explanation(
        baseline=baseline,
        contributions=contributions,
        shared=float(folded_in[0] - baseline - contributions.sum()),
        training=estimate - float(folded_in[0]),
        clipping=float(np.clip(estimate, *scale)) - estimate,
    )


def _baseline(baselines: Baselines, user: int, item: int) -> float:
    """The baseline estimate, with all of both biases."""
    return float(baselines.whole.at(np.array([user]), np.array([item]))[0])


@dataclass(frozen=True, eq=False)
class Cases:
    """The ratings of a new user or item: all of them, which is case 0, and all but the n-th, case n + 1.

    Parameters
    ----------
    others : ndarray of int32, shape (n_known,)
        Where the ratings stand: items, if a user is new, or users. Only those that networks know.
    values : ndarray of float64, shape (n_known,)
    missing : ndarray of int64, shape (n_cases,)
        The position in ``others`` of the rating that a case lacks. -1 where it lacks none of these: in case
        0, and where it lacks one that networks do not know.
    baselines : Baselines
        The cases in rows, others in columns.
    """

    others: Int32Array
    values: Float64Array
    missing: Int64Array
    baselines: Baselines

    @classmethod
    def of(cls, others: Int32Array, values: Float64Array, baselines: Baselines) -> Cases:
        """The cases of ratings.

        ``others`` says where they stand, each elsewhere; -1 for what networks do not know. The baselines may
        have any rows, and have the others in columns.
        """
        known = others >= 0
        missing = np.append(-1, np.where(known, np.cumsum(known) - 1, -1))
        return cls(others[known], values[known], missing, baselines.of_one_row_less_each(others, values))

    @property
    def lacking(self) -> Int64Array:
        """The cases that lack a rating which networks know."""
        return np.flatnonzero(self.missing >= 0)

    @property
    def counts(self) -> Int64Array:
        """How many known ratings each case has."""
        return len(self.others) - (self.missing >= 0).astype(np.int64)

    @property
    def deviations(self) -> Float64Array:
        """The ratings less their baselines in case 0."""
        return self.values - self.baselines.at(np.zeros_like(self.others), self.others)

    @property
    def changes(self) -> Float64Array:
        """The d of the module's equations: by how much the bias in case 0 is above that of each case."""
        biases = self.baselines.row_share * self.baselines.row_biases
        changes: Float64Array = biases[0] - biases
        return changes


def outputs(network: TrainedNetwork, side: Side, cases: Cases, other: int) -> Float64Array:
    """What a network puts out for a new user and an item, or a new item and a user, in each case.

    ``side`` says which is new, ``cases`` are its ratings, and ``other`` is the item, or the user. The result
    has the shape (n_cases,).

    Raises ValueError if the network is itself one of new users or items.
    """
    cases = replace(cases, baselines=network.member.beside(cases.baselines, rows=side))
    if network.member.side == side:
        return _encoded(network, side, cases, other)
    if network.required_encoders().architecture.decoder_activation == "identity":
        return _solved(network, side, cases, other)
    return refolded(network, side, cases, other)


def refolded(network: TrainedNetwork, side: Side, cases: Cases, other: int) -> Float64Array:
    """`outputs` of any network, by folding in the ratings of each case."""
    is_there = np.arange(len(cases.others)) != cases.missing[:, np.newaxis]
    owners, positions = np.nonzero(is_there)
    others = network.factors(other_side(side))
    shape = len(is_there), len(others.vectors)
    ratings = RatingMatrix.from_cells(owners, cases.others[positions], cases.values[positions], shape)
    vectors, biases = fold_in(network, side, ratings, cases.baselines).factors(side)
    pre_activation = vectors.astype(np.float64) @ others.vectors[other] + (biases + others.biases[other])
    return _output(network, torch.from_numpy(pre_activation))


@torch.no_grad()
def _encoded(network: TrainedNetwork, side: Side, cases: Cases, other: int) -> Float64Array:
    """`outputs` of a network that encodes the new one."""
    encoders = network.required_encoders()
    rules, decoder = encoders.rules, network.factors(other_side(side))
    scales = (np.maximum(cases.counts, 1) / rules.typical_count) ** -rules.row_scaling
    weight = _rows(encoders.weights["encoder_weight"], cases.others)
    products = _sums(weight, rules.centering.rows, scales, cases)
    hidden = encoders.network.hidden(products.float()) - torch.from_numpy(encoders.mean_hidden)
    hidden *= row_scales(network.member.gain, torch.from_numpy(cases.counts)).unsqueeze(1)
    pre_activation = hidden.double() @ _rows(decoder.vectors, other) + float(decoder.biases[other])
    return _output(network, pre_activation)


@torch.no_grad()
def _solved(network: TrainedNetwork, side: Side, cases: Cases, other: int) -> Float64Array:
    """`outputs` of a network that solves for the new one, where f is the identity."""
    encoders, encoded = network.required_encoders(), network.factors(other_side(side)).vectors
    hidden, wanted = _rows(encoded, cases.others), _rows(encoded, other)
    weight = torch.zeros_like(hidden)
    if encoders.architecture.two_sided:
        weight = _rows(encoders.weights["column_encoder_weight"], cases.others)
    share, scales = encoders.rules.centering.columns, np.maximum(cases.counts, 1) ** -0.5
    vectors = _sums(weight, share, scales, cases)

    own = (weight * hidden).sum(1)
    deviations, seen = torch.from_numpy(cases.deviations), _seen(share, cases)
    parts = torch.column_stack([deviations, torch.ones_like(own), seen * own, own, hidden])
    scale, change = torch.from_numpy(scales), torch.from_numpy(cases.changes)
    amounts = torch.column_stack([torch.ones_like(scale), change, scale, scale * share * change, -vectors])

    # A penalty on b + b_c, besides that on b, is one on b + pull alone: targets and outputs are moved by it.
    column_reg = cases.baselines.row_reg if encoders.joint_biases else 0.0
    biases = cases.baselines.row_share * cases.baselines.row_biases
    pull = torch.from_numpy(biases * (column_reg / (encoders.reg_bias / 2 + column_reg or 1.0)))
    amounts[:, 1] += pull

    reg_bias = encoders.reg_bias + 2 * column_reg
    weights, left, own_left = _without_fit(*regression(hidden, encoders.reg, reg_bias), wanted, parts)
    found = vectors @ wanted + amounts @ (parts.T @ weights) - pull
    missing = torch.from_numpy(cases.missing[cases.lacking])
    unfitted = (amounts[cases.lacking] * left[missing]).sum(1)
    found[cases.lacking] -= weights[missing] * unfitted / own_left[missing]
    result: Float64Array = found.numpy()
    return result


def _without_fit(
    inputs: Tensor, penalty: Tensor, wanted: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The p of the module's equations, C times targets, and the diagonal of C."""
    wanted = torch.cat([wanted, wanted.new_ones(1)])
    if len(inputs) > len(penalty):
        root = torch.linalg.cholesky(inputs.T @ inputs + torch.diag(penalty))
        solved = torch.cholesky_solve(inputs.T, root)
        return wanted @ solved, targets - inputs @ (solved @ targets), 1 - (inputs * solved.T).sum(1)
    # The same by the lemma of Woodbury, with the smaller matrix. It is exact also where a faint penalty lets
    # the ratings be met, and C comes near to zero.
    scaled = inputs / penalty
    kernel = scaled @ inputs.T
    kernel.diagonal().add_(1)
    left = torch.cholesky_inverse(torch.linalg.cholesky(kernel))
    return left @ (scaled @ wanted), left @ targets, left.diagonal()


def _sums(weight: Tensor, share: float, scales: Float64Array, cases: Cases) -> Tensor:
    """Equation (a) of the module: what an encoder sums up in each case, shape (n_cases, k).

    ``weight`` has the encoder's weights at the ratings, shape (n_known, k), ``share`` is the c of the
    equation (what is taken off a rating, as a share of its baseline), and ``scales`` are its s.
    """
    seen, changes = _seen(share, cases), share * torch.from_numpy(cases.changes)
    missing = torch.from_numpy(cases.missing[cases.lacking])
    sums = seen @ weight + changes.unsqueeze(1) * weight.sum(0)
    sums[cases.lacking] -= (seen[missing] + changes[cases.lacking]).unsqueeze(1) * weight[missing]
    return sums * torch.from_numpy(scales).unsqueeze(1)


def _seen(share: float, cases: Cases) -> Tensor:
    """The u of the equation: the ratings less a share of their baselines in case 0."""
    return torch.from_numpy((1 - share) * cases.values + share * cases.deviations)


def _rows(table: Float32Array, rows: Int32Array | int) -> Tensor:
    return torch.from_numpy(table[rows]).double()


def _output(network: TrainedNetwork, pre_activation: Tensor) -> Float64Array:
    architecture = network.required_encoders().architecture
    result: Float64Array = decoder_output(
        pre_activation, architecture.decoder_activation, architecture.biased
    ).numpy()
    return result
