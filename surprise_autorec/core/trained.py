"""A network after training: its arrays, and the rules for its input."""

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
        The side that it encodes, which is in rows. The other side is in columns.
    weight : float
        Its weight in the model's predictions.
    item_share : float, default=1
        The share of the item biases that is added to its output.
    gain : float, default=0
        The relative increase of the hidden activations of a row with hardly any ratings, compared with
        training.
    """

    side: Side
    weight: float
    item_share: float = 1.0
    gain: float = 0.0

    def beside(self, baselines: Baselines, rows: Side = "user") -> Baselines:
        """The baselines to add to its output, from baselines with users (or items) in rows."""
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
    """Networks that differ only in their seeds, as the parameters ask for them.

    Attributes
    ----------
    side : {"item", "user"}
        The side that they encode.
    number : int
        Number of networks.
    weight : float
        The weight of all of them together.
    item_share : float or None
        As in `Member`. None if it is computed from the ratings.
    """

    side: Side
    number: int
    weight: float
    item_share: float | None


class Factors(NamedTuple):
    """The vectors and biases of the users or of the items, from which ratings are predicted.

    A network predicts ``f(users.vectors[u] @ items.vectors[i] + users.biases[u] + items.biases[i])``. For
    the encoded side, the vectors are the hidden activations h, and the biases are zero. For the other side
    they are the decoder's W (with the column vectors) and b.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, k)
    biases : ndarray of float32, shape (n,)
    """

    vectors: Float32Array
    biases: Float32Array


@dataclass(frozen=True, eq=False)
class Encoders:
    """The weights that new rows and columns need to get factors, and from which training can continue.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping of str to ndarray of float32
        The averaged weights, by the names of `AutoEncoder`'s parameters.
    mean_hidden : ndarray of float32, shape (k,)
        The mean that is subtracted from hidden activations.
    rules : InputRules
        How ratings become the encoders' inputs.
    reg, reg_bias : float
        The penalties of training.
    joint_biases : bool
        Whether there was also a penalty on the sum of the two biases of a column.
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
    """A network of a model, and its factors.

    It has its own NumPy arrays. (A tensor, or a view of one, would share its memory with every process that
    it is sent to.)

    Parameters
    ----------
    member : Member
    users, items : Factors
        The factors of the training users and items, or of new ones.
    encoders : Encoders or None
        None if the network has new users or items. Then no more can be added.
    """

    member: Member
    users: Factors
    items: Factors
    encoders: Encoders | None

    def factors(self, side: Side) -> Factors:
        """The factors of the users or of the items."""
        return self.users if side == "user" else self.items

    def required_encoders(self) -> Encoders:
        """The encoders. Raises ValueError if there are none."""
        if self.encoders is None:
            raise ValueError("a model of new users or items cannot take more of them, or be trained further")
        return self.encoders
