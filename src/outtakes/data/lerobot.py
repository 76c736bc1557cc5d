"""LeRobot datasets, in and out.

`write_dataset` records with LeRobot itself, so that its tools, its hub and other trainers open
what it leaves. `read_dataset` reads any LeRobotDataset v3.0 or v2.1, with images or videos, through
the frame cache. This is the only module that imports LeRobot, and it goes over the network only to
fetch a dataset that is named by its hub id.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outtakes.data import frames
from outtakes.data.content import content_hash
from outtakes.data.decode import fill_cache
from outtakes.data.demo import DemoSet
from outtakes.data.faults import CorruptEpisode
from outtakes.data.features import check_recording, describe_features, frame_shape
from outtakes.data.hub import local_folder
from outtakes.data.labels import label_files
from outtakes.data.layout import Layout
from outtakes.data.outcomes import Evidence, frame_columns
from outtakes.data.reading import Reading
from outtakes.data.recording import Recording
from outtakes.data.rows import read_rows
from outtakes.data.source import find_layout
from outtakes.errors import DatasetError, MachineError
from outtakes.files import unwritable

if TYPE_CHECKING:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

RECORDINGS = "meta/recordings.jsonl"
"""Where the metadata of recordings is kept inside a dataset, one JSON object an episode."""


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


def write_metadata(path: Path, metadata: Sequence[Mapping[str, Any]]) -> None:
    """Write what `read_metadata` reads; each entry has its `episode_index`."""
    lines = [json.dumps(entry, default=lambda scalar: scalar.item()) for entry in metadata]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


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


def read_metadata(root: Path) -> dict[int, dict[str, Any]]:
    """Episode index -> `Recording.metadata`; empty for datasets written by others.

    Raises:
        DatasetError: when the file is damaged.
    """
    path = Path(root) / RECORDINGS
    if not path.exists():
        return {}
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {int(entry.pop("episode_index")): entry for entry in entries}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DatasetError(
            f"cannot read the recordings' metadata ({error!r})", where=path, remedy="delete it"
        ) from error


def read_dataset(
    path: Path | str,
    reading: Reading | None = None,
    *,
    cache_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    expected: str | None = None,
) -> DemoSet:
    """Read a LeRobotDataset v3.0 or v2.1, decoding its frames at most once.

    Args:
        path: the dataset's folder, or `owner/name` on the hub.
        reading: what to read, and where the outcomes are; everything, from anywhere, when None.
        cache_dir: where frame caches live, instead of `frames.cache_root()`.
        progress: called with (frames decoded so far, frames to decode).
        expected: the content hash it had when it was read before; whatever it has now when None.

    Returns:
        The demonstrations, images memory-mapped from the frame cache.

    Raises:
        CorruptEpisode: when an episode cannot be read; unless `reading.skip_bad`.
        DatasetError: when the dataset is missing, damaged, unlabelled, or of another version or
            content.
        MachineError: when the cache cannot be written.
    """
    reading = reading or Reading()
    layout = find_layout(local_folder(str(path)), cache_dir)
    chosen = layout.choose_cameras(reading.cameras)
    content = _hash(layout, chosen, reading)
    if expected not in (None, content):
        raise DatasetError(
            "the dataset has changed since it was read",
            where=path,
            remedy="restore it as it was, or begin again with a new --out",
        )
    folder = (cache_dir or frames.cache_root()).absolute() / content
    demos = frames.load_whole(folder, content)
    if demos is None:
        with frames.new_cache(folder) as draft:
            fill_cache(draft, layout, chosen, reading, content, progress)
            if _hash(find_layout(layout.home, cache_dir), chosen, reading) != content:
                raise DatasetError(
                    "the dataset changed while it was read",
                    where=path,
                    remedy="wait until it is written, then read it again",
                )
        demos = frames.load_cache(folder)
    if not reading.skip_bad:
        _check_whole(demos, Path(path))
    return replace(demos, name=str(path), checked=True).cached_in(folder)


def _check_whole(demos: DemoSet, path: Path) -> None:
    """Refuse what an earlier read, which was allowed to, left episodes out of."""
    for episode, why in demos.provenance.skipped.items():
        raise CorruptEpisode(episode, why, file=path, remedy="repair it")


def _hash(layout: Layout, cameras: Sequence[str], reading: Reading) -> str:
    labels = {path.name: path for path in label_files(layout.home, reading.labels)}
    return content_hash({**layout.files(cameras), **labels}, reading.request(cameras))


def read_evidence(path: Path | str, reading: Reading) -> Evidence:
    """What a dataset says about how its episodes ended; decodes nothing.

    Raises:
        DatasetError: when the dataset is missing, damaged, or of another version.
    """
    layout = find_layout(Path(path))
    wanted = frame_columns(layout.features, reading.source)
    if not wanted:
        return Evidence.of(layout, {}, reading.labels)
    layout, rows = read_rows(layout, wanted, skip_bad=reading.skip_bad)
    return Evidence.of(layout, rows.columns, reading.labels)
