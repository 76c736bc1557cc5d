"""Whether demonstrations hold the same."""

from __future__ import annotations

import numpy as np

from outtakes.data.demo import Demo


def assert_same_demo(one: Demo, other: Demo) -> None:
    assert (one.episode_index, one.outcome) == (other.episode_index, other.outcome)
    for name in ("state", "environment_state", "action"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.images.keys() == other.images.keys()
    for camera, frames in one.images.items():
        np.testing.assert_array_equal(frames, other.images[camera])
