"""Networks of frozen eyes, as timm defines them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from outtakes.errors import CheckpointError, ConfigError, MachineError, UnknownName
from outtakes.policy.eyes.frozen import LITE0, LITE0_WEIGHTS, RANDOM, FrozenEyes
from outtakes.policy.eyes.imagenet import EXTRA, identity, lite0_weights
from outtakes.shapes import Float, UInt8


class FrozenNetwork(nn.Module):
    """The network of frozen eyes up to the map they look at.

    Args:
        eyes: which network, weights and map.

    Raises:
        CheckpointError: when the weights that can be had are not those of the settings.
        ConfigError: when the network has no such map, or is unknown.
        MachineError: when the extra is not installed, or weights cannot be had.
    """

    def __init__(self, eyes: FrozenEyes) -> None:
        super().__init__()
        self.eyes, self.model = eyes, _model(eyes)
        mean, deviation = (torch.tensor(self.model.pretrained_cfg[k]) for k in ("mean", "std"))
        self.register_buffer("mean", mean * 255, persistent=False)
        self.register_buffer("deviation", deviation * 255, persistent=False)
        self.mean: Tensor
        self.deviation: Tensor
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(
        self, pictures: UInt8[Tensor, "B height width 3"]
    ) -> Float[Tensor, "B h w channels"]:
        """The map of uint8 pictures."""
        x = ((pictures - self.mean) / self.deviation).permute(0, 3, 1, 2)
        (found,) = self.model.forward_intermediates(
            x, indices=[self.eyes.layer], stop_early=True, intermediates_only=True
        )
        return found.permute(0, 2, 3, 1)

    def look(self, pictures: np.ndarray) -> np.ndarray:
        """(B, h, w, C) float16 map of (B, height, width, 3) uint8 pictures of any size.

        Raises:
            ConfigError: when the pictures are of another kind.
        """
        check_pictures(pictures)
        shrunk = torch.from_numpy(resized(pictures, self.eyes.image_size))
        return self(shrunk.to(self.mean.device)).half().contiguous().cpu().numpy()


def check_pictures(pictures: np.ndarray, where: str | None = None) -> None:
    """Refuse pictures that eyes cannot look at.

    Raises:
        ConfigError: when they have not three channels of 8 bits.
    """
    if pictures.dtype != np.uint8:
        raise ConfigError(
            f"pictures of {pictures.dtype}", where=where, remedy="give them with 8 bits a channel"
        )
    if pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise ConfigError(
            f"pictures of shape {pictures.shape[1:]}",
            where=where,
            remedy="give (height, width, 3): three channels, red first",
        )


def resized(pictures: np.ndarray, size: int) -> np.ndarray:
    """(B, size, size, 3), averaged over areas as a dataset's are when it is read."""
    if pictures.shape[1:3] == (size, size):
        return np.ascontiguousarray(pictures)
    from outtakes.data.lerobot.video import resize

    return np.stack([resize(picture, size) for picture in pictures])


def pretrained(network: str) -> str:
    """Identity of a network's trained weights, on the hub unless they come with the extra.

    Raises:
        MachineError: when they cannot be had.
        UnknownName: when timm knows no such network.
    """
    if network == LITE0:
        return LITE0_WEIGHTS
    return identity(_from_hub(network, {}).state_dict())


def _model(eyes: FrozenEyes) -> Any:
    timm = _timm(eyes.network)
    size = _size_arguments(timm, eyes)
    if eyes.weights.startswith(RANDOM):
        model = _untrained(timm, eyes, size)
    elif eyes.network == LITE0:
        model = timm.create_model(LITE0, pretrained=False)
        model.load_state_dict(lite0_weights(list(model.state_dict())), strict=False)
    else:
        model = _from_hub(eyes.network, size)
    _check_weights(eyes, model)
    _check_layer(eyes, model)
    return model


def _untrained(timm: Any, eyes: FrozenEyes, size: dict[str, int]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(eyes.weights.removeprefix(RANDOM)))
        return timm.create_model(eyes.network, pretrained=False, **size)


def _size_arguments(timm: Any, eyes: FrozenEyes) -> dict[str, int]:
    """A transformer's positions are made for one size of pictures."""
    config = timm.get_pretrained_cfg(eyes.network)
    return {"img_size": eyes.image_size} if config and config.fixed_input_size else {}


def _timm(network: str) -> Any:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise MachineError("frozen eyes need timm", remedy=EXTRA) from error
    # The name may come from a checkpoint: only networks of timm's own, never a path or address.
    if not timm.is_model(network) or ":" in network or "/" in network:
        raise UnknownName("network", network, timm.list_models())
    return timm


def _from_hub(network: str, size: dict[str, int]) -> Any:
    try:
        return _timm(network).create_model(network, pretrained=True, **size)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise MachineError(
            f"no weights of {network} ({reason})",
            remedy=f"connect to the hub, or use {LITE0}, whose weights are here",
        ) from error


def _check_weights(eyes: FrozenEyes, model: Any) -> None:
    if eyes.weights.startswith(RANDOM):
        return
    found = identity(model.state_dict())
    if found != eyes.weights:
        raise CheckpointError(
            f"the eyes are of other weights: {eyes.network} {eyes.weights[:8]} was trained with, "
            f"{found[:8]} is here",
            remedy="install the version of the weights it was trained with, or train again",
        )


def _check_layer(eyes: FrozenEyes, model: Any) -> None:
    count = len(model.feature_info)
    if eyes.layer >= count:
        raise ConfigError(
            f"layer {eyes.layer} of {eyes.network}", remedy=f"choose one below {count}"
        )
