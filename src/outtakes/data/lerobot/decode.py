"""From a dataset's files to a frame cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from outtakes.data import frames
from outtakes.data.demo import DemoSet, Provenance
from outtakes.data.frame_file import FrameFile
from outtakes.data.lerobot import parquet, video
from outtakes.data.lerobot.faults import CorruptEpisode, Faults, UnreadableFile
from outtakes.data.lerobot.layout import Layout, VideoSpans, dimension_names
from outtakes.data.lerobot.rows import ACTION, ENVIRONMENT_STATE, STATE, Rows, read_rows
from outtakes.data.outcomes import find_outcomes, frame_columns
from outtakes.data.reading import Reading
from outtakes.errors import DatasetError

Placed = tuple[int, np.ndarray, str]
"""Row, its (height, width, 3) uint8 frame, and where that comes from, for messages."""
See = Callable[[str, int, np.ndarray], None]
"""Shown every (camera, row, frame) as it is decoded, at the size it is kept in."""


class Watch(Protocol):
    """Begins to watch a dataset being decoded, if anyone wishes to."""

    def __call__(
        self, demos: DemoSet, cameras: Sequence[str], cache: Path, *, again: bool
    ) -> AbstractContextManager[See] | None:
        """What is shown every frame, as a context that is left when the last was.

        Args:
            demos: the demonstrations, without their images.
            cameras: that will be decoded.
            cache: folder of the frame cache to come.
            again: whether corrupt episodes are left out now that were not at first, so that rows
                are others than before.
        """
        ...


def fill_cache(
    draft: Path,
    folder: Path,
    layout: Layout,
    cameras: Sequence[str],
    reading: Reading,
    content: str,
    progress: Callable[[int, int], None] | None,
    watch: Watch | None,
) -> None:
    """Fill a cache in the making: numbers first, so that bad ones show before the long decode.

    Episodes whose frames turn out to be corrupt are left out by decoding again without them.

    Args:
        draft: folder to fill.
        folder: the name it will have.
        layout: where everything is in the dataset.
        cameras: whose frames to decode.
        reading: what to read.
        content: the dataset's content hash.
        progress: called with (frames decoded so far, frames to decode).
        watch: begins to watch the frames as they are decoded.

    Raises:
        CorruptEpisode: when an episode cannot be read; unless corrupt episodes are left out.
        DatasetError: when the dataset is damaged, unlabelled, or has nothing to learn from.
    """
    wanted = [*_observed(reading), ACTION, *frame_columns(layout.features, reading.source)]
    again = False
    while True:
        layout, rows = read_rows(layout, wanted, skip_bad=reading.skip_bad)
        demos = _numbers_alone(layout, rows, cameras, reading, content)
        _check_observed(layout, demos, cameras)
        faults = Faults(skip=reading.skip_bad)
        watched = watch(demos, cameras, folder, again=again) if watch is not None else None
        with watched or nullcontext() as see:
            size = reading.image_size
            sizes = _write_frames(draft, layout, rows, cameras, size, progress, faults, see)
        if not faults.found:
            break
        layout, again = layout.without(faults.found), True
    files = {camera: draft / frames.frame_file_name(camera) for camera in cameras}
    images = {c: np.load(path, mmap_mode="r", allow_pickle=False) for c, path in files.items()}
    provenance = replace(demos.provenance, stored_sizes=sizes)
    frames.write_numbers(draft, replace(demos, images=images, provenance=provenance))


def read_numbers(
    layout: Layout, reading: Reading, content: str, *, check_videos: bool
) -> tuple[DemoSet, Layout]:
    """Everything but the pictures, of which nothing is decoded.

    Args:
        layout: the dataset.
        reading: what to read, and where the outcomes are.
        content: its content hash.
        check_videos: whether to look if the videos have every frame.

    Returns:
        The demonstrations without images, and the layout of those that are sound.

    Raises:
        CorruptEpisode: when an episode cannot be read; unless corrupt episodes are left out.
        DatasetError: when the dataset is damaged or unlabelled.
    """
    wanted = [*_observed(reading), ACTION, *frame_columns(layout.features, reading.source)]
    read = read_filmed_rows if check_videos else read_rows
    layout, rows = read(layout, wanted, skip_bad=reading.skip_bad)
    return _numbers_alone(layout, rows, (), reading, content), layout


def read_filmed_rows(
    layout: Layout, wanted: Sequence[str], *, skip_bad: bool
) -> tuple[Layout, Rows]:
    """What `read_rows` reads, of episodes whose every frame is in the videos; decodes nothing.

    Raises:
        CorruptEpisode: as `read_rows`, or when a video lacks a frame.
        DatasetError: as `read_rows`.
    """
    while True:
        layout, rows = read_rows(layout, wanted, skip_bad=skip_bad)
        faults = Faults(skip=skip_bad)
        for spans in layout.videos.values():
            for path, _, times, episodes in wanted_frames(layout, rows, spans):
                video.check_frames(path, times, episodes, layout.fps, faults)
        if not faults.found:
            return layout, rows
        layout = layout.without(faults.found)


def _write_frames(
    draft: Path,
    layout: Layout,
    rows: Rows,
    cameras: Sequence[str],
    image_size: int | None,
    progress: Callable[[int, int], None] | None,
    faults: Faults,
    see: See | None,
) -> dict[str, tuple[int, int]]:
    """Write every camera's frames; returns the height and width in which they are stored."""
    count, sizes = int(layout.starts[-1]), {}
    for i, camera in enumerate(cameras):
        with FrameFile(draft / frames.frame_file_name(camera), count) as file:
            found = camera_frames(layout, rows, camera, faults)
            for done, (row, frame, where) in enumerate(found, 1):
                sizes.setdefault(camera, frame.shape[:2])
                kept = _sized(frame, image_size)
                file.write(row, kept, where)
                if see is not None:
                    see(camera, row, kept)
                if progress is not None:
                    progress(i * count + done, len(cameras) * count)
    return sizes


