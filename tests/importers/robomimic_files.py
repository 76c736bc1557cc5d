"""Files as robomimic writes them, for tests to import and to break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from tests.data.episodes import LENGTHS, frame

STATE = {
    "robot0_joint_pos": 7,
    "robot0_eef_pos": 3,
    "robot0_eef_quat": 4,
    "robot0_gripper_qpos": 2,
}
"""The observations that make up the state by default, and their sizes."""
OTHERS = {"object": 10, "robot0_joint_vel": 7}
SETTINGS = {
    "env_name": "NutAssemblySquare",
    "env_kwargs": {"control_freq": 20, "robots": ["Panda"]},
}


def opened(path: Path, mode: Literal["r", "a", "w"] = "a") -> Any:
    """An HDF5 file, whose members h5py types too narrowly to edit them."""
    return h5py.File(path, mode)


def write_demos(path: Path, *, images: bool = True, lengths: tuple[int, ...] = LENGTHS) -> Path:
    """Demonstrations of random numbers and a moving square; the even ones succeed."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(SETTINGS)
        data.attrs["total"] = sum(lengths)
        for episode, length in enumerate(lengths):
            _write_demo(data.create_group(f"demo_{episode}"), episode, length, images=images)
    return path


def _write_demo(demo: Any, episode: int, length: int, *, images: bool) -> None:
    rng = np.random.default_rng(episode)
    demo.attrs["num_samples"] = length
    demo["actions"] = rng.normal(size=(length, 7))
    demo["dones"] = np.arange(length) == length - 1
    demo["rewards"] = ((np.arange(length) >= length - 2) & (episode % 2 == 0)).astype(float)
    for key, size in {**STATE, **OTHERS}.items():
        demo[f"obs/{key}"] = rng.normal(size=(length, size))
    if images:
        film = np.stack([frame(episode, t) for t in range(length)])
        demo["obs"].create_dataset(
            "agentview_image", data=film, chunks=(1, *film.shape[1:]), compression="gzip"
        )


def add_mask(path: Path, name: str, demos: list[str]) -> None:
    """Write a filter key."""
    with opened(path) as file:
        file[f"mask/{name}"] = np.array(demos, dtype="S")


def without_rewards(path: Path) -> Path:
    """Take the rewards out."""
    with opened(path) as file:
        for demo in file["data"].values():
            del demo["rewards"]
    return path
