"""Settings of eyes that never learn: a network's feature maps in place of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from outtakes.errors import ConfigError, UnknownName

Form = Literal["vector", "tokens"]
LITE0 = "tf_efficientnet_lite0"
"""EfficientNet-Lite0 as timm calls it; its ImageNet weights come with the extra `eyes`."""
LITE0_WEIGHTS = "ec70883df081e289976bd2439e30329b571e062cf837f6eeb915f8b87434f597"
"""Identity of those weights; see `outtakes.policy.eyes.imagenet.identity`."""
RANDOM = "random-"
"""Begins the identity of weights that were never trained: random-<seed>."""


@dataclass(frozen=True, kw_only=True)
class FrozenEyes:
    """How pictures become features by a network that never learns.

    The default is what docs/eyes.md measures: block 10 of EfficientNet-Lite0.

    Raises:
        ConfigError: on a number that cannot work.
        UnknownName: on an unknown form.
    """

    cameras: tuple[str, ...] = ()
    """Cameras they look through."""
    form: Form = "vector"
    """"vector": main components of a camera's whole map, in place of the environment state; or
    "tokens": main components of each of its cells, a token each for the policy's encoder."""
    network: str = LITE0
    """timm's name of the network."""
    weights: str = LITE0_WEIGHTS
    """Identity of its weights; "random-<seed>" for a network that was never trained."""
    layer: int = 3
    """Which of the maps that timm's `forward_intermediates` gives: of EfficientNet-Lite0 the output
    of block 0, 2, 4, 10 or 15."""
    components: int = 64
    """K, main components kept of each camera, or of each cell."""
    image_size: int = 96
    """Pixels on a side of the square that pictures are averaged down to."""

    def __post_init__(self) -> None:
        for name, least in (("layer", 0), ("components", 1), ("image_size", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"{name} {getattr(self, name)}", remedy=f"choose at least {least}"
                )
        if self.form not in ("vector", "tokens"):
            raise UnknownName("form of frozen eyes", self.form, ("vector", "tokens"))

    @property
    def key(self) -> str:
        """Name of a camera's features, by all that decides them."""
        return f"{self.network}.{self.weights[:16]}.{self.layer}.{self.image_size}"

    @property
    def vector(self) -> int:
        """Numbers that stand in place of the environment state."""
        return len(self.cameras) * self.components if self.form == "vector" else 0

    @property
    def map_channels(self) -> int:
        """Numbers in each cell that is a token; 0 when none is."""
        return self.components if self.form == "tokens" else 0

    def of_camera(self, camera: str) -> slice:
        """Where a camera's components are in the vector."""
        first = self.cameras.index(camera) * self.components
        return slice(first, first + self.components)

    def describe(self) -> str:
        """What they are, in a few words for people."""
        weights = "random" if self.weights.startswith(RANDOM) else self.weights[:8]
        of = "each cell" if self.form == "tokens" else "each camera"
        return (
            f"frozen {self.network} (weights {weights}), map {self.layer} at {self.image_size} "
            f"pixels, {self.components} components of {of}"
        )
