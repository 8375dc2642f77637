"""What is left of a network after training: arrays that it owns, and the rules by which ratings enter it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor

from surprise_autorec.core.arrays import Float32Array
from surprise_autorec.core.baselines import Baselines
from surprise_autorec.core.batches import InputRules
from surprise_autorec.core.network import Architecture, AutoEncoder

Side: TypeAlias = Literal["user", "item"]

#: A row with so many ratings has half the gain.
FEW_RATINGS = 12.0


def other_side(side: Side) -> Side:
    """Items for users, users for items."""
    return "item" if side == "user" else "user"


class Member(NamedTuple):
    """One network of a model.

    Attributes
    ----------
    side : {"item", "user"}
        Whose ratings it encodes: each of them is a row, each of the other side a column.
    weight : float
        Its weight in the model's predictions.
    item_share : float, default=1
        What counts, beside it, of the items' biases. It learns the rest itself.
    gain : float, default=0
        How much larger than in training the hidden activations are of a row with hardly any ratings.
    """

    side: Side
    weight: float
    item_share: float = 1.0
    gain: float = 0.0

    def beside(self, baselines: Baselines, rows: Side = "user") -> Baselines:
        """What its outputs are added to, given baselines with users in rows, or with items."""
        if rows == "user":
            return replace(baselines, column_share=self.item_share)
        return replace(baselines, row_share=self.item_share)


def row_scales(gain: float, counts: Tensor) -> Tensor:
    """What the hidden activations of rows with so many ratings are multiplied by.

    Dropout trains the decoder on activations that are noisier than those it predicts from, and noise in
    regressors makes coefficients too small ("attenuation": Fuller, "Measurement Error Models", 1987, section
    1.1): the more so, the fewer ratings a row has.
    """
    return 1 + gain * FEW_RATINGS / (FEW_RATINGS + counts.float())


class Kind(NamedTuple):
    """Networks that differ in nothing but their seeds, as a model is asked to have them.

    Attributes
    ----------
    side : {"item", "user"}
        Whose ratings they encode.
    number : int
        How many there are.
    weight : float
        That of all of them together.
    item_share : float or None
        As in `Member`; None where the ratings decide.
    """

    side: Side
    number: int
    weight: float
    item_share: float | None


class Factors(NamedTuple):
    """What prediction needs of the users or of the items.

    A network predicts ``f(users.vectors[u] @ items.vectors[i] + users.biases[u] + items.biases[i])``. The
    vectors of the side that is encoded are its hidden activations h, and its biases are zero; those of the
    other side are the decoder's W (with the column vectors) and b.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, k)
    biases : ndarray of float32, shape (n,)
    """

    vectors: Float32Array
    biases: Float32Array


@dataclass(frozen=True, eq=False)
class Encoders:
    """What gives factors to new rows and columns, and what training goes on from.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping of str to ndarray of float32
        The averaged weights, by the names of `AutoEncoder`'s parameters.
    mean_hidden : ndarray of float32, shape (k,)
        What is taken off hidden activations.
    rules : InputRules
        How ratings become the encoders' inputs.
    reg, reg_bias : float
        The penalties of training.
    joint_biases : bool
        Whether the baselines' penalty was on the sum of a column's two biases, in addition.
    """

    architecture: Architecture
    weights: Mapping[str, Float32Array]
    mean_hidden: Float32Array
    rules: InputRules
    reg: float
    reg_bias: float
    joint_biases: bool

    @property
    def network(self) -> AutoEncoder:
        """The trained network; it shares the memory of the weights and is not to be changed."""
        return AutoEncoder.of_weights(self.weights, self.architecture)


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A member of a model, and its factors.

    All that it holds are NumPy arrays of its own. (A tensor, or a view of one, would share its memory with
    every process that it is sent to.)

    Parameters
    ----------
    member : Member
    users, items : Factors
        Of those it was trained on, or of new ones.
    encoders : Encoders or None
        None for a network that new users or items were given to: it cannot take more of them.
    """

    member: Member
    users: Factors
    items: Factors
    encoders: Encoders | None

    def factors(self, side: Side) -> Factors:
        """Those of the users or of the items."""
        return self.users if side == "user" else self.items

    def required_encoders(self) -> Encoders:
        """Its encoders. Raises ValueError if it has none."""
        if self.encoders is None:
            raise ValueError("a model of new users or items cannot take more of them, or be trained further")
        return self.encoders
