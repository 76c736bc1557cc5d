"""Recordings whose every frame can be told from every other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from outtakes.data.recording import Recording

LENGTHS = (12, 15, 20, 13, 18, 14)
"""Frames of each episode; the even ones succeed."""

SIZE = 64


def frame(episode: int, t: int) -> np.ndarray:
    """(64, 64, 3) uint8: a bright square whose place tells the episode and the time."""
    image = np.full((SIZE, SIZE, 3), 40, dtype=np.uint8)
    top, left = 2 + 8 * episode, 2 + 2 * t
    image[top : top + 10, left : left + 10] = 230
    return image


def recording(episode: int, length: int, cameras: tuple[str, ...] = ("overhead",)) -> Recording:
    """An episode of random numbers and a moving square."""
    rng = np.random.default_rng(episode)
    images = {
        f"observation.images.{camera}": np.stack([frame(episode, t) for t in range(length)])
        for camera in cameras
    }
    success = np.zeros(length, dtype=bool)
    success[-1] = episode % 2 == 0
    return Recording(
        features={
            "observation.state": rng.normal(size=(length, 14)).astype(np.float32),
            "observation.environment_state": rng.normal(size=(length, 7)).astype(np.float32),
            **images,
            "action": rng.normal(size=(length, 7)).astype(np.float32),
            "next.success": success,
        },
        task="lift the cube",
        metadata={"seed": episode, "strategy": "grasp"},
    )


def without_poses(episode: Recording) -> Recording:
    """The same episode as a robot without a tracker records it."""
    return _without(episode, "observation.environment_state")


def without_camera(episode: Recording) -> Recording:
    """The same episode unseen."""
    return _without(episode, "observation.images.overhead")


def _without(episode: Recording, feature: str) -> Recording:
    kept = {name: array for name, array in episode.features.items() if name != feature}
    return replace(episode, features=kept)
