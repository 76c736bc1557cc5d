"""Frozen eyes fitted to demonstrations: what stands in place of pictures in training and acting."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from outtakes.data.demo import FEATURES, IMAGES, DemoSet
from outtakes.data.projection import Projection, flat_rows, spread
from outtakes.errors import CheckpointError, ConfigError
from outtakes.policy.eyes.frozen import FrozenEyes
from outtakes.policy.eyes.network import FrozenNetwork, check_pictures, resized
from outtakes.shapes import Float


@dataclass(frozen=True)
class Sight:
    """Frozen eyes and the projection of each camera, fitted on training demonstrations alone."""

    eyes: FrozenEyes
    projections: Mapping[str, Projection]
    """Camera -> main components of its features."""

    @staticmethod
    def fit(eyes: FrozenEyes, demos: DemoSet) -> Sight:
        """Fit the projections on demonstrations that the eyes have looked at."""
        rows = spread(demos.rows())
        return Sight(eyes, {c: _fitted(eyes, demos.features[c], rows) for c in eyes.cameras})

    def seen(self, demos: DemoSet) -> DemoSet:
        """The demonstrations with their environment state replaced by what the eyes see.

        Only rows that they own are looked up; others are 0.
        """
        rows = demos.rows()
        vectors = np.zeros((len(demos.action), self.eyes.vector), np.float32)
        if self.eyes.form == "vector":
            for camera, projection in self.projections.items():
                found = projection.of_rows(demos.features[camera], rows)
                vectors[rows, self.eyes.of_camera(camera)] = found
        same = replace(demos, environment_state=vectors, checked=True)
        return same.cached_in(demos.cache)

    @property
    def maps(self) -> Mapping[str, Projection]:
        """Camera -> components that are seen in each cell; empty where the whole is a vector."""
        return self.projections if self.eyes.form == "tokens" else {}

    def vector(self, features: Mapping[str, Tensor]) -> Float[Tensor, "B E"]:
        """What stands in place of the environment state.

        Args:
            features: camera -> (B, h, w, C).
        """
        some = next(iter(features.values()))
        if self.eyes.form == "tokens":
            return some.new_zeros(len(some), 0, dtype=torch.float32)
        parts = [p.of(features[camera].flatten(1)) for camera, p in self.projections.items()]
        return torch.cat(parts, dim=-1)

    def cells(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Camera -> (B, h, w, K), what is seen in each cell; empty where the whole is a vector."""
        return {camera: basis.of(features[camera]) for camera, basis in self.maps.items()}

    def to(self, device: torch.device | str) -> Sight:
        """The same sight on another device."""
        return Sight(self.eyes, {c: p.to(device) for c, p in self.projections.items()})

    def tensors(self) -> dict[str, Tensor]:
        """Flat name -> tensor, for the checkpoint."""
        named = [projection.tensors(camera) for camera, projection in self.projections.items()]
        return {name: tensor for tensors in named for name, tensor in tensors.items()}

    @staticmethod
    def from_tensors(eyes: FrozenEyes, tensors: dict[str, Tensor]) -> Sight:
        """The inverse of `tensors`.

        Raises:
            CheckpointError: when a camera's are missing.
        """
        try:
            found = {camera: Projection.from_tensors(tensors, camera) for camera in eyes.cameras}
        except KeyError as error:
            raise CheckpointError(
                f"no projection {error} of its eyes in the checkpoint", remedy="train again"
            ) from error
        return Sight(eyes, found)


def _fitted(eyes: FrozenEyes, features: np.ndarray, rows: np.ndarray) -> Projection:
    values = flat_rows(features, rows)
    if eyes.form == "tokens":
        cells = values.reshape(-1, features.shape[-1])
        values = cells[torch.from_numpy(spread(np.arange(len(cells)), 8 * len(rows)))]
    return Projection.fit(values.numpy(), eyes.components)


class Gaze:
    """Looks through frozen eyes at pictures as they come; their network is loaded at the first.

    Args:
        sight: the eyes.
        device: where to compute.
    """

    def __init__(self, sight: Sight, device: torch.device) -> None:
        self.sight, self.device = sight.to(device), device
        self._told: set[tuple[str, tuple[int, ...]]] = set()

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras it looks through."""
        return self.sight.eyes.cameras

    @cached_property
    def _network(self) -> FrozenNetwork:
        return FrozenNetwork(self.sight.eyes).to(self.device)

    def look(self, raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same raw observations with features in place of the pictures they are made from.

        All pictures go through the network together; what has been looked at stays as it is.

        Args:
            raw: LeRobot feature name -> (B, ...) array.

        Raises:
            CheckpointError: when the weights that can be had are others than in training.
            ConfigError: when a camera's picture is missing, or of another kind.
            MachineError: when the network is not installed.
        """
        left = [c for c in self.cameras if f"{FEATURES}{c}" not in raw]
        if not left:
            return dict(raw)
        pictures = [self._picture(raw, camera) for camera in left]
        maps = np.split(self._network.look(np.concatenate(pictures)), len(left))
        seen = {n: array for n, array in raw.items() if n.removeprefix(IMAGES) not in left}
        return seen | {f"{FEATURES}{c}": found for c, found in zip(left, maps, strict=True)}

    def features(self, raw: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """Camera -> (B, h, w, C) features, of what `look` gives."""
        seen = self.look(raw)
        # A memory map is read-only, which torch does not take without a warning.
        maps = {
            c: np.require(seen[f"{FEATURES}{c}"], requirements=("C", "W")) for c in self.cameras
        }
        return {camera: torch.from_numpy(own).to(self.device) for camera, own in maps.items()}

    def _picture(self, raw: Mapping[str, np.ndarray], camera: str) -> np.ndarray:
        name = f"{IMAGES}{camera}"
        if name not in raw:
            found = sorted(n.removeprefix(IMAGES) for n in raw if n.startswith(IMAGES))
            raise ConfigError(
                f"no picture of camera {camera!r}, which the policy was trained with; there is "
                f"{', '.join(found) or 'none'}",
                remedy="give the pictures of its cameras",
            )
        check_pictures(raw[name], name)
        size, trained = raw[name].shape[1:3], self.sight.eyes.image_size
        if size != (trained, trained) and (camera, size) not in self._told:
            self._told.add((camera, size))
            logging.getLogger(__name__).warning(
                "camera %r: pictures of %d x %d are resized to %d x %d, as in training",
                camera,
                *size,
                trained,
                trained,
            )
        return resized(raw[name], trained)
