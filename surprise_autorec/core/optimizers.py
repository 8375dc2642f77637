"""The optimisers that training offers by name, all of them torch's.

An optimiser makes a step on an objective: a function that computes the loss and its gradients, and hands on
the gradient of each parameter, some rows at a time, as soon as it is there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor, optim
from torch.optim.sgd import sgd

from surprise_autorec.core.network import AutoEncoder

#: Learning rates relative to the encoder's, which alone starts from random weights.
DECODER_RATE, BIAS_RATE, COLUMN_ENCODER_RATE = 2.0, 10.0, 0.4

#: The most evaluations of an L-BFGS step. (torch's default depends on the number of iterations, and a step
#: has one. A line search that may look only once stays where it is if the error there is not less, and so
#: does every later step.)
LINE_SEARCH_EVALUATIONS = 25

#: Takes the gradient of some rows of a parameter.
Receiver: TypeAlias = Callable[[Tensor, slice, Tensor], None]
#: Hands the gradients at the parameters as they are to a receiver, and returns the loss there; both without
#: penalties.
Objective: TypeAlias = Callable[[Receiver], Tensor]


class Setting(NamedTuple):
    """How a parameter is to be optimised.

    Its penalty is half its weight decay times the sum of its squares.
    """

    parameter: Tensor
    learning_rate: float
    weight_decay: float


class Optimizer(ABC):
    """An optimiser with its parameters, each with its setting."""

    #: Whether it wants all rows in every step, unless a batch size is asked for, and measures the loss's
    #: curvature.
    full_batch: ClassVar[bool]

    def __init__(self, settings: Sequence[Setting]) -> None:
        self.settings = {setting.parameter: setting for setting in settings}

    @abstractmethod
    def step(self, objective: Objective) -> None:
        """Make one step towards less of the objective and the penalties."""

    @abstractmethod
    def state(self) -> Any:
        """What it remembers of the steps so far, for `torch.save`."""

    @abstractmethod
    def restore(self, state: Any) -> None:
        """Remember what another one, of like parameters, remembered."""


class ElementwiseOptimizer(Optimizer):
    """An optimiser that treats each element alone, so that it can use a gradient block by block.

    A block is used while the cache still holds it, and the whole gradient is never in memory. (torch's
    classes want the whole gradient, so we call the functions below them. The classes also import torch's
    compiler, which takes a second or two.)
    """

    full_batch = False

    def step(self, objective: Objective) -> None:
        """Update the parameters while the objective hands on their gradients."""
        self.begin()
        objective(self.update)

    def begin(self) -> None:
        """Begin a step."""

    @abstractmethod
    def state(self) -> list[Tensor]:
        """What it remembers of the steps so far."""

    def restore(self, state: Sequence[Tensor]) -> None:
        """Remember what another one, of like parameters, remembered."""
        for own, other in zip(self.state(), state, strict=True):
            own.copy_(other)

    @abstractmethod
    def update(self, parameter: Tensor, rows: slice, gradient: Tensor) -> None:
        """Change some rows of a parameter, by their gradient; once in a step."""


class Adam(ElementwiseOptimizer):
    """Adam (Kingma, Ba: "Adam", ICLR 2015) as torch sets it by default."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        super().__init__(settings)
        self.means = {parameter: torch.zeros_like(parameter) for parameter in self.settings}
        self.mean_squares = {parameter: torch.zeros_like(parameter) for parameter in self.settings}
        self.n_steps = settings[0].parameter.new_zeros(())

    def state(self) -> list[Tensor]:
        """Its moments, and the number of steps."""
        return [*self.means.values(), *self.mean_squares.values(), self.n_steps]

    def begin(self) -> None:
        """Count the step, on which Adam's corrections depend."""
        self.n_steps += 1

    @torch.no_grad()
    def update(self, parameter: Tensor, rows: slice, gradient: Tensor) -> None:
        """Change some rows of a parameter, by their gradient; once in a step."""
        _, learning_rate, weight_decay = self.settings[parameter]
        torch._fused_adam_(
            [parameter[rows]],
            [gradient],
            [self.means[parameter][rows]],
            [self.mean_squares[parameter][rows]],
            max_exp_avg_sqs=[],
            state_steps=[self.n_steps],
            lr=learning_rate,
            weight_decay=weight_decay,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class SGD(ElementwiseOptimizer):
    """Stochastic gradient descent with a momentum of 0.9."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        super().__init__(settings)
        self.momenta = {parameter: torch.zeros_like(parameter) for parameter in self.settings}

    def state(self) -> list[Tensor]:
        """Its momenta."""
        return list(self.momenta.values())

    @torch.no_grad()
    def update(self, parameter: Tensor, rows: slice, gradient: Tensor) -> None:
        """Change some rows of a parameter, by their gradient; once in a step."""
        _, learning_rate, weight_decay = self.settings[parameter]
        sgd(
            [parameter[rows]],
            [gradient],
            [self.momenta[parameter][rows]],
            lr=learning_rate,
            weight_decay=weight_decay,
            momentum=0.9,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            fused=True,
        )


class WholeGradientOptimizer(Optimizer):
    """One of torch's optimisers that want whole gradients and may evaluate the objective several times."""

    full_batch = True

    def __init__(self, settings: Sequence[Setting]) -> None:
        super().__init__(settings)
        self.optimizer = self.make(settings)

    def state(self) -> Any:
        """What torch's optimiser remembers."""
        return self.optimizer.state_dict()

    def restore(self, state: Any) -> None:
        """Let torch's optimiser remember it."""
        self.optimizer.load_state_dict(state)

    @staticmethod
    @abstractmethod
    def make(settings: Sequence[Setting]) -> optim.Optimizer:
        """Make torch's optimiser of the parameters."""

    def step(self, objective: Objective) -> None:
        """Let torch's optimiser evaluate the objective and the penalties as often as it wants."""

        def closure() -> float:
            for parameter, _, decay in self.settings.values():
                parameter.grad = decay * parameter.detach()
            loss = objective(self._add)
            with torch.no_grad():
                for parameter, _, decay in self.settings.values():
                    loss = loss + decay / 2 * parameter.square().sum()
            return float(loss)

        self.optimizer.step(closure)

    @torch.no_grad()
    def _add(self, parameter: Tensor, rows: slice, gradient: Tensor) -> None:
        assert parameter.grad is not None
        parameter.grad[rows] += gradient


class RProp(WholeGradientOptimizer):
    """Resilient backpropagation (Riedmiller, Braun, ICNN 1993)."""

    @staticmethod
    def make(settings: Sequence[Setting]) -> optim.Optimizer:
        """Give each parameter its rate, the size of the first step."""
        return optim.Rprop([{"params": [parameter], "lr": rate} for parameter, rate, _ in settings])


class LBFGS(WholeGradientOptimizer):
    """L-BFGS (Liu, Nocedal, 1989). It has one rate for all parameters: the encoder's."""

    @staticmethod
    def make(settings: Sequence[Setting]) -> optim.Optimizer:
        """Let an epoch be an iteration; torch keeps the curvature pairs between steps."""
        parameters, rates, _ = zip(*settings, strict=True)
        return optim.LBFGS(
            parameters,
            lr=rates[0],
            max_iter=1,
            max_eval=LINE_SEARCH_EVALUATIONS,
            history_size=10,
            line_search_fn="strong_wolfe",
        )


#: To add an optimiser, add it here, and its learning rate to `surprise_autorec.core.automatic`.
OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "sgd": SGD, "rprop": RProp, "lbfgs": LBFGS}


def settings_of(
    network: AutoEncoder, learning_rate: float, weight_decay: float, bias_decay: float
) -> list[Setting]:
    """All parameters of a network but the column encoder's."""
    weights, biases = network.encoder_parameters()
    return [
        *(Setting(weight, learning_rate, weight_decay) for weight in weights),
        Setting(network.decoder_weight, DECODER_RATE * learning_rate, weight_decay),
        *(Setting(bias, BIAS_RATE * learning_rate, 0.0) for bias in biases),
        Setting(network.decoder_bias, BIAS_RATE * learning_rate, bias_decay),
    ]
