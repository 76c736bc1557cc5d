"""The parts of the training loss: ACT's imitation loss and the KL term (paper, Eq. 2-4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from outtakes.errors import ConfigError
from outtakes.policy.act.variational import Latent
from outtakes.policy.divergence import symmetric_kl
from outtakes.policy.precision import at_least_fp32
from outtakes.shapes import Bool, Float


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss."""

    kl_weight: float = 0.01
    """lambda_kl in Eq. 4, weight of the divergence between successes and failures."""
    kl_cap: float = 2.0
    """Nats; the divergence counts as at most this much, see `bounded`."""
    vae_weight: float = 10.0
    """Weight of the variational encoder's KL to its prior, as in ACT."""

    def __post_init__(self) -> None:
        for name in ("kl_weight", "vae_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="choose at least 0")
        if self.kl_cap <= 0:
            raise ConfigError(f"kl_cap {self.kl_cap}", remedy="choose more than 0 nats")


def imitation_error(
    predicted: Float[Tensor, "B L A"], target: Float[Tensor, "B L A"], valid: Bool[Tensor, "B L"]
) -> Float[Tensor, ""]:
    """L1 error averaged over valid steps and action dimensions; padding counts for nothing."""
    error = (at_least_fp32(predicted) - target).abs().mean(-1)
    return (error * valid).sum() / valid.sum().clamp(min=1)


def prior_divergence(latent: Latent) -> Float[Tensor, ""]:
    """KL(posterior ‖ N(0, 1)) in nats, summed over the latent and averaged over the batch."""
    mean, log_variance = at_least_fp32(latent.mean), at_least_fp32(latent.log_variance)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return kl.sum(-1).mean()


def attention_divergence(
    logits: Sequence[Float[Tensor, "twoB H L L"]],
) -> Float[Tensor, "layers B H L"]:
    """D_sym(A+, A-) of every layer, sample, head and query row, in nats (Eq. 2 and 3).

    Args:
        logits: of each layer, the samples under their own PB stacked on the same samples under
            the PB of a demonstration of the other outcome.
    """
    pairs = (layer.chunk(2) for layer in logits)
    return torch.stack([symmetric_kl(own, other) for own, other in pairs])
