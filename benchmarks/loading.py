"""Samples into the trainer beside LeRobotDataset and DataLoader on mp4."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from benchmarks.side_by_side import Row, Side, compare, copy_peak
from outtakes.data.batches import DeviceDemos, Sampler
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.lerobot.write import write_dataset
from outtakes.data.normalize import Normalizer
from outtakes.data.reading import Reading
from outtakes.data.recording import Recording

CAMERAS, SIZE, FPS, CHUNK, BATCH = ("overhead", "wrist"), 224, 20, 100, 10


@contextmanager
def dataset(episodes: int = 8, frames: int = 60) -> Iterator[Path]:
    """A LeRobot dataset of mp4 as LeRobot writes it, two cameras of 224²."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        recordings = (_recording(rng, frames, episode % 2 == 0) for episode in range(episodes))
        yield write_dataset(Path(folder) / "dataset", recordings, fps=FPS)


def _recording(rng: np.random.Generator, frames: int, success: bool) -> Recording:
    sizes = {"observation.state": 14, "observation.environment_state": 7, "action": 7}
    vectors = {n: rng.normal(size=(frames, d)).astype(np.float32) for n, d in sizes.items()}
    films = {f"observation.images.{camera}": _film(rng, frames) for camera in CAMERAS}
    outcome = {"next.success": np.full(frames, success)}
    return Recording(vectors | films | outcome, task="lift the red cube")


def _film(rng: np.random.Generator, frames: int) -> np.ndarray:
    """A textured background with a square that moves, easier on a codec than noise."""
    background = np.kron(rng.integers(0, 256, (28, 28, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    film = np.repeat(background[None], frames, axis=0)
    for i, frame in enumerate(film):
        frame[40 + i : 80 + i, 60 + i : 100 + i] = (200, 30, 30)
    return film


def samples(root: Path, cache: Path, batches: int = 40, peer_batches: int = 4) -> Row:
    """Batches of random frames with their action chunks, per sample."""
    demos = read_dataset(root, Reading(image_size=SIZE), cache_dir=cache)
    resident = DeviceDemos(demos, Normalizer.of(demos), CAMERAS, torch.device("cpu"))
    sampler, step = Sampler(demos, seed=0, batch_size=BATCH), iter(range(10**9))

    def ours() -> None:
        for _ in range(batches):
            resident.batch(sampler.draw(next(step)), CHUNK)

    theirs = LeRobotDataset(
        "benchmark", root=root, delta_timestamps={"action": [i / FPS for i in range(CHUNK)]}
    )

    def peer() -> None:
        # As lerobot-train does: shuffled, as many workers as there are cores.
        loader = torch.utils.data.DataLoader(
            theirs, batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=False
        )
        for i, _ in enumerate(loader):
            if i + 1 == peer_batches:
                break

    row = compare(
        "samples into the trainer, random access, two cameras of 224²",
        Side("Outtakes", ours, batches * BATCH),
        Side("LeRobotDataset and DataLoader with 2 workers, mp4", peer, peer_batches * BATCH),
        unit="sample",
        target="at least 20 times",
        repeats=5,
    )
    bytes_a_sample = 2 * len(CAMERAS) * SIZE * SIZE * 3
    rate, peak = bytes_a_sample / float(np.median(row.ours_s)), copy_peak()
    facts = {
        "samples/s, ours": 1 / float(np.median(row.ours_s)),
        "samples/s, peer": 1 / float(np.median(row.peer_s)),
        "share of memory-copy peak": rate / peak,
        "memory-copy peak, GB/s": peak / 1e9,
    }
    return replace(row, facts=facts)
