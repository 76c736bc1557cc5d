"""Folders as ALOHA and ACT write them, for tests to import and to break."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.episodes import LENGTHS, frame
from tests.importers.robomimic_files import opened


def write_episodes(folder: Path, *, compress: bool = False, lengths: tuple = LENGTHS) -> Path:
    """`episode_0.hdf5` and so on, of random numbers and a moving square."""
    for episode, length in enumerate(lengths):
        write_episode(folder / f"episode_{episode}.hdf5", episode, length, compress=compress)
    return folder


def write_episode(path: Path, episode: int, length: int, *, compress: bool = False) -> Path:
    """One file."""
    rng = np.random.default_rng(episode)
    path.parent.mkdir(parents=True, exist_ok=True)
    film = np.stack([frame(episode, t) for t in range(length)])
    with opened(path, "w") as file:
        file.attrs["sim"] = False
        file["action"] = rng.normal(size=(length, 14)).astype(np.float32)
        for name in ("qpos", "qvel", "effort"):
            file[f"observations/{name}"] = rng.normal(size=(length, 14))
        if compress:
            file.attrs["compress"] = True
            rows, sizes = padded_jpegs(film)
            file["observations/images/top"] = rows
            file["compress_len"] = sizes[None].astype(float)
        else:
            file["observations/images/top"] = film
    return path


def padded_jpegs(film: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, longest) uint8 JPEG files padded with zeros, and their (T,) lengths."""
    files = [jpeg(image) for image in film]
    rows = np.zeros((len(files), max(map(len, files))), np.uint8)
    for row, content in zip(rows, files, strict=True):
        row[: len(content)] = np.frombuffer(content, np.uint8)
    return rows, np.array([len(content) for content in files])


def jpeg(image: np.ndarray) -> bytes:
    """A JPEG file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=50)
    return content.getvalue()
