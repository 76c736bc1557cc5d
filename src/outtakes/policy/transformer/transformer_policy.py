"""What policies share that see through ACT's encoder: what is observed as tokens, and encoded.

A token for each vector that is observed, and one for each cell of each camera's feature map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from outtakes.data.observation import Observation, Sizes
from outtakes.errors import ConfigError
from outtakes.policy.eyes.resnet import FEATURES, ResNet18
from outtakes.policy.policy import NOT_STORED, ParameterGroup, Policy, PolicyConfig
from outtakes.policy.precision import at_least_fp32
from outtakes.policy.transformer.layers import Encoder
from outtakes.policy.transformer.positions import sinusoid_2d
from outtakes.shapes import Float


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(PolicyConfig):
    """Shape of an encoder and a decoder of tokens. The defaults are ACT's.

    Raises:
        ConfigError: on a shape or rate that cannot work.
    """

    takes_maps: ClassVar[bool] = True
    width: int = 512
    """D, the width of every token."""
    heads: int = 8
    """H, attention heads."""
    encoder_layers: int = 4
    decoder_layers: int = 7
    feed_forward: int = 3200
    """Hidden width of the feed-forward blocks."""
    dropout: float = 0.1
    backbone_scale: float = 1.0
    """Rate of the image backbone, as a fraction of the network's."""
    backbone_weights: Path | None = field(default=None, metadata=NOT_STORED)
    """safetensors file of ImageNet weights for the ResNet-18, torchvision's names."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads or self.width % 4:
            raise ConfigError(
                f"width {self.width} with {self.heads} heads",
                remedy="choose a width divisible by 4 and by the number of heads",
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout {self.dropout}", remedy="choose it in [0, 1)")
        for name in ("encoder_layers", "decoder_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="choose at least 1")
        if not self.backbone_scale >= 0:
            raise ConfigError(f"backbone_scale {self.backbone_scale}", remedy="choose at least 0")

    @property
    def layer_shape(self) -> tuple[int, int, int, float]:
        """Width, heads, feed-forward width and dropout, as layers take them."""
        return self.width, self.heads, self.feed_forward, self.dropout

    @property
    def capturable(self) -> bool:
        """Always: shapes are those of the settings and the batch."""
        return True

    @property
    def stackable(self) -> bool:
        """Whether policies of several seeds can train as one program.

        Nothing random may happen inside the step, and convolutions gain nothing by it.
        """
        return not (self.cameras or self.dropout)


@dataclass(frozen=True)
class Memory:
    """The encoder's view of an observation, ready to be decoded."""

    tokens: Float[Tensor, "B M D"]
    positions: Float[Tensor, "M D"]


class TransformerPolicy(Policy):
    """A policy that encodes tokens of what is observed; families say in which order they build.

    Args:
        config: shape of the policy.
        sizes: what the dataset dictates.

    Raises:
        ConfigError: when there is nothing to observe.
    """

    state: nn.Linear | None
    environment_state: nn.Linear | None
    task: nn.Linear | None
    vector_positions: nn.Parameter
    backbone: ResNet18 | None
    image: nn.Conv2d | None
    map: nn.Linear | None
    encoder: Encoder

    def __init__(self, config: TransformerConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        if not (sizes.state or sizes.environment_state or config.views):
            raise ConfigError(
                "nothing to observe", remedy="give state, environment state or cameras"
            )
        self.shape = config
        self._image_positions: dict[tuple[object, ...], Tensor] = {}

    def _build_vectors(self) -> None:
        """Make what projects the vectors that are observed."""
        width, sizes = self.shape.width, self.sizes
        self.state = nn.Linear(sizes.state, width) if sizes.state else None
        self.environment_state = (
            nn.Linear(sizes.environment_state, width) if sizes.environment_state else None
        )
        # Of what is 1 at one place alone a learnt embedding.
        self.task = nn.Linear(sizes.tasks, width, bias=False) if sizes.tasks else None

    def _build_eyes(self, others: int = 0) -> None:
        """Make positions of the vectors, and what looks through the cameras.

        Args:
            others: tokens before those of the observation.
        """
        config = self.shape
        observed = (self.state, self.environment_state, self.task)
        vectors = others + sum(module is not None for module in observed)
        self.vector_positions = nn.Parameter(torch.randn(vectors, config.width))
        self.backbone = ResNet18(config.backbone_weights) if config.cameras else None
        self.image = nn.Conv2d(FEATURES, config.width, 1) if config.cameras else None
        channels = self.sizes.map_channels
        self.map = nn.Linear(channels, config.width) if channels else None

    def vectors(self, observation: Observation) -> list[Float[Tensor, "B D"]]:
        """A token for each vector that is observed."""
        tokens = []
        if self.state is not None:
            tokens.append(self.state(observation.state))
        if self.environment_state is not None:
            tokens.append(self.environment_state(observation.environment_state))
        if self.task is not None:
            tokens.append(self.task(observation.task))
        return tokens

    def encode_tokens(
        self,
        vectors: Sequence[Float[Tensor, "B D"]],
        observation: Observation,
        generator: torch.Generator | None = None,
    ) -> Memory:
        """Encode vectors and what the cameras see.

        Args:
            vectors: tokens, as many as there are vector positions.
            observation: of which to take the images.
            generator: source of dropout masks.
        """
        image_tokens, image_positions = self._encode_images(observation)
        # Between layers tokens are in fp32, whatever the precision of the products.
        sequence = at_least_fp32(torch.cat([torch.stack(list(vectors), dim=1), *image_tokens], 1))
        positions = torch.cat([self.vector_positions, *image_positions])
        return Memory(self.encoder(sequence, positions, None, generator), positions)

    def _encode_images(self, observation: Observation) -> tuple[list[Tensor], list[Tensor]]:
        """Each camera's feature map as (B, h·w, D) tokens, with their 2-D positions (h·w, D)."""
        tokens, positions = [], []
        for cells in self._maps(observation):
            tokens.append(cells.flatten(1, 2))
            height, width = cells.shape[1:3]
            positions.append(self._positions_of(height, width, cells))
        return tokens, positions

    def _maps(self, observation: Observation) -> list[Tensor]:
        """(B, h, w, D) of each camera: of the policy's own eyes, or of frozen ones."""
        config = self.shape
        if self.map is not None and config.eyes is not None:
            return [self.map(observation.maps[camera]) for camera in config.eyes.cameras]
        if self.backbone is None or self.image is None:
            return []
        found = self.backbone.each([observation.images[camera] for camera in config.cameras])
        return [self.image(features).permute(0, 2, 3, 1) for features in found]

    def _positions_of(self, height: int, width: int, like: Tensor) -> Tensor:
        """Positions of an image's cells, (h·w, D); kept, as no graph can copy from the CPU."""
        key = (height, width, like.device, like.dtype)
        if key not in self._image_positions:
            self._image_positions[key] = sinusoid_2d(height, width, self.shape.width).to(like)
        return self._image_positions[key]

    def groups(self) -> list[ParameterGroup]:
        """The network, and the image backbone."""
        names = frozenset(name for name, _ in self.named_parameters())
        backbone = frozenset(name for name in names if name.startswith("backbone."))
        groups = [
            ParameterGroup(names - backbone),
            ParameterGroup(backbone, scale=self.shape.backbone_scale),
        ]
        return [group for group in groups if group.names]


def initialise(*stacks: nn.Module) -> None:
    """Draw every matrix of these layers as in DETR and ACT (Glorot & Bengio 2010)."""
    for stack in stacks:
        for parameter in stack.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
