"""Features made of stored simulator states, where a file of robosuite holds no observations or the
user wants pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from outtakes.data.lerobot.layout import CAMERA_PREFIX
from outtakes.errors import DatasetError
from outtakes.importers.hdf5 import Node

if TYPE_CHECKING:
    from outtakes.sim.replay import Replay

_REMEDY = "export it with states and model_file, or leave it out with --skip-bad"


class Stage:
    """The scene of one demonstration after another; built anew only where it differs."""

    def __init__(self) -> None:
        self._xml, self._replay = "", None

    def scene(self, demo: Node) -> Replay:
        """The scene of a demonstration.

        Raises:
            DatasetError: when it stores none, or it cannot be built here.
        """
        from outtakes.sim.replay import Replay

        xml = demo.attribute("model_file")
        if not isinstance(xml, str):
            raise DatasetError("no attribute model_file", where=demo.where, remedy=_REMEDY)
        if self._replay is None or xml != self._xml:
            if self._replay is not None:
                self._replay.close()
            self._replay, self._xml = Replay(xml, demo.where), xml
        return self._replay


@dataclass(frozen=True)
class Replayed:
    """What is made of the states of every demonstration."""

    vectors: Mapping[str, Sequence[str]]
    """Feature -> observations of `Replay.observe` joined into it."""
    widths: Mapping[str, Sequence[int]]
    """Feature -> the size of each of these observations."""
    cameras: Sequence[str]
    """Cameras to render."""
    size: int
    """Side of the pictures, pixels."""

    @property
    def origins(self) -> dict[str, list[str]]:
        """Feature -> what it is made of."""
        images = {f"{CAMERA_PREFIX}{camera}": ["states, rendered"] for camera in self.cameras}
        observed = {name: [f"states, {k}" for k in keys] for name, keys in self.vectors.items()}
        return {**observed, **images}

    @property
    def dimension_names(self) -> dict[str, list[str]]:
        """Feature -> a name for each of its dimensions."""
        return {
            feature: [
                f"{key}_{i}"
                for key, width in zip(keys, self.widths[feature], strict=True)
                for i in range(width)
            ]
            for feature, keys in self.vectors.items()
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Feature -> shape of one frame."""
        images = {f"{CAMERA_PREFIX}{camera}": (self.size, self.size, 3) for camera in self.cameras}
        return {**{name: (sum(widths),) for name, widths in self.widths.items()}, **images}

    def check(self, demo: Node) -> None:
        """Refuse a demonstration without a state for every action, where states are needed.

        Raises:
            DatasetError: when it lacks some.
        """
        if not (self.vectors or self.cameras):
            return
        states, actions = demo.array("states"), demo.array("actions")
        if demo.attribute("model_file") is None or len(states) != len(actions):
            raise DatasetError(
                f"{len(states)} states for {len(actions)} actions, or no model_file",
                where=demo.where,
                remedy=_REMEDY,
            )

    def read(self, demo: Node, stage: Stage) -> dict[str, np.ndarray]:
        """Feature -> (T, ...) array.

        Raises:
            DatasetError: when states and scene do not belong together, or a scene differs from
                the first one in what can be observed.
        """
        if not (self.vectors or self.cameras):
            return {}
        states, scene = _read_states(demo), stage.scene(demo)
        observed = scene.observe(states)
        vectors = {name: _join(observed, keys, demo) for name, keys in self.vectors.items()}
        images = {
            f"{CAMERA_PREFIX}{camera}": scene.film(states, camera, self.size)
            for camera in self.cameras
        }
        features = {**vectors, **images}
        found = {name: array.shape[1:] for name, array in features.items()}
        if found != self.shapes:
            raise DatasetError(
                f"the scene gives {found}, the first {self.shapes}",
                where=demo.where,
                remedy="import them apart, or leave it out with --skip-bad",
            )
        return features


def observe_first(demo: Node, stage: Stage) -> dict[str, int]:
    """Observation -> its size, in the scene of a demonstration."""
    observed = stage.scene(demo).observe(_read_states(demo)[:1])
    return {name: values.shape[1] for name, values in observed.items()}


def _read_states(demo: Node) -> np.ndarray:
    array = demo.array("states")
    states = array.read()
    if states.dtype.kind != "f" or states.ndim != 2 or not np.isfinite(states).all():
        raise DatasetError(
            f"states are {states.dtype} of shape {states.shape}, or not finite",
            where=array.where,
            remedy=_REMEDY,
        )
    return states


def _join(observed: Mapping[str, np.ndarray], keys: Iterable[str], demo: Node) -> np.ndarray:
    for key in keys:
        if key not in observed:
            raise DatasetError(
                f"the scene has no {key}", where=demo.where, remedy="leave it out with --skip-bad"
            )
    return np.concatenate([observed[key] for key in keys], axis=1)
