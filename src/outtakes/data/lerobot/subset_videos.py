"""The videos of kept episodes: copied, cut without loss or, failing that, encoded again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from outtakes.data.lerobot.cutting import cut
from outtakes.data.lerobot.encoding import encode
from outtakes.data.lerobot.faults import Faults
from outtakes.data.lerobot.kept_episodes import KeptEpisodes, new_name
from outtakes.data.lerobot.layout import VideoSpans, is_depth
from outtakes.data.lerobot.path_template import numbered
from outtakes.data.lerobot.video import frame_times, frames_at, is_even


@dataclass(frozen=True)
class VideoFiles:
    """What became of the video files that hold kept episodes."""

    copied: int = 0
    """As they are: all their episodes are kept."""
    cut: int = 0
    """Their kept episodes alone, with the very frames."""
    encoded: int = 0
    """Encoded again, with loss: an episode does not begin at a key frame."""

    def __add__(self, other: VideoFiles) -> VideoFiles:
        return VideoFiles(
            self.copied + other.copied, self.cut + other.cut, self.encoded + other.encoded
        )


@dataclass(frozen=True)
class Place:
    """Where an episode lies in a video file of the new dataset."""

    file: int
    start: float
    """Seconds from the start of the file."""


def write_videos(kept: KeptEpisodes, root: Path) -> tuple[dict[str, list[Place]], VideoFiles]:
    """Write `videos/`.

    Args:
        kept: the episodes.
        root: folder of the new dataset.

    Returns:
        Camera -> where each episode is, and what became of the files.

    Raises:
        DatasetError: when a video is damaged.
    """
    places: dict[str, list[Place]] = {}
    done = VideoFiles()
    for feature in kept.layout.videos:
        name = new_name(feature, kept.layout.features[feature])
        places[name], files = _write_camera(kept, feature, name, root)
        done += files
    return places, done


def _write_camera(
    kept: KeptEpisodes, feature: str, name: str, root: Path
) -> tuple[list[Place], VideoFiles]:
    spans = kept.layout.videos[feature]
    places: dict[int, Place] = {}
    done = VideoFiles()
    for number, file in enumerate(dict.fromkeys(spans.files)):
        members = [i for i, own in enumerate(spans.files) if own == file]
        target = root / numbered(f"videos/{name}", number, "mp4")
        target.parent.mkdir(parents=True, exist_ok=True)
        starts, how = _write_video(kept, feature, spans, members, target)
        places |= {i: Place(number, s) for i, s in zip(members, starts, strict=True)}
        done += how
    return [places[i] for i in range(len(kept))], done


def _write_video(
    kept: KeptEpisodes, feature: str, spans: VideoSpans, members: Sequence[int], target: Path
) -> tuple[list[float], VideoFiles]:
    """Copy, cut or encode one file; returns where its episodes begin in it, in seconds."""
    file, fps = spans.files[members[0]], kept.layout.fps
    source = kept.layout.root / file
    wanted = [_times(kept, spans, i) for i in members]
    shown = frame_times(source)
    lengths = kept.layout.lengths[list(members)]
    whole = len(members) == kept.whole.videos[feature].files.count(file)
    if all(is_even(times, fps) for times in wanted):
        # The very times: the index may tell them less exactly than LeRobot wants them.
        exact = [float(shown[np.abs(shown - times[0]).argmin()]) for times in wanted]
        if whole or is_depth(feature, kept.layout.features[feature]):
            shutil.copyfile(source, target)
            return exact, VideoFiles(copied=1)
        firsts = [round(start * fps) for start in exact]
        pieces = [(f, f + int(n)) for f, n in zip(firsts, lengths, strict=True)]
        ends = np.cumsum(lengths) / fps
        if cut(source, target, pieces, fps):
            return [0.0, *ends[:-1].tolist()], VideoFiles(cut=1)
    episodes = np.repeat(kept.layout.episode_indices[list(members)], lengths)
    frames = frames_at(source, np.concatenate(wanted), episodes, fps, Faults(skip=False))
    encode(target, (frame for _, frame in frames), fps)
    return [0.0, *(np.cumsum(lengths) / fps)[:-1].tolist()], VideoFiles(encoded=1)


def _times(kept: KeptEpisodes, spans: VideoSpans, episode: int) -> np.ndarray:
    """(T,) seconds from the start of its video to each frame of an episode."""
    first, count = kept.span(episode)
    return spans.from_timestamps[episode] + kept.rows.columns["timestamp"][
        first : first + count
    ].astype(np.float64)
