"""Recordings whose frames say in black and white which they are, to a program that looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from outtakes.data.recording import Recording

CELL = 16
BITS = 8
FPS = 20
LENGTHS = (50, 40, 45, 60, 41, 44)
"""Frames of each episode; the even ones succeed."""
CAMERAS = ("overhead", "wrist")


def coded_frame(number: int, episode: int) -> np.ndarray:
    """(32, 128, 3) uint8: the frame's number in binary above the episode's, a cell a bit."""
    bits = [[value >> bit & 1 for bit in range(BITS)] for value in (number, episode)]
    image = np.kron(np.array(bits, dtype=np.uint8), np.full((CELL, CELL), 255, np.uint8))
    return np.repeat(image[:, :, None], 3, axis=2)


READ_CODE = """picture => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 128, height: 32 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, 128, 32);
  const { data } = context.getImageData(0, 0, 128, 32);
  const read = (y) => {
    let value = 0;
    for (let bit = 0; bit < 8; bit++) {
      if (data[4 * (128 * y + 16 * bit + 8)] > 127) value += 1 << bit;
    }
    return value;
  };
  return { frame: read(8), episode: read(24) };
}"""
"""What a video or an image in the page shows: `{frame, episode}`."""


def coded_recording(episode: int, length: int, cameras: tuple[str, ...] = CAMERAS) -> Recording:
    """One episode, every camera showing the same."""
    frames = np.stack([coded_frame(t, episode) for t in range(length)])
    success = np.zeros(length, dtype=bool)
    success[-1] = episode % 2 == 0
    return Recording(
        features={
            **{f"observation.images.{camera}": frames for camera in cameras},
            "observation.state": np.zeros((length, 2), np.float32),
            "action": np.zeros((length, 2), np.float32),
            "next.success": success,
        },
        task=f"count to {length}",
    )


def write_pictures(root: Path, lengths: tuple[int, ...]) -> Path:
    """The same as a dataset of stored pictures and no outcomes, which LeRobot alone can write."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from lerobot.utils.utils import SuppressProgressBars

    picture = {"dtype": "image", "shape": (32, 128, 3), "names": ["height", "width", "channels"]}
    dataset = LeRobotDataset.create(
        repo_id="local/pictures",
        fps=FPS,
        root=root,
        features={
            "observation.images.top": picture,
            "action": {"dtype": "float32", "shape": (1,), "names": None},
        },
    )
    for episode, length in enumerate(lengths):
        for t in range(length):
            frame = {"observation.images.top": coded_frame(t, episode)}
            dataset.add_frame({**frame, "action": np.zeros(1, np.float32), "task": "count"})
        with SuppressProgressBars():
            dataset.save_episode()
    dataset.finalize()
    return root
