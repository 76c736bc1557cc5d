"""Settings of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from outtakes.errors import ConfigError

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast to learn."""

    steps: int = 100_000
    """Optimiser steps; the paper's 10,000 epochs of 100 demonstrations in batches of 10."""
    batch_size: int = 10
    """B, samples a step."""
    learning_rate: float = 1e-5
    """Peak rate of the network, as in ACT. A policy's parameters may have rates of their own."""
    weight_decay: float = 1e-4
    """AdamW's, on all parameters but those that the policy says do not decay."""
    warmup: int = 0
    """Steps of linear warm-up."""
    schedule: str = "constant"
    """"constant" or "cosine", after the warm-up."""
    clip: float = 10.0
    """Greatest norm of the gradient."""
    precision: Precision = "fp32"
    """Of the forward and backward pass; weights, moments, losses and logits stay in fp32."""
    balanced: bool = False
    """Draw successes and failures equally often (a control)."""
    finish: int = 0
    """The last so many steps draw successes alone: trained on everything, then on successes (a
    control)."""
    ema: float = 0.0
    """Decay of the exponential moving average of the weights that the policy acts and ranks by; 0
    for the weights as they are. See `MovingAverage`."""
    save_every: int = 1_000
    """Steps between checkpoints."""
    log_every: int = 100
    """Steps between logged scalars."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="choose at least 1")
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="choose more than 0")
        for name in ("weight_decay", "warmup", "finish"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="choose at least 0")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema {self.ema}", remedy="choose it in [0, 1)")
        if self.precision not in ("fp32", "bf16"):
            raise ConfigError(f"precision {self.precision!r}", remedy="choose fp32 or bf16")
        if self.schedule not in ("constant", "cosine"):
            raise ConfigError(f"schedule {self.schedule!r}", remedy="choose constant or cosine")
