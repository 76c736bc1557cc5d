"""LeRobotDataset v2.1, written by hand: one parquet file and one video an episode."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from av.video.stream import VideoStream
from PIL import Image

from tests.data.lerobot.varied import Camera, Robot

_PARQUET = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


def write_version_21(
    root: Path, robot: Robot, *, codec: str = "libx264", pixels: str = "yuv420p", last: int = 1
) -> Path:
    """Write what `tests.data.lerobot.varied.record` does as LeRobot did in early 2025.

    Args:
        root: folder of the new dataset.
        robot: what is recorded.
        codec: of the videos.
        pixels: their format.
        last: frame periods for which the last frame of each is shown.
    """
    episodes = [
        [robot.frame(e, t) for t in range(length)] for e, length in enumerate(robot.lengths)
    ]
    tasks = list(dict.fromkeys(robot.tasks))
    (root / "meta").mkdir(parents=True)
    _write_lines(
        root / "meta" / "tasks.jsonl", [{"task_index": i, "task": t} for i, t in enumerate(tasks)]
    )
    _write_lines(
        root / "meta" / "episodes.jsonl",
        [
            {"episode_index": e, "tasks": [frames[0]["task"]], "length": len(frames)}
            for e, frames in enumerate(episodes)
        ],
    )
    _write_lines(
        root / "meta" / "episodes_stats.jsonl",
        [
            {"episode_index": e, "stats": _statistics(robot, frames)}
            for e, frames in enumerate(episodes)
        ],
    )
    (root / "meta" / "info.json").write_text(json.dumps(_info(robot, len(tasks))))
    first = 0
    for e, frames in enumerate(episodes):
        _write_rows(root, robot, e, frames, first, tasks)
        _write_videos(root, robot, e, frames, codec, pixels, last)
        first += len(frames)
    return root


def _info(robot: Robot, tasks: int) -> dict[str, Any]:
    own = {"timestamp": "float32", **dict.fromkeys(_INDICES, "int64")}
    features = {name: {**f, "shape": list(f["shape"])} for name, f in robot.features().items()}
    videos = [name for name, camera in robot.cameras.items() if camera.kind == "video"]
    return {
        "codebase_version": "v2.1",
        "robot_type": "arm",
        "total_episodes": len(robot.lengths),
        "total_frames": sum(robot.lengths),
        "total_tasks": tasks,
        "total_videos": len(videos) * len(robot.lengths),
        "total_chunks": 1,
        "chunks_size": 1000,
        "fps": robot.fps,
        "splits": {"train": f"0:{len(robot.lengths)}"},
        "data_path": _PARQUET,
        "video_path": _VIDEO if videos else None,
        "features": {
            **features,
            **{name: {"dtype": t, "shape": [1], "names": None} for name, t in own.items()},
        },
    }


_INDICES = ("frame_index", "episode_index", "index", "task_index")


def _write_rows(
    root: Path, robot: Robot, episode: int, frames: Sequence[Mapping], first: int, tasks: list[str]
) -> None:
    count = len(frames)
    columns: dict[str, Any] = {
        "timestamp": (np.arange(count) / robot.fps).astype(np.float32),
        "frame_index": np.arange(count),
        "episode_index": np.full(count, episode),
        "index": first + np.arange(count),
        "task_index": np.array([tasks.index(frame["task"]) for frame in frames]),
    }
    for name in robot.features():
        camera = robot.cameras.get(name)
        values = [frame[name] for frame in frames]
        if camera is None:
            scalar = len(values[0]) == 1
            columns[name] = [v.item() if scalar else v for v in values]
        elif camera.kind == "image":
            columns[name] = [{"bytes": _png(v), "path": None} for v in values]
    path = root / _PARQUET.format(episode_chunk=0, episode_index=episode)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def _write_videos(
    root: Path,
    robot: Robot,
    episode: int,
    frames: Sequence[Mapping],
    codec: str,
    pixels: str,
    last: int,
) -> None:
    for name, camera in robot.cameras.items():
        if camera.kind == "video":
            path = _VIDEO.format(episode_chunk=0, video_key=name, episode_index=episode)
            pictures = [frame[name] for frame in frames]
            _encode(root / path, pictures, robot.fps, codec, pixels, last)


def _encode(
    path: Path, pictures: Sequence[np.ndarray], fps: float, codec: str, pixels: str, last: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(fps).limit_denominator(100_000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate, {"g": "2"})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = 1 / rate
        frames = [av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in pictures]
        for i, frame in enumerate(frames):
            frame.pts, frame.time_base = i, 1 / rate
        for packet in [p for frame in [*frames, None] for p in stream.encode(frame)]:
            if packet.pts == len(pictures) - 1:
                packet.duration = last * (packet.duration or 1)
            container.mux(packet)


def _statistics(robot: Robot, frames: Sequence[Mapping]) -> dict[str, dict[str, list]]:
    found = {}
    for name in robot.features():
        values = np.stack([frame[name] for frame in frames]).astype(float)
        if isinstance(robot.cameras.get(name), Camera):
            values, axes = np.moveaxis(values / 255, 3, 1), (0, 2, 3)
        else:
            axes = (0,)
        kept = len(axes) > 1
        parts = {
            part: getattr(values, part)(axis=axes, keepdims=kept)
            for part in ("min", "max", "mean", "std")
        }
        found[name] = {part: (a[0] if kept else a).tolist() for part, a in parts.items()}
        found[name]["count"] = [len(frames)]
    return found


def _png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _write_lines(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, entries)) + "\n")
