"""The optimisers that training offers by name, all of them torch's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer, Rprop
from torch.optim.sgd import sgd

from surprise_autorec.core.network import AutoEncoder
from surprise_autorec.core.sparse import Block

#: Learning rates relative to the encoder's, which alone starts from random weights.
DECODER_RATE, BIAS_RATE, COLUMN_ENCODER_RATE = 2.0, 10.0, 0.4

#: The gradient of each parameter, in blocks of its rows.
Gradients: TypeAlias = dict[Tensor, Iterable[Block]]
#: Gives the gradients at the parameters as they are, and what computes the loss there, both without penalties.
Objective: TypeAlias = Callable[[], tuple[Gradients, Callable[[], Tensor]]]


class Setting(NamedTuple):
    """How a parameter is to be optimised.

    Attributes
    ----------
    parameter : Tensor
    learning_rate : float
    weight_decay : float
        Its penalty is half of this times the sum of its squares.
    """

    parameter: Tensor
    learning_rate: float
    weight_decay: float


class Stepper(Protocol):
    """An optimiser with its parameters."""

    def step(self, objective: Objective) -> None:
        """Make one step towards less of the objective and the penalties."""


class _BlockStepper(ABC):
    """An optimiser that treats each element alone, so that it can follow a gradient block by block.

    A block is used while the cache still holds it, and the gradient is nowhere whole. (torch's classes want it whole;
    we call what is below them. The classes also import torch's compiler, which takes a second or two.)
    """

    def __init__(self, settings: Sequence[Setting]) -> None:
        self.settings = {setting.parameter: setting for setting in settings}

    def step(self, objective: Objective) -> None:
        gradients, _ = objective()
        self.follow(gradients)

    @torch.no_grad()
    def follow(self, gradients: Gradients) -> None:
        """Make one step along the gradients."""
        for parameter, blocks in gradients.items():
            for rows, gradient in blocks:
                self._update(self.settings[parameter], rows, gradient)

    @abstractmethod
    def _update(self, setting: Setting, rows: slice, gradient: Tensor) -> None: ...


class AdamStepper(_BlockStepper):
    """Adam (Kingma, Ba: "Adam", ICLR 2015) as torch sets it by default."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        super().__init__(settings)
        self.means = {parameter: torch.zeros_like(parameter) for parameter in self.settings}
        self.mean_squares = {parameter: torch.zeros_like(parameter) for parameter in self.settings}
        self.n_steps = torch.zeros((), device=settings[0].parameter.device)

    def follow(self, gradients: Gradients) -> None:
        """Count the step, on which Adam's corrections depend, and make it."""
        self.n_steps += 1
        super().follow(gradients)

    def _update(self, setting: Setting, rows: slice, gradient: Tensor) -> None:
        parameter = setting.parameter
        torch._fused_adam_(
            [parameter[rows]],
            [gradient],
            [self.means[parameter][rows]],
            [self.mean_squares[parameter][rows]],
            max_exp_avg_sqs=[],
            state_steps=[self.n_steps],
            lr=setting.learning_rate,
            weight_decay=setting.weight_decay,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class SGDStepper(_BlockStepper):
    """Stochastic gradient descent with a momentum of 0.9."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        super().__init__(settings)
        self.momenta = {parameter: torch.zeros_like(parameter) for parameter in self.settings}

    def _update(self, setting: Setting, rows: slice, gradient: Tensor) -> None:
        sgd(
            [setting.parameter[rows]],
            [gradient],
            [self.momenta[setting.parameter][rows]],
            lr=setting.learning_rate,
            weight_decay=setting.weight_decay,
            momentum=0.9,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            fused=True,
        )


class _WholeStepper:
    """One of torch's optimisers that want whole gradients, and may evaluate the objective more than once a step."""

    def __init__(self, settings: Sequence[Setting], optimizer: Optimizer) -> None:
        self.settings, self.optimizer = settings, optimizer

    def step(self, objective: Objective) -> None:
        def closure() -> float:
            gradients, loss_of = objective()
            with torch.no_grad():
                loss = loss_of()
                for parameter, _, decay in self.settings:
                    loss = loss + decay / 2 * parameter.square().sum()
                    parameter.grad = decay * parameter
                    for rows, gradient in gradients[parameter]:
                        parameter.grad[rows] += gradient
            return float(loss)

        self.optimizer.step(closure)


def _rprop(settings: Sequence[Setting]) -> Stepper:
    groups = [{"params": [parameter], "lr": rate} for parameter, rate, _ in settings]
    return _WholeStepper(settings, Rprop(groups))


def _lbfgs(settings: Sequence[Setting]) -> Stepper:
    parameters, rates, _ = zip(*settings, strict=True)
    # One iteration a step, so that an epoch is an iteration; torch keeps the curvature pairs between steps. It has one
    # rate for all parameters: the encoder's.
    optimizer = LBFGS(parameters, lr=rates[0], max_iter=1, history_size=10, line_search_fn="strong_wolfe")
    return _WholeStepper(settings, optimizer)


class OptimizerKind(NamedTuple):
    """How an optimiser is made and used.

    Attributes
    ----------
    make : callable
        From settings to the optimiser.
    learning_rate : float
        The default learning rate.
    full_batch : bool
        Whether it wants all rows in every step, unless a batch size is asked for.
    """

    make: Callable[[Sequence[Setting]], Stepper]
    learning_rate: float
    full_batch: bool


#: To add an optimiser, add it here.
OPTIMIZERS: dict[str, OptimizerKind] = {
    "adam": OptimizerKind(AdamStepper, 0.003, full_batch=False),
    "sgd": OptimizerKind(SGDStepper, 0.01, full_batch=False),
    "rprop": OptimizerKind(_rprop, 0.001, full_batch=True),
    "lbfgs": OptimizerKind(_lbfgs, 1.0, full_batch=True),
}


def settings_of(network: AutoEncoder, learning_rate: float, weight_decay: float, bias_decay: float) -> list[Setting]:
    """All parameters of a network but the column encoder's."""
    weights, biases = network.encoder_parameters()
    return [
        *(Setting(weight, learning_rate, weight_decay) for weight in weights),
        Setting(network.decoder_weight, DECODER_RATE * learning_rate, weight_decay),
        *(Setting(bias, BIAS_RATE * learning_rate, 0.0) for bias in biases),
        Setting(network.decoder_bias, BIAS_RATE * learning_rate, bias_decay),
    ]
