"""LeRobot's description of what a recording holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from outtakes.data.recording import Recording
from outtakes.errors import DatasetError

SMALLEST_IMAGE = 32
"""Pixels a side; below some 30 the AV1 encoder takes the whole process down."""


def describe_features(
    recording: Recording, names: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Feature name -> its dtype, shape and names, as LeRobot wants them.

    Args:
        recording: the first of a dataset.
        names: feature name -> names of its dimensions, where known.

    Raises:
        DatasetError: when a feature is of a kind that LeRobot cannot store.
    """
    return {
        name: _describe(name, array, names.get(name)) for name, array in recording.features.items()
    }


def _describe(name: str, array: np.ndarray, names: Sequence[str] | None) -> dict[str, Any]:
    if array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] == 3:
        return _describe_images(name, array)
    if array.dtype == bool and array.ndim == 1:
        return {"dtype": "bool", "shape": (1,), "names": None}
    if array.dtype == np.float32 and array.ndim == 2 and array.shape[1] > 0:
        given = None if names is None else list(names)
        return {"dtype": "float32", "shape": array.shape[1:], "names": given}
    raise DatasetError(
        f"{name} is {array.dtype} of shape {array.shape}",
        remedy="record float32 vectors, uint8 RGB images and booleans",
    )


def _describe_images(name: str, array: np.ndarray) -> dict[str, Any]:
    if min(array.shape[1:3]) < SMALLEST_IMAGE:
        raise DatasetError(
            f"{name} is {array.shape[1]} x {array.shape[2]} pixels",
            remedy=f"render at {SMALLEST_IMAGE} x {SMALLEST_IMAGE} or more",
        )
    axes = ["height", "width", "channels"]
    return {"dtype": "video", "shape": array.shape[1:], "names": axes}


def frame_shape(array: np.ndarray) -> tuple[int, ...]:
    """Shape of one frame's value; LeRobot has no scalars."""
    return array.shape[1:] or (1,)


def check_recording(recording: Recording, features: Mapping[str, Any], episode: int) -> None:
    """Raise a `DatasetError` unless a recording has these features and two frames."""
    found = {name: frame_shape(array) for name, array in recording.features.items()}
    expected = {name: tuple(feature["shape"]) for name, feature in features.items()}
    if found != expected:
        raise DatasetError(
            f"recording {episode} has features {found}, the first has {expected}",
            remedy="record every episode with the same features",
        )
    # LeRobot's streaming encoder has no statistics for one frame and then fails at the end.
    if len(recording) < 2:
        raise DatasetError(
            f"recording {episode} has one frame", remedy="record two or more, or leave it out"
        )
