"""Conditional flow matching (Lipman et al. 2023, arXiv 2210.02747) along straight lines.

x_τ = (1 − τ) ε + τ a carries noise ε at τ = 0 to an action chunk a at τ = 1. A policy learns the
velocity at which it passes, and acts by following it from noise.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from outtakes.policy.precision import at_least_fp32
from outtakes.shapes import Bool, Float


def interpolate(
    noise: Float[Tensor, "*B L A"], action: Float[Tensor, "*B L A"], time: Float[Tensor, "*B"]
) -> Float[Tensor, "*B L A"]:
    """x_τ = (1 − τ) ε + τ a."""
    share = time[..., None, None]
    return (1 - share) * noise + share * action


def velocity(
    noise: Float[Tensor, "*B L A"], action: Float[Tensor, "*B L A"]
) -> Float[Tensor, "*B L A"]:
    """d x_τ / d τ = a − ε: what is to be predicted, the same at every τ."""
    return action - noise


def squared_error(
    predicted: Float[Tensor, "B L A"], target: Float[Tensor, "B L A"], valid: Bool[Tensor, "B L"]
) -> Float[Tensor, ""]:
    """Mean squared error over valid steps and action dimensions; padding counts for nothing."""
    error = (at_least_fp32(predicted) - target).square().mean(-1)
    return (error * valid).sum() / valid.sum().clamp(min=1)


def integrate(
    field: Callable[[Tensor, float], Tensor], noise: Float[Tensor, "B L A"], steps: int
) -> Float[Tensor, "B L A"]:
    """Follow a field of velocities from τ = 0 to 1 in Euler steps of equal length.

    Args:
        field: (x, τ) -> velocity of x.
        noise: where to start.
        steps: how many.
    """
    x = noise
    for step in range(steps):
        x = x + field(x, step / steps) / steps
    return x


def draw(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Standard normal noise on a device, drawn where its generator is."""
    source = device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=source).to(device)
