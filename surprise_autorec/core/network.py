"""The autoencoder (Sedhain, Menon, Sanner, Xie: "AutoRec: Autoencoders Meet Collaborative Filtering", WWW 2015)."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from surprise_autorec.core.sparse import Cells, decode_cells, encode_cells

#: Ratings enter the network mapped from their scale to this interval, whatever the scale.
LOWEST, HIGHEST = 1.0, 5.0


class Activation(NamedTuple):
    """An activation function and, where it is bounded, the interval of its values."""

    function: Callable[[Tensor], Tensor]
    interval: tuple[float, float] | None = None


def identity(inputs: Tensor) -> Tensor:
    """Return the input."""
    return inputs


#: To add an activation, add it here.
ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(identity),
    "sigmoid": Activation(torch.sigmoid, (0.0, 1.0)),
    "tanh": Activation(torch.tanh, (-1.0, 1.0)),
    "relu": Activation(torch.relu),
    "elu": Activation(nn.functional.elu),
    "selu": Activation(torch.selu),
}


#: torch's CPU kernels give a thread this many elements at least, and take so many (two AVX-512 registers) at once.
_GRAIN, _LANES = 32_768, 32


def activate(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Apply an activation function elementwise, to the same bits for any number of threads.

    torch cuts a tensor into one chunk a thread, and what is left over at the end of a chunk, too little to fill vector
    registers, is computed by other code, with other rounding. So elements are added until nothing is left over.
    """
    if function is identity:
        return inputs
    size, chunks = inputs.numel(), 0
    while (needed := min(torch.get_num_threads(), math.ceil(size / _GRAIN))) > chunks:
        chunks = needed
        size = inputs.numel() + -inputs.numel() % (_LANES * chunks)
    if size == inputs.numel():
        return function(inputs)
    padded = nn.functional.pad(inputs.reshape(-1), (0, size - inputs.numel()))
    return function(padded)[: inputs.numel()].view_as(inputs)


def decoder_output(pre_activation: Tensor, activation: str, biased: bool) -> Tensor:
    """The decoder's output function f.

    A bounded f is stretched so that every answer can be reached: onto the rating interval, or, where the output is
    added to a baseline, onto all differences of two ratings. That of relu, which has a lower bound only, is moved
    there. (The paper's f = sigmoid could not answer more than 1, and relu could only add to a baseline.)
    """
    function, interval = ACTIVATIONS[activation]
    low, high = (LOWEST - HIGHEST, HIGHEST - LOWEST) if biased else (LOWEST, HIGHEST)
    if function is torch.relu:
        return low + activate(function, pre_activation - low)
    output = activate(function, pre_activation)
    if interval is None:
        return output
    return low + (output - interval[0]) * ((high - low) / (interval[1] - interval[0]))


class AutoEncoder(nn.Module):
    """Rows of ratings to hidden activations (encoder) to predictions at observed cells (decoder).

    Parameters
    ----------
    n_rows : int
        Number of rows.
    n_columns : int
        Length d of a row.
    n_factors : tuple of int
        Width k of each hidden layer, first to last; the paper's model has one.
    encoder_activation, decoder_activation : str
        The paper's g and f, names from `ACTIVATIONS`.
    biased : bool
        Whether the output is a difference from a baseline, or the rating itself.
    two_sided : bool
        Whether there is a second encoder, of columns.
    mean : float
        Mean of the wanted outputs, where the decoder's biases start (unless f is bounded: they start at zero, halfway).
    generator : torch.Generator
        Source of the encoder's initial weights (Xavier uniform). All other weights start at zero.
    """

    def __init__(
        self,
        n_rows: int,
        n_columns: int,
        n_factors: tuple[int, ...],
        encoder_activation: str,
        decoder_activation: str,
        biased: bool,
        two_sided: bool,
        mean: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        #: What weights only fit together with, by the names that users know.
        self.kind = {
            "n_factors": n_factors,
            "two_sided": two_sided,
            "biased": biased,
            "encoder_activation": encoder_activation,
            "decoder_activation": decoder_activation,
        }
        self.encoder_activation = encoder_activation
        self.encoder_function = ACTIVATIONS[encoder_activation].function
        start = mean if ACTIVATIONS[decoder_activation].interval is None else 0.0
        self.decoder_activation = decoder_activation
        self.biased = biased
        first, last = n_factors[0], n_factors[-1]
        # The large matrices lie with one row per column of the ratings, as the sparse operations read them:
        # the encoder's is the transpose of the paper's V, the decoder's is the paper's W.
        self.encoder_weight = nn.Parameter(_xavier(n_columns, first, generator))
        self.encoder_bias = nn.Parameter(torch.zeros(first))
        self.deeper_weights = nn.ParameterList(
            nn.Parameter(_xavier(wide, narrow, generator)) for wide, narrow in pairwise(n_factors)
        )
        self.deeper_biases = nn.ParameterList(nn.Parameter(torch.zeros(width)) for width in n_factors[1:])
        self.decoder_weight = nn.Parameter(torch.zeros(n_columns, last))
        self.decoder_bias = nn.Parameter(torch.full((n_columns,), start))
        self.column_encoder_weight = nn.Parameter(torch.zeros(n_rows, last)) if two_sided else None

    @classmethod
    def of_weights(
        cls, weights: dict[str, Tensor], encoder_activation: str, decoder_activation: str, biased: bool
    ) -> AutoEncoder:
        """The trained network of the weights that ``state_dict`` has given."""
        n_columns, first = weights["encoder_weight"].shape
        deeper = [len(bias) for name, bias in weights.items() if name.startswith("deeper_biases.")]
        column_encoder = weights.get("column_encoder_weight")
        n_rows, two_sided = (0, False) if column_encoder is None else (len(column_encoder), True)
        widths, no_seed = (first, *deeper), torch.Generator()
        network = cls(
            n_rows, n_columns, widths, encoder_activation, decoder_activation, biased, two_sided, 0.0, no_seed
        )
        network.load_state_dict(weights, assign=True)
        return network.requires_grad_(False)

    @torch.no_grad()
    def start_from(self, other: AutoEncoder) -> None:
        """Take over the weights of a network of the same kind, whose rows and columns are the first of this one's.

        Raises
        ------
        ValueError
            If it is of another kind.
        """
        for name, value in other.kind.items():
            if self.kind[name] != value:
                raise ValueError(f"{name} must be that of the model to go on from, {value!r}, got {self.kind[name]!r}")
        for ours, theirs in zip(self.parameters(), other.parameters(), strict=True):
            ours[: len(theirs)] = theirs

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
        """Predictions ``f(W h + b)``, the outer part of eq. 1, at the given cells.

        Parameters
        ----------
        hidden : Tensor, shape (n_rows, n_factors[-1])
        outputs : Cells
        weight : Tensor, shape (n_columns, n_factors[-1])
            W, or W and what a second encoder makes of each column.

        Returns
        -------
        Tensor, shape (n_cells,)
        """
        return self.output(self.pre_activation(hidden, outputs, weight))

    def pre_activation(self, hidden: Tensor, outputs: Cells, weight: Tensor) -> Tensor:
        """``W h + b`` at the given cells; to autograd, weight is a constant."""
        return decode_cells(hidden, weight, self.decoder_bias, outputs)

    def output(self, pre_activation: Tensor) -> Tensor:
        """``f`` of ``W h + b``."""
        return decoder_output(pre_activation, self.decoder_activation, self.biased)


def _xavier(n_inputs: int, n_outputs: int, generator: torch.Generator) -> Tensor:
    return nn.init.xavier_uniform_(torch.empty(n_inputs, n_outputs), generator=generator)
