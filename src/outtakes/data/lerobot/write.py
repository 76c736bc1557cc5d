"""Writing LeRobot datasets, with LeRobot itself, so that its tools, its hub and other trainers open
what it leaves. This module alone imports LeRobot."""

from __future__ import annotations

import io
import os
import re
import shutil
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from outtakes.data.lerobot.features import check_recording, describe_features, frame_shape
from outtakes.data.lerobot.metadata import RECORDINGS, read_metadata, write_metadata
from outtakes.data.recording import Recording
from outtakes.errors import DatasetError, MachineError
from outtakes.files import unwritable

if TYPE_CHECKING:
    import pyarrow as pa
    from lerobot.datasets.lerobot_dataset import LeRobotDataset


def write_dataset(
    root: Path,
    recordings: Iterable[Recording],
    *,
    fps: int,
    robot_type: str = "panda",
    names: Mapping[str, Sequence[str]] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write recordings as a LeRobotDataset v3.0, one at a time.

    The dataset takes shape under another name and gets its own at the end: a kill leaves none.

    Args:
        root: folder of the new dataset; must not exist or be empty.
        recordings: the episodes, all with the same features; consumed once.
        fps: frames a second.
        robot_type: stored with the dataset.
        names: feature name -> names of its dimensions, where known.
        progress: called with the number of episodes written so far.

    Returns:
        `root`.

    Raises:
        DatasetError: when `root` is taken, there is no recording, or recordings differ in shape.
        MachineError: when LeRobot is missing, or the disk is full or not writable.
    """
    root = Path(root)
    check_free(root)
    draft = root.with_name(f".{root.name}.{uuid.uuid4().hex[:8]}")
    try:
        with _disk_errors(root.parent):
            root.parent.mkdir(parents=True, exist_ok=True)
        _record(draft, recordings, fps, robot_type, names or {}, progress)
        with _disk_errors(root.parent):
            draft.rename(root)
    except BaseException as error:
        _release(error)
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return root


def check_free(root: Path) -> None:
    """Refuse a place for a new dataset that is taken.

    Raises:
        DatasetError: when it is anything but missing or an empty folder.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DatasetError(
            "there is something there already", where=root, remedy="choose a new --out"
        )


def join_datasets(parts: Sequence[Path], root: Path) -> Path:
    """Put datasets that `write_dataset` wrote, with the same features, behind one another.

    Episodes are numbered through, in the order of the parts. Videos are copied, not encoded again.

    Args:
        parts: folders of the datasets, one at least.
        root: folder of the new dataset; must not exist.

    Returns:
        `root`.

    Raises:
        DatasetError: when a part's own files are damaged.
        MachineError: when LeRobot is missing, or the disk is full or not writable.
    """
    try:
        from lerobot.datasets.aggregate import aggregate_datasets
    except ModuleNotFoundError as error:
        raise _no_lerobot() from error
    # LeRobot shows bars of its own, which nothing switches off.
    with _disk_errors(root.parent), redirect_stderr(io.StringIO()):
        aggregate_datasets(
            repo_ids=[f"local/{part.name}" for part in parts],
            aggr_repo_id=f"local/{root.name}",
            roots=list(parts),
            aggr_root=root,
        )
    entries = [entry for part in parts for _, entry in sorted(read_metadata(part).items())]
    metadata = [{**entry, "episode_index": episode} for episode, entry in enumerate(entries)]
    if metadata:
        with _disk_errors(root.parent):
            write_metadata(root / RECORDINGS, metadata)
    return root


def _no_lerobot() -> MachineError:
    return MachineError("writing a dataset needs LeRobot", remedy="pip install 'outtakes[data]'")


def _release(error: BaseException | None) -> None:
    """Drop what the failed calls hold: LeRobot's writers, when they are deleted, write once more,
    which must happen before their folder is removed."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(folder, error) from error
    except RuntimeError as error:
        # LeRobot's encoder threads pass an OSError on as text: "[Errno 28] No space left ...".
        code = re.search(r"Encoder thread .*\[Errno (\d+)\]", str(error))
        if code is None:
            raise
        raise unwritable(folder, OSError(int(code[1]), os.strerror(int(code[1])))) from error


def _record(
    draft: Path,
    recordings: Iterable[Recording],
    fps: int,
    robot_type: str,
    names: Mapping[str, Sequence[str]],
    progress: Callable[[int], None] | None,
) -> None:
    dataset, features, metadata = None, {}, []
    try:
        for recording in recordings:
            features = features or describe_features(recording, names)
            check_recording(recording, features, len(metadata))
            with _disk_errors(draft.parent):
                dataset = dataset or _create(draft, fps, robot_type, features)
                _add_episode(dataset, recording)
            metadata.append({**recording.metadata, "episode_index": len(metadata)})
            if progress is not None:
                progress(len(metadata))
    finally:
        if dataset is not None:
            with _disk_errors(draft.parent):
                dataset.finalize()
    if dataset is None:
        raise DatasetError("no recordings", where=draft.parent, remedy="record some")
    with _disk_errors(draft.parent):
        write_metadata(draft / RECORDINGS, metadata)


def _create(draft: Path, fps: int, robot_type: str, features: dict[str, Any]) -> LeRobotDataset:
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ModuleNotFoundError as error:
        raise _no_lerobot() from error
    quiet_encoders()
    return LeRobotDataset.create(
        repo_id=f"local/{draft.name}",
        fps=fps,
        features=features,
        root=draft,
        robot_type=robot_type,
        video_backend="pyav",
        streaming_encoding=True,
        # Endless: LeRobot drops frames when the queue is full.
        encoder_queue_maxsize=0,
    )


def table_schema(features: Mapping[str, Mapping[str, Any]]) -> pa.Schema:
    """The schema of `data/`, as LeRobot has it for these features.

    Raises:
        ValueError: when LeRobot cannot store one of them.
        MachineError: when LeRobot is missing.
    """
    try:
        from lerobot.datasets.feature_utils import get_hf_features_from_features
    except ModuleNotFoundError as error:
        raise _no_lerobot() from error
    shaped = {name: {**f, "shape": tuple(f["shape"])} for name, f in features.items()}
    return get_hf_features_from_features(shaped).arrow_schema


def episode_statistics(
    numbers: Mapping[str, np.ndarray], features: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, np.ndarray]]:
    """LeRobot's statistics of an episode: feature -> statistic -> values.

    Args:
        numbers: feature -> (T, ...) values; of a camera (T, channels, height, width) in [0, 1].
        features: LeRobot feature name -> dtype and more.
    """
    from lerobot.datasets.compute_stats import get_feature_stats

    found = {}
    for name, values in numbers.items():
        if features[name]["dtype"] in ("video", "image"):
            statistics = get_feature_stats(values, axis=(0, 2, 3), keepdims=True)
            found[name] = {n: v if n == "count" else v[0] for n, v in statistics.items()}
        else:
            flat = values.astype(np.float64).reshape(len(values), *values.shape[1:])
            found[name] = get_feature_stats(flat, axis=0, keepdims=values.ndim == 1)
    return found


def write_statistics(episodes: Sequence[dict[str, dict[str, np.ndarray]]], root: Path) -> None:
    """Write `meta/stats.json`, of the statistics of every episode."""
    from lerobot.datasets.compute_stats import aggregate_stats
    from lerobot.datasets.io_utils import write_stats

    write_stats(aggregate_stats(list(episodes)), root)


def quiet_encoders() -> None:
    """Both write several lines a video to the terminal unless told to log errors only."""
    import av.logging

    os.environ.setdefault("SVT_LOG", "1")
    av.logging.set_libav_level(av.logging.ERROR)


def _add_episode(dataset: LeRobotDataset, recording: Recording) -> None:
    from lerobot.utils.utils import SuppressProgressBars

    for t in range(len(recording)):
        frame = {
            name: a[t : t + 1].reshape(frame_shape(a)) for name, a in recording.features.items()
        }
        dataset.add_frame({**frame, "task": recording.task})
    with SuppressProgressBars():
        dataset.save_episode()
