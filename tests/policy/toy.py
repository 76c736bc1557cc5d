"""A family of policies in a few lines, as another package would bring one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from outtakes.data.observation import Sizes
from outtakes.policy.policy import Losses, ParameterGroup, Policy, PolicyConfig


@dataclass(frozen=True)
class Blur:
    """Settings inside settings."""

    noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ToyConfig(PolicyConfig):
    """A line from state to action, and an offset for each demonstration."""

    kind: ClassVar[str] = "toy"
    blur: Blur = field(default_factory=Blur)
    blurs: tuple[Blur, ...] = ()
    maybe: Blur | None = None
    file: Path | None = None

    def build(self, sizes: Sizes) -> ToyPolicy:
        return ToyPolicy(self, sizes)

    @property
    def stackable(self) -> bool:
        return not self.blur.noise


class ToyPolicy(Policy):
    def __init__(self, config: ToyConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.noise = config.blur.noise
        self.line = nn.Linear(sizes.state, sizes.action)
        self.gain = nn.Parameter(torch.ones(sizes.action))
        self.offsets = nn.Parameter(torch.zeros(sizes.demos, sizes.action))

    def losses(self, batch, generator=None):
        seen = batch.observation.state
        if self.noise:
            seen = seen + self.noise * torch.randn(seen.shape, generator=generator)
        predicted = self.gain * self.line(seen) + self.offsets[batch.demo]
        error = (predicted - batch.action[:, 0]).square().mean()
        return Losses(error, {"loss/square": error})

    def groups(self):
        return [
            ParameterGroup(frozenset({"line.weight"})),
            ParameterGroup(frozenset({"line.bias"})),
            ParameterGroup(frozenset({"gain"}), scale=0.5, decays=False),
            ParameterGroup(frozenset({"offsets"}), rate=0.3, decays=False, rowwise=True),
        ]

    def act(self, seen, steering, generator=None):
        action = self.gain * self.line(seen.state)
        return action[:, None].expand(-1, self.config.chunk, -1)


def install(site: Path) -> None:
    """Make it known under its kind to whoever has `site` in their path."""
    about = site / "toy-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    points = f"[outtakes.policies]\n{ToyConfig.kind} = {__name__}:{ToyConfig.__name__}\n"
    (about / "entry_points.txt").write_text(points)
