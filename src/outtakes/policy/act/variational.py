"""ACT's conditional variational encoder: the style of a demonstration as a latent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from outtakes.data.observation import Sizes
from outtakes.policy.precision import at_least_fp32
from outtakes.policy.transformer.layers import Encoder
from outtakes.policy.transformer.positions import sinusoid
from outtakes.shapes import Float


@dataclass(frozen=True)
class Latent:
    """The variational encoder's posterior over the style latent."""

    mean: Float[Tensor, "B latent"]
    log_variance: Float[Tensor, "B latent"]

    def sample(self, generator: torch.Generator | None) -> Tensor:
        """One sample, reparameterised."""
        noise = torch.randn(
            self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype
        )
        return self.mean + (self.log_variance / 2).exp() * noise


class VariationalEncoder(nn.Module):
    """ACT's CVAE encoder: state and true actions -> posterior of the latent.

    Args:
        sizes: what the dataset dictates.
        chunk: L, action steps of a chunk.
        latent: size of the latent.
        layers: of its encoder.
        width: D.
        heads: H.
        feed_forward: hidden width of the feed-forward blocks.
        dropout: rate.
    """

    def __init__(
        self,
        sizes: Sizes,
        chunk: int,
        latent: int,
        layers: int,
        width: int,
        heads: int,
        feed_forward: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.summary = nn.Parameter(torch.randn(1, 1, width))
        self.state = nn.Linear(sizes.state, width) if sizes.state else None
        self.action = nn.Linear(sizes.action, width)
        self.encoder = Encoder(layers, width, heads, feed_forward, dropout)
        self.posterior = nn.Linear(width, 2 * latent)
        tokens = 1 + (sizes.state > 0) + chunk
        self.register_buffer("positions", sinusoid(tokens, width), persistent=False)
        self.positions: Tensor

    def forward(
        self, state: Tensor, action: Tensor, valid: Tensor, generator: torch.Generator | None
    ) -> Latent:
        """(B, S), (B, L, A), (B, L) -> posterior."""
        tokens = [self.summary.expand(len(state), -1, -1)]
        if self.state is not None:
            tokens.append(self.state(state)[:, None])
        known = valid.new_ones(len(state), len(tokens))
        padding = ~torch.cat([known, valid], dim=1)
        sequence = at_least_fp32(torch.cat([*tokens, self.action(action)], dim=1))
        summary = self.encoder(sequence, self.positions, padding, generator, wanted=1)[:, 0]
        return Latent(*self.posterior(summary).chunk(2, dim=-1))
