"""How many bytes a ranking may use, and how many its parts need.

The needs are upper estimates in fp32 of what lives at the same time, counted from the shapes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from outtakes.policy.act.act import ActConfig, ActPolicy
from outtakes.policy.eyes.resnet import STRIDE
from outtakes.ranking.attention.cross_attention import folds

_FLOAT = 4
_BYTES_PER_PIXEL = 320
"""Of ResNet-18: the normalised image and four copies of the 64 channels at half its size."""


@dataclass(frozen=True)
class Budget:
    """Bytes to compute in, whatever the dataset; they set speed and memory, never the result."""

    held: int
    """For what is kept of the time steps at hand, and to encode them."""
    working_set: int
    """For one pass through the decoder."""

    @staticmethod
    def of(device: torch.device | str) -> Budget:
        """What suits a device: a pass near the caches of a CPU, many pairs at once on a GPU."""
        if torch.device(device).type == "cpu":
            return Budget(held=256 << 20, working_set=16 << 20)
        return Budget(held=2 << 30, working_set=1 << 30)


def memory_tokens(policy: ActPolicy, image_sizes: Iterable[tuple[int, int]]) -> int:
    """M, tokens the encoder makes of one observation with images, or maps of frozen eyes, of these
    heights and widths."""
    stride = STRIDE if policy.map is None else 1
    cells = sum(-(-height // stride) * -(-width // stride) for height, width in image_sizes)
    return len(policy.vector_positions) + cells


def encoding_bytes(config: ActConfig, tokens: int, pixels: int) -> int:
    """Bytes to encode one observation of this many tokens and pixels."""
    token = 10 * config.width + 2 * config.feed_forward + 3 * config.heads * tokens
    return _FLOAT * tokens * token + _BYTES_PER_PIXEL * pixels


def held_bytes(config: ActConfig, tokens: int) -> int:
    """Bytes kept for one time step while many PBs are compared at it."""
    copies = config.heads if folds(tokens, config.width, config.heads) else 1
    crossing = 2 * tokens * config.width * copies
    reference = 2 * config.heads * config.chunk**2
    layers = config.decoder_layers
    return _FLOAT * ((layers - 1) * crossing + layers * reference + tokens * config.width)


def pair_bytes(config: ActConfig, tokens: int) -> int:
    """Bytes one pass through the decoder touches for one pair of time step and PB."""
    row = 8 * config.width + config.feed_forward + 4 * config.heads * config.chunk
    if folds(tokens, config.width, config.heads):
        row += 2 * config.heads * tokens
    return _FLOAT * config.chunk * row
