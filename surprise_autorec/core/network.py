"""The autoencoder (Sedhain et al.: "AutoRec: Autoencoders Meet Collaborative Filtering", WWW 2015)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from surprise_autorec.core.arrays import Float32Array
from surprise_autorec.core.sparse import Cells, decode_cells, encode_cells
from surprise_autorec.core.threads import GRAIN

#: Ratings enter the network mapped from their scale to this interval, whatever the scale.
LOWEST, HIGHEST = 1.0, 5.0


class Activation(NamedTuple):
    """An activation function and the bounds of its values; infinite where it has none."""

    function: Callable[[Tensor], Tensor]
    lower: float = -math.inf
    upper: float = math.inf


def identity(inputs: Tensor) -> Tensor:
    """Return the input."""
    return inputs


#: The scale of selu times its alpha, by which it stays above the negative of this.
_SELU_BOUND = 1.0507009873554805 * 1.6732632423543772

#: To add an activation, add a line here.
ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity),
    "sigmoid": Activation(torch.sigmoid, lower=0.0, upper=1.0),
    "tanh": Activation(torch.tanh, lower=-1.0, upper=1.0),
    "relu": Activation(torch.relu, lower=0.0),
    "elu": Activation(nn.functional.elu, lower=-1.0),
    "selu": Activation(torch.selu, lower=-_SELU_BOUND),
}


#: torch's CPU kernels take so many elements (two AVX-512 registers) at once.
_LANES = 32


def activate(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Apply an activation function elementwise, to the same bits for any number of threads.

    torch cuts a tensor into one chunk a thread, and what is left over at the end of a chunk, too little to
    fill vector registers, is computed by other code, with other rounding. So elements are added until nothing
    is left over.
    """
    if function is identity:
        return inputs
    size, chunks = inputs.numel(), 0
    while (needed := min(torch.get_num_threads(), math.ceil(size / GRAIN))) > chunks:
        chunks = needed
        size = inputs.numel() + -inputs.numel() % (_LANES * chunks)
    if size == inputs.numel():
        return function(inputs)
    padded = nn.functional.pad(inputs.reshape(-1), (0, size - inputs.numel()))
    return function(padded)[: inputs.numel()].view_as(inputs)


def decoder_output(pre_activation: Tensor, activation: str, biased: bool) -> Tensor:
    """The decoder's output function f, changed so that every rating can be predicted.

    An f with two bounds is stretched onto the rating interval or, where the output is added to a baseline,
    onto all differences of two ratings. An f with one bound is moved until that is the lowest (or highest) of
    these. (The paper's f = sigmoid could not predict more than 1, and relu could only add to a baseline.)
    """
    function, lower, upper = ACTIVATIONS[activation]
    lowest, highest = (LOWEST - HIGHEST, HIGHEST - LOWEST) if biased else (LOWEST, HIGHEST)
    if math.isfinite(lower) and math.isfinite(upper):
        return lowest + (activate(function, pre_activation) - lower) * ((highest - lowest) / (upper - lower))
    if math.isfinite(lower) or math.isfinite(upper):
        shift = lowest - lower if math.isfinite(lower) else highest - upper
        return shift + activate(function, pre_activation - shift)
    return activate(function, pre_activation)


def initial_output(activation: str, mean: float) -> float:
    """Where ``W h + b`` starts: at the mean of the wanted outputs, or halfway between the two bounds of f."""
    _, lower, upper = ACTIVATIONS[activation]
    return 0.0 if math.isfinite(lower) and math.isfinite(upper) else mean


@dataclass(frozen=True)
class Architecture:
    """What weights only fit together with, by the names that users know.

    Parameters
    ----------
    n_factors : tuple of int
        Width k of each hidden layer, first to last; the paper's model has one.
    two_sided : bool
        Whether there is a second encoder, of columns.
    biased : bool
        Whether the output is a difference from a baseline, or the rating itself.
    encoder_activation, decoder_activation : str
        The paper's g and f, names from `ACTIVATIONS`.
    """

    n_factors: tuple[int, ...]
    two_sided: bool
    biased: bool
    encoder_activation: str
    decoder_activation: str


