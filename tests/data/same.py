"""Whether demonstrations hold the same."""

from __future__ import annotations

import numpy as np

from outtakes.data.demo import Demo, DemoSet
from tests.data.episodes import LENGTHS, frame

CODEC_LOSS = 6.0
"""Mean absolute error of a decoded frame, of 255; two frames of an episode differ by more than
that wherever the square is."""


def assert_same_demo(one: Demo, other: Demo) -> None:
    assert (one.episode_index, one.outcome) == (other.episode_index, other.outcome)
    for name in ("state", "environment_state", "action"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.images.keys() == other.images.keys()
    for camera, frames in one.images.items():
        np.testing.assert_array_equal(frames, other.images[camera])


def assert_frames_match(demos: DemoSet, camera: str = "overhead") -> None:
    """Every decoded frame is closer to its own original than to any other of all episodes."""
    originals = np.stack([frame(e, t) for e, n in enumerate(LENGTHS) for t in range(n)])
    decoded = demos.images[camera].astype(np.float32)
    assert decoded.shape == originals.shape
    flat = originals.reshape(len(originals), -1).astype(np.float32)
    for row, image in enumerate(decoded):
        distance = np.abs(flat - image.reshape(-1)).mean(axis=1)
        assert int(np.argmin(distance)) == row
        assert distance[row] < CODEC_LOSS
