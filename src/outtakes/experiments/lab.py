"""Where an experiment runs: its settings, folder, device, and how it tells of its progress."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from outtakes.data.reading import Reading
from outtakes.errors import MachineError
from outtakes.experiments.recipes import Recipe
from outtakes.files import read_json, write_json
from outtakes.progress import Progress

DURATIONS = "durations.json"


@dataclass(frozen=True)
class Lab:
    """Where an experiment runs and how it reports."""

    recipe: Recipe
    out: Path
    device: str = "cpu"
    workers: int | None = None
    """Processes; as many as there are cores when None."""
    progress: Progress | None = None
    reading: Reading = field(default_factory=Reading)
    """How the dataset is read; the image size is the recipe's."""

    def say(self, done: int, total: int, what: str) -> None:
        """Report progress, if anyone listens."""
        if self.progress:
            self.progress(done, total, what)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds a stage took to `durations.json`."""
        started = time.monotonic()
        yield
        seconds = self.durations()
        seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - started, 1)
        write_json(self.out / DURATIONS, "durations", 1, {"seconds": seconds})

    def durations(self) -> dict[str, float]:
        """Stage -> seconds it took so far; empty when nothing was timed."""
        path = self.out / DURATIONS
        return dict(read_json(path, "durations", 1)["seconds"]) if path.exists() else {}


def named_device(name: str) -> str:
    """ "cpu", "cuda" or "mps", of one of these or "auto", which takes CUDA where there is one.

    Raises:
        MachineError: when a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise MachineError("no CUDA device here", remedy="use --device cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise MachineError("no Apple GPU that torch can use here", remedy="use --device cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(device: str) -> str:
    """The machine in a few words."""
    described = f"{cores()} CPU cores, {platform.system()} {platform.machine()}"
    if device == "cpu":
        return described
    gpu = torch.cuda.get_device_name(device) if device == "cuda" else "Apple GPU"
    return f"{gpu}, {described}"