class AutoEncoder(nn.Module):
    """Rows of ratings to hidden activations (encoder) to predictions at observed cells (decoder).

    Parameters
    ----------
    n_rows : int
        Number of rows.
    n_columns : int
        Length d of a row.
    architecture : Architecture
    mean : float
        Mean of the wanted outputs, where training starts.
    generator : torch.Generator
        Source of the encoder's initial weights (Xavier uniform). All other weights start at zero.
    """

    def __init__(
        self, n_rows: int, n_columns: int, architecture: Architecture, mean: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder_function = ACTIVATIONS[architecture.encoder_activation].function
        widths, dtype = architecture.n_factors, torch.float32  # whatever torch's default is
        start = initial_output(architecture.decoder_activation, mean)
        # The large matrices lie with one row per column of the ratings, as the sparse operations read them:
        # the encoder's is the transpose of the paper's V, the decoder's is the paper's W.
        self.encoder_weight = nn.Parameter(_xavier(n_columns, widths[0], generator))
        self.encoder_bias = nn.Parameter(torch.zeros(widths[0], dtype=dtype))
        self.deeper_weights = nn.ParameterList(
            nn.Parameter(_xavier(wide, narrow, generator)) for wide, narrow in pairwise(widths)
        )
        self.deeper_biases = nn.ParameterList(
            nn.Parameter(torch.zeros(width, dtype=dtype)) for width in widths[1:]
        )
        self.decoder_weight = nn.Parameter(torch.zeros(n_columns, widths[-1], dtype=dtype))
        self.decoder_bias = nn.Parameter(torch.full((n_columns,), start, dtype=dtype))
        self.column_encoder_weight = (
            nn.Parameter(torch.zeros(n_rows, widths[-1], dtype=dtype)) if architecture.two_sided else None
        )

    @classmethod
    def of_weights(cls, weights: Mapping[str, Float32Array], architecture: Architecture) -> AutoEncoder:
        """The trained network of weights that `get_weights` has given. It shares their memory."""
        n_columns = len(weights["decoder_bias"])
        n_rows = len(weights["column_encoder_weight"]) if architecture.two_sided else 0
        with torch.device("meta"):  # no memory, no random numbers
            network = cls(n_rows, n_columns, architecture, 0.0, torch.Generator())
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
        network.load_state_dict(tensors, assign=True)
        return network.requires_grad_(False)

    def get_weights(self) -> dict[str, Float32Array]:
        """Copies of all weights, by the names of the parameters."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self.state_dict().items()}

    @torch.no_grad()
    def start_from(self, other: AutoEncoder) -> None:
        """Take over the weights of another network, whose rows and columns are the first of this one's.

        Raises ValueError if its architecture is another.
        """
        for name, value in asdict(other.architecture).items():
            ours = getattr(self.architecture, name)
            if ours != value:
                raise ValueError(
                    f"{name} must be the same as in the model to continue from, {value!r}, got {ours!r}"
                )
        for own, others in zip(self.parameters(), other.parameters(), strict=True):
            own[: len(others)] = others

    def encoder_parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Weights and biases of the encoder's layers."""
        return [self.encoder_weight, *self.deeper_weights], [self.encoder_bias, *self.deeper_biases]

    def weights(self) -> list[nn.Parameter]:
        """The parameters that ``reg_all`` penalises."""
        column_encoder = [] if self.column_encoder_weight is None else [self.column_encoder_weight]
        return [*self.encoder_parameters()[0], self.decoder_weight, *column_encoder]

    def dense_parameters(self) -> list[nn.Parameter]:
        """The parameters that autograd gives gradients to: not those that meet sparse rows."""
        return [self.encoder_bias, *self.deeper_weights, *self.deeper_biases, self.decoder_bias]

    def encode(self, inputs: Cells, values: Tensor) -> Tensor:
        """Hidden activations ``g(V x + mu)``, the inner part of eq. 1, shape (n_rows, n_factors[-1])."""
        return self.hidden(encode_cells(self.encoder_weight, values, inputs))

    def encode_nothing(self) -> Tensor:
        """Hidden activations of a row without ratings, shape (1, n_factors[-1])."""
        return self.hidden(torch.zeros_like(self.encoder_bias).unsqueeze(0))

    def hidden(self, products: Tensor) -> Tensor:
        """Hidden activations of the products ``V x``, shape (n_rows, n_factors[0])."""
        hidden = activate(self.encoder_function, products + self.encoder_bias)
        for weight, bias in zip(self.deeper_weights, self.deeper_biases, strict=True):
            hidden = activate(self.encoder_function, hidden @ weight + bias)
        return hidden

    def decode(self, hidden: Tensor, outputs: Cells, weight: Tensor) -> Tensor:
        """Predictions ``f(W h + b)``, the outer part of eq. 1, at the given cells, shape (n_cells,).

        ``weight``, of shape (n_columns, n_factors[-1]), is W, or W and what a second encoder makes of each
        column.
        """
        return self.output(decode_cells(hidden, weight, self.decoder_bias, outputs))

    def output(self, pre_activation: Tensor) -> Tensor:
        """``f`` of ``W h + b``."""
        return decoder_output(pre_activation, self.architecture.decoder_activation, self.architecture.biased)


def _xavier(n_inputs: int, n_outputs: int, generator: torch.Generator) -> Tensor:
    return nn.init.xavier_uniform_(torch.empty(n_inputs, n_outputs, dtype=torch.float32), generator=generator)
