"""The optimisers that training offers by name, all of them torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch.optim import LBFGS, SGD, Adam, Optimizer, Rprop

from surprise_autorec.core.network import AutoEncoder

#: Learning rates relative to the encoder's, which alone starts from random weights.
DECODER_RATE, BIAS_RATE, COLUMN_ENCODER_RATE = 2.0, 10.0, 0.4

ParameterGroups = list[dict[str, Any]]


class OptimizerKind(NamedTuple):
    """How one of torch's optimisers is made and used.

    Attributes
    ----------
    make : callable
        From parameter groups and a learning rate to the optimiser.
    learning_rate : float
        The default learning rate.
    full_batch : bool
        Whether it wants all rows in every step, unless a batch size is asked for.
    decays_weights : bool
        Whether it adds the penalty's gradient itself (``weight_decay``). For the others the penalty joins the loss.
    """

    make: Callable[[ParameterGroups, float], Optimizer]
    learning_rate: float
    full_batch: bool
    decays_weights: bool


def _adam(groups: ParameterGroups, learning_rate: float) -> Optimizer:
    return Adam(groups, lr=learning_rate, fused=True)


def _sgd(groups: ParameterGroups, learning_rate: float) -> Optimizer:
    return SGD(groups, lr=learning_rate, momentum=0.9)


def _rprop(groups: ParameterGroups, learning_rate: float) -> Optimizer:
    return Rprop(groups, lr=learning_rate)


def _lbfgs(groups: ParameterGroups, learning_rate: float) -> Optimizer:
    parameters = [parameter for group in groups for parameter in group["params"]]
    # One iteration a step, so that an epoch is an iteration; torch keeps the curvature pairs between steps.
    return LBFGS(parameters, lr=learning_rate, max_iter=1, history_size=10, line_search_fn="strong_wolfe")


#: To add an optimiser, add it here.
OPTIMIZERS: dict[str, OptimizerKind] = {
    "adam": OptimizerKind(_adam, 0.003, full_batch=False, decays_weights=True),
    "sgd": OptimizerKind(_sgd, 0.01, full_batch=False, decays_weights=True),
    "rprop": OptimizerKind(_rprop, 0.001, full_batch=True, decays_weights=False),
    "lbfgs": OptimizerKind(_lbfgs, 1.0, full_batch=True, decays_weights=False),
}


def parameter_groups(
    network: AutoEncoder, learning_rate: float, weight_decay: float, bias_decay: float
) -> ParameterGroups:
    """All parameters of a network but the column encoder's, with what an optimiser needs to know of each."""
    weights, biases = network.encoder_parameters()
    groups = [
        (weights, 1.0, weight_decay),
        ([network.decoder_weight], DECODER_RATE, weight_decay),
        (biases, BIAS_RATE, 0.0),
        ([network.decoder_bias], BIAS_RATE, bias_decay),
    ]
    return [{"params": params, "lr": rate * learning_rate, "weight_decay": decay} for params, rate, decay in groups]
