"""Datasets as others record them, written by LeRobot itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

LENGTHS = (24, 31, 27, 40, 25, 29)
"""Frames of each episode; the even ones succeed."""


@dataclass(frozen=True)
class Camera:
    """How one camera is stored."""

    height: int
    width: int
    kind: str = "video"
    """"video" or "image"."""


@dataclass(frozen=True)
class Robot:
    """What a robot records."""

    fps: int = 20
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    """LeRobot feature name -> camera."""
    state: int = 6
    state_names: Sequence[str] | None = None
    action: int = 6
    tasks: Sequence[str] = ("fold",)
    """Told in turn."""
    lengths: Sequence[int] = LENGTHS
    outcome: str = "next.success"
    """Column that tells success at the last frame."""
    outcome_type: str = "bool"

    def features(self) -> dict[str, dict[str, Any]]:
        """LeRobot's description."""
        axes = ["height", "width", "channels"]
        vectors = {"observation.state": self.state, "action": self.action}
        names = {"observation.state": self.state_names and list(self.state_names), "action": None}
        return {
            **{
                name: {"dtype": c.kind, "shape": (c.height, c.width, 3), "names": axes}
                for name, c in self.cameras.items()
            },
            **{
                name: {"dtype": "float32", "shape": (size,), "names": names[name]}
                for name, size in vectors.items()
                if size
            },
            self.outcome: {"dtype": self.outcome_type, "shape": (1,), "names": None},
        }

    def frames(self) -> list[dict[str, Any]]:
        """Every frame of every episode."""
        return [self.frame(e, t) for e, length in enumerate(self.lengths) for t in range(length)]

    def frame(self, episode: int, t: int) -> dict[str, Any]:
        """One frame of one episode, the same whenever it is asked for."""
        rng = np.random.default_rng([episode, t])
        success = episode % 2 == 0 and t == self.lengths[episode] - 1
        vectors = {"observation.state": self.state, "action": self.action}
        return {
            **{name: picture(c, episode, t) for name, c in self.cameras.items()},
            **{n: rng.normal(size=size).astype(np.float32) for n, size in vectors.items() if size},
            self.outcome: np.array([success], dtype=self.outcome_type),
            "task": self.tasks[episode % len(self.tasks)],
        }


def picture(camera: Camera, episode: int, t: int) -> np.ndarray:
    """(height, width, 3) uint8: a plain frame whose brightness tells the time."""
    level = 30 + 20 * (episode % 6) + 2 * (t % 50)
    return np.full((camera.height, camera.width, 3), level, dtype=np.uint8)


def record(root: Path, robot: Robot) -> Path:
    """Write a LeRobotDataset v3.0."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset.create(
        f"local/{root.name}",
        robot.fps,
        robot.features(),
        root=root,
        video_backend="pyav",
        streaming_encoding=True,
        encoder_queue_maxsize=0,
        use_videos=any(c.kind == "video" for c in robot.cameras.values()),
    )
    for episode, length in enumerate(robot.lengths):
        for t in range(length):
            dataset.add_frame(robot.frame(episode, t))
        dataset.save_episode()
    dataset.finalize()
    return root
