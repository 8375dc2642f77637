"""The settings of training."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from surprise_autorec.core.optimizers import OPTIMIZERS


@dataclass(frozen=True)
class TrainingOptions:
    """Checked settings of `surprise_autorec.core.training.train`, None where the data decides.

    Each is documented where users set it, at `surprise_autorec.parameters.AutoRecParameters`.
    """

    n_factors: tuple[int, ...] | None
    n_epochs: int
    biased: bool
    two_sided: bool
    encoder_activation: str
    decoder_activation: str
    learning_rate: float
    reg: float | None
    reg_bias: float
    joint_biases: bool
    dropout: float
    input_centering: float | None
    input_scaling: float
    averaging: float
    optimizer: str
    batch_size: int | None
    early_stopping: bool
    validation_fraction: float
    uncertainty: bool
    learn_weights: bool
    device: torch.device
    precision: torch.dtype | None
    n_threads: int

    @property
    def is_deep(self) -> bool:
        """Whether there is more than one hidden layer."""
        return self.n_factors is not None and len(self.n_factors) > 1

    @property
    def threads_are_free(self) -> bool:
        """Whether the number of threads may change: not where torch's dense sums would change with it."""
        return not self.is_deep and self.optimizer != "lbfgs" and self.device.type == "cpu"

    @property
    def has_gain(self) -> bool:
        """Whether networks have a gain: where hidden activations are less their mean, and outputs linear."""
        return self.biased and self.decoder_activation == "identity" and not self.full_batch

    @property
    def refits_decoder(self) -> bool:
        """Whether decoders are fitted once more, after dropout: with one hidden layer, and linear outputs."""
        return self.dropout > 0 and self.has_gain and not self.is_deep

    @property
    def full_batch(self) -> bool:
        """Whether the optimiser wants all rows in every step."""
        return OPTIMIZERS[self.optimizer].full_batch
