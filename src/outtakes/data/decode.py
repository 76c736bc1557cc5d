"""From a dataset's files to a frame cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from outtakes.data import frames, parquet, video
from outtakes.data.demo import DemoSet, Provenance
from outtakes.data.frame_file import FrameFile
from outtakes.data.layout import Layout, VideoSpans, dimension_names
from outtakes.data.outcomes import Evidence, find_outcomes, frame_columns
from outtakes.data.reading import Reading
from outtakes.data.rows import ACTION, ENVIRONMENT_STATE, STATE, Rows, read_rows
from outtakes.errors import DatasetError

Placed = tuple[int, np.ndarray, str]
"""Row, its (height, width, 3) uint8 frame, and where that comes from, for messages."""


def fill_cache(
    draft: Path,
    layout: Layout,
    cameras: Sequence[str],
    reading: Reading,
    content: str,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Fill a cache in the making: numbers first, so that bad ones show before the long decode.

    Raises:
        DatasetError: when the dataset is damaged, unlabelled, or has nothing to learn from.
    """
    outcome = frame_columns(layout.features, reading.source)
    rows = read_rows(layout, [*_observed(reading), ACTION, *outcome])
    demos = _numbers_alone(layout, rows, reading, content)
    _check_observed(layout, demos, cameras)
    count, images, sizes = len(demos.action), {}, {}
    for camera in cameras:
        with FrameFile(draft / frames.frame_file_name(camera), count) as file:
            for done, (row, frame, where) in enumerate(camera_frames(layout, rows, camera), 1):
                sizes.setdefault(camera, frame.shape[:2])
                file.write(row, _sized(frame, reading.image_size), where)
                if progress is not None:
                    progress(len(images) * count + done, len(cameras) * count)
        images[camera] = np.load(file.path, mmap_mode="r", allow_pickle=False)
    provenance = replace(demos.provenance, stored_sizes=sizes)
    frames.write_numbers(draft, replace(demos, images=images, provenance=provenance))


def _observed(reading: Reading) -> list[str]:
    """The vectors that a policy may observe."""
    asked = ((STATE, reading.state), (ENVIRONMENT_STATE, reading.environment_state))
    return [name for name, wanted in asked if wanted]


def _sized(frame: np.ndarray, size: int | None) -> np.ndarray:
    return frame if size is None else video.resize(frame, size)


def _numbers_alone(layout: Layout, rows: Rows, reading: Reading, content: str) -> DemoSet:
    evidence = Evidence.of(layout, rows.columns, reading.labels)
    outcomes = find_outcomes(evidence, reading.source)
    return DemoSet(
        name=str(layout.root),
        content_hash=content,
        fps=layout.fps,
        episode_indices=layout.episode_indices,
        successes=np.array([outcomes.successes[int(e)] for e in layout.episode_indices], bool),
        starts=layout.starts,
        state=rows.vectors(STATE),
        environment_state=rows.vectors(ENVIRONMENT_STATE),
        action=rows.vectors(ACTION),
        tasks=layout.tasks,
        provenance=Provenance(
            state_names=dimension_names(layout.features.get(STATE)) if reading.state else (),
            outcome_sources=outcomes.counts,
        ),
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


def camera_frames(layout: Layout, rows: Rows, camera: str) -> Iterator[Placed]:
    """Every frame of one camera, decoded once, file after file.

    Raises:
        DatasetError: when a file is missing, damaged, too short or of another frame rate.
    """
    feature = layout.cameras[camera]
    spans = layout.videos.get(feature)
    if spans is None:
        return _stored_images(layout, rows, feature)
    return _video_frames(layout, rows, spans)


def _video_frames(layout: Layout, rows: Rows, spans: VideoSpans) -> Iterator[Placed]:
    episode = rows.columns["episode_index"]
    file_of = np.repeat(np.asarray(spans.files), layout.lengths)
    times = np.repeat(spans.from_timestamps, layout.lengths) + rows.columns["timestamp"]
    for file in dict.fromkeys(spans.files):
        wanted = np.flatnonzero(file_of == file)
        path = layout.root / file
        for k, frame in video.frames_at(path, times[wanted], episode[wanted], layout.fps):
            yield int(wanted[k]), frame, f"{path}, episode {episode[wanted[k]]}"


def _stored_images(layout: Layout, rows: Rows, feature: str) -> Iterator[Placed]:
    episode = rows.columns["episode_index"]
    for file, places in rows.places.items():
        path = layout.root / file
        for place, content in zip(places, parquet.image_bytes(path, feature), strict=True):
            where = f"{path}, episode {episode[place]}"
            yield int(place), video.decode_image(content, where), where
