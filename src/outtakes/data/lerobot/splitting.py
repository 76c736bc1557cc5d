"""LeRobot's own `split_dataset`, kept off the terminal, the network and the caches of others."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from outtakes.data.lerobot.write import quiet_encoders
from outtakes.errors import DatasetError, MachineError
from outtakes.files import unwritable

SPLIT = "kept"
"""Folder that the new dataset gets below the one asked for."""


def split(root: Path, episodes: Sequence[int], out: Path, *, source: Path) -> None:
    """Write some episodes as a dataset of their own, numbered from 0, in `out / SPLIT`.

    Args:
        root: folder of a LeRobotDataset v3.0 with at least the files that these episodes need.
        episodes: episode indices.
        out: folder to write in.
        source: what the user calls the dataset, for messages.

    Raises:
        DatasetError: when LeRobot fails.
        MachineError: when LeRobot is missing, or the disk is full or not writable.
    """
    try:
        from lerobot.datasets.dataset_tools import split_dataset
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ModuleNotFoundError as error:
        raise MachineError(
            "writing a dataset needs LeRobot", remedy="pip install 'outtakes[data]'"
        ) from error
    quiet_encoders()
    with _cache_in(out / "datasets"), _silent():
        try:
            whole = LeRobotDataset("local/source", root=root, episodes=list(episodes))
            split_dataset(whole, {SPLIT: list(episodes)}, output_dir=out)
        except OSError as error:
            raise unwritable(out, error) from error
        except Exception as error:  # an assertion, a missing key, ...: whatever it stumbles over
            raise DatasetError(
                f"LeRobot cannot filter the dataset ({error!r})",
                where=source,
                remedy="restore what is missing, or leave the episode out with --skip-bad",
            ) from error


@contextmanager
def _silent() -> Iterator[None]:
    """LeRobot shows bars that nothing switches off, and logs what it would decode videos with."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """LeRobot loads every table through a cache, by default in the user's home."""
    from datasets import config

    before, config.HF_DATASETS_CACHE = config.HF_DATASETS_CACHE, folder
    try:
        yield
    finally:
        config.HF_DATASETS_CACHE = before