def _observed(reading: Reading) -> list[str]:
    """The vectors that a policy may observe."""
    asked = ((STATE, reading.state), (ENVIRONMENT_STATE, reading.environment_state))
    return [name for name, wanted in asked if wanted]


def _sized(frame: np.ndarray, size: int | None) -> np.ndarray:
    return frame if size is None else video.resize(frame, size)


def _numbers_alone(
    layout: Layout, rows: Rows, cameras: Sequence[str], reading: Reading, content: str
) -> DemoSet:
    evidence = layout.evidence(rows.columns, reading.labels)
    outcomes = find_outcomes(evidence, reading.source)
    return DemoSet(
        name=str(layout.root),
        content_hash=content,
        fps=layout.fps,
        episode_indices=layout.episode_indices,
        successes=np.array([outcomes.successes[int(e)] for e in layout.episode_indices], bool),
        starts=layout.starts[:-1],
        lengths=layout.lengths,
        state=rows.vectors(STATE),
        environment_state=rows.vectors(ENVIRONMENT_STATE),
        action=rows.vectors(ACTION),
        tasks=layout.tasks,
        provenance=Provenance(
            state_names=dimension_names(layout.features.get(STATE)) if reading.state else (),
            outcome_sources=outcomes.counts,
            skipped=layout.left_out,
        ),
        choices=reading.choices(cameras),
    )


def _check_observed(layout: Layout, demos: DemoSet, cameras: Sequence[str]) -> None:
    if demos.action.shape[1] == 0:
        raise DatasetError("no actions", where=layout.root, remedy="use a dataset with 'action'")
    if not (cameras or demos.state.shape[1] or demos.environment_state.shape[1]):
        raise DatasetError(
            "nothing observed",
            where=layout.root,
            remedy=f"use a dataset with {STATE}, {ENVIRONMENT_STATE} or cameras",
        )


def camera_frames(layout: Layout, rows: Rows, camera: str, faults: Faults) -> Iterator[Placed]:
    """Every frame of one camera, decoded once, file after file.

    Raises:
        CorruptEpisode: when a file is missing, damaged or too short; unless faults are gathered.
        DatasetError: when a video is of another frame rate.
    """
    feature = layout.cameras[camera]
    spans = layout.videos.get(feature)
    if spans is None:
        return _stored_images(layout, rows, feature, faults)
    return _video_frames(layout, rows, spans, faults)


def _video_frames(
    layout: Layout, rows: Rows, spans: VideoSpans, faults: Faults
) -> Iterator[Placed]:
    for path, wanted, times, episodes in wanted_frames(layout, rows, spans):
        found = video.frames_at(path, times, episodes, layout.fps, faults)
        for k, frame in found:
            yield int(wanted[k]), frame, f"{path}, episode {episodes[k]}"


def wanted_frames(
    layout: Layout, rows: Rows, spans: VideoSpans
) -> Iterator[tuple[Path, np.ndarray, np.ndarray, np.ndarray]]:
    """Each video file, the rows whose frames are in it, their times in it, and their episodes."""
    episode = rows.columns["episode_index"]
    number = {file: i for i, file in enumerate(dict.fromkeys(spans.files))}
    file_of = np.repeat([number[file] for file in spans.files], layout.lengths)
    times = np.repeat(spans.from_timestamps, layout.lengths) + rows.columns["timestamp"]
    order = np.argsort(file_of, kind="stable")
    pieces = np.split(order, np.cumsum(np.bincount(file_of))[:-1])
    for file, wanted in zip(number, pieces, strict=True):
        yield layout.root / file, wanted, times[wanted], episode[wanted]


def _stored_images(layout: Layout, rows: Rows, feature: str, faults: Faults) -> Iterator[Placed]:
    episode = rows.columns["episode_index"]
    for file, places in rows.places.items():
        path = layout.root / file
        for place, content in zip(
            places.tolist(), parquet.image_bytes(path, layout.stored(feature)), strict=True
        ):
            if place < 0:
                continue
            where = f"{path}, episode {episode[place]}"
            try:
                yield place, video.decode_image(content, where), where
            except UnreadableFile as error:
                faults.report(
                    CorruptEpisode(int(episode[place]), error.what, file=path, remedy=error.remedy)
                )
