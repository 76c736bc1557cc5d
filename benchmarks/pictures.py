"""A dataset such as people have, and what `outtakes triage` takes on it, from nothing.

    python -m benchmarks.pictures OUT [--episodes 50] [--frames 300] [--recipe quick] [--look]

Two cameras of 480 × 640 in the codec that LeRobot chooses, state and actions, no object poses.
Prints seconds and CPU seconds: of reading with frozen eyes looking on, of the triage that follows,
and of a second triage with another seed, which embeds nothing. With `--look` of reading alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from outtakes.data.lerobot.write import write_dataset
from outtakes.data.recording import Recording
from outtakes.experiments.datasets import read_demos
from outtakes.experiments.lab import Lab
from outtakes.experiments.recipes import recipe

CAMERAS, HEIGHT, WIDTH, FPS = ("front", "wrist"), 480, 640, 30
JOINTS = 6


def recordings(episodes: int, frames: int) -> Iterator[Recording]:
    """Episodes of an arm that wanders over a scene; the first three fifths succeed."""
    rng = np.random.default_rng(0)
    scenes = {camera: _scene(rng) for camera in CAMERAS}
    for episode in range(episodes):
        state = np.cumsum(rng.normal(scale=0.03, size=(frames, JOINTS)), axis=0).astype(np.float32)
        success = np.zeros(frames, bool)
        success[-1] = episode < 0.6 * episodes
        images = {
            f"observation.images.{camera}": np.stack([_drawn(scene, place) for place in state])
            for camera, scene in scenes.items()
        }
        action = np.concatenate([state[1:], state[-1:]])
        features = {"observation.state": state, **images, "action": action, "next.success": success}
        yield Recording(features, "tidy the table", {"seed": episode, "strategy": "none"})


def _scene(rng: np.random.Generator) -> np.ndarray:
    """(480, 640, 3) uint8: patches of colour, with a camera's noise."""
    coarse = rng.integers(0, 200, (12, 16, 3)).repeat(40, axis=0).repeat(40, axis=1)
    return (coarse + rng.integers(0, 16, coarse.shape)).astype(np.uint8)


def _drawn(scene: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The scene with a square for each pair of joints, where they are."""
    frame = scene.copy()
    for row, column in np.tanh(joints).reshape(-1, 2):
        top, left = int((row + 1) / 2 * (HEIGHT - 60)), int((column + 1) / 2 * (WIDTH - 60))
        frame[top : top + 60, left : left + 60] = 255
    return frame


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Seconds, and CPU seconds of this process and its children."""
    started, before = time.monotonic(), _cpu()
    work()
    return {"seconds": time.monotonic() - started, "cpu_seconds": _cpu() - before}


def _cpu() -> float:
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def triage(dataset: Path, out: Path, *options: str) -> None:
    """The command as a user gives it."""
    program = Path(sys.executable).with_name("outtakes")
    subprocess.run([program, "triage", dataset, "--out", out, "--json", *options], check=True)


def main() -> None:
    """Make the dataset unless it is there, and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--look", action="store_true")
    chosen = parser.parse_args()
    name = f"{chosen.episodes}x{chosen.frames}"
    dataset, cache = chosen.out / f"dataset-{name}", chosen.out / f"cache-{name}"
    os.environ["OUTTAKES_CACHE"] = str(cache.resolve())
    if not dataset.exists():
        write_dataset(dataset, recordings(chosen.episodes, chosen.frames), fps=FPS)
    lab = Lab(recipe(chosen.recipe), chosen.out)
    looked = timed(lambda: read_demos(lab, dataset))
    pictures = len(CAMERAS) * chosen.episodes * chosen.frames
    found: dict[str, object] = {"pictures": pictures, "decode and look": looked}
    if not chosen.look:
        options = ["--recipe", chosen.recipe]
        found["triage"] = timed(lambda: triage(dataset, chosen.out / f"triage-{name}", *options))
        again = chosen.out / f"again-{name}"
        found["again"] = timed(lambda: triage(dataset, again, *options, "--seeds", "7"))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
