"""A dataset as a recording for the Rerun viewer: cameras, numbers and divergence, in step.

The only module that imports Rerun. Videos go in as they are stored: nothing is encoded again.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from outtakes.data.demo import Outcome
from outtakes.data.lerobot.cutting import cut
from outtakes.data.lerobot.decode import read_filmed_rows
from outtakes.data.lerobot.faults import Faults
from outtakes.data.lerobot.layout import Layout, dimension_names
from outtakes.data.lerobot.location import find_layout
from outtakes.data.lerobot.rows import (
    ACTION,
    ENVIRONMENT_STATE,
    STATE,
    Rows,
    stored_pictures,
)
from outtakes.data.lerobot.video import frames_at, is_even
from outtakes.data.outcomes import frame_columns, known_outcomes
from outtakes.data.reading import Reading
from outtakes.errors import ArtifactError, ConfigError, UnknownName
from outtakes.files import write_atomically
from outtakes.ranking.measure import Measure
from outtakes.ranking.scores import FailureScore, Scores

if TYPE_CHECKING:
    import rerun as rr
    import rerun.blueprint as rrb

FRAME, SECONDS = "frame", "seconds"
"""Timelines; both begin with the episode, so that episodes lie over one another."""
SUCCESS, SCORE = "next.success", "score"
"""What is solved, 0 or 1; the measure that ranks the failures, at each frame."""
_QUALITY = 95
"""Of the JPEG files that stand for a video which the viewer cannot play."""


@dataclass(frozen=True)
class Take:
    """One episode, to be logged."""

    place: int
    """Its place in the layout."""
    episode: int
    outcome: str
    """ "success", "failure" or "unknown"."""
    length: int
    task: str
    rank: int | None
    """Place in the ranking, from 1; None for what is not ranked."""
    score: FailureScore | None
    score_words: str
    """The score with its symbol and unit; "" for what is not ranked."""

    @property
    def path(self) -> str:
        """Where it is in the tree of entities."""
        return f"{self.outcome}/episode_{self.episode:04d}"

    @property
    def title(self) -> str:
        """Name for people."""
        if self.score is None:
            return f"{self.episode} · {self.outcome}"
        return f"{self.episode} · {self.outcome} · rank {self.rank} · {self.score_words}"


@dataclass(frozen=True)
class Takes:
    """What a recording shows of a dataset."""

    layout: Layout
    rows: Rows
    chosen: Sequence[Take]
    """Ranked failures first, in that order; then the others by index."""
    measure: Measure | None
    """What they are ranked by; None without scores."""

    @property
    def score_label(self) -> str:
        """Heading of the scores in a table."""
        return f"{self.measure.symbol} ({self.measure.unit})" if self.measure else "Score"

    @property
    def curve_label(self) -> str:
        """Name of the scores over time."""
        if self.measure is None:
            return ""
        return f"{self.measure.name.capitalize()}, {self.measure.unit}"

    def numbers(self, take: Take, name: str) -> np.ndarray | None:
        """(T, d) of one column, if the dataset has it."""
        values = self.rows.columns.get(name)
        if values is None:
            return None
        first = int(self.layout.starts[take.place])
        return values[first : first + take.length].reshape(take.length, -1).astype(np.float64)

    def video_times(self, take: Take, feature: str) -> tuple[Path, np.ndarray]:
        """The video in which a camera filmed it; (T,) seconds from its start to each frame."""
        spans, first = self.layout.videos[feature], int(self.layout.starts[take.place])
        own = self.rows.columns["timestamp"][first : first + take.length].astype(np.float64)
        source = self.layout.root / spans.files[take.place]
        return source, spans.from_timestamps[take.place] + own


def read_takes(
    home: Path,
    reading: Reading,
    *,
    scores: Scores | None = None,
    episodes: Sequence[int] = (),
) -> Takes:
    """What there is to show of a dataset; decodes nothing.

    Args:
        home: the dataset's folder.
        reading: where its outcomes are, and whether to leave corrupt episodes out.
        scores: the ranking of its failures.
        episodes: episode indices; all when empty.

    Raises:
        ArtifactError: when the scores are of other episodes.
        DatasetError: when the dataset is damaged.
        UnknownName: when there is no such episode.
    """
    layout = find_layout(home)
    columns = [STATE, ENVIRONMENT_STATE, ACTION, SUCCESS]
    columns += frame_columns(layout.features, reading.source)
    columns = list(dict.fromkeys(columns))
    known = layout.episode_indices.tolist()
    for episode in episodes:
        if episode not in known:
            raise UnknownName("episode", str(episode), map(str, known))
    if episodes:
        hidden = set(known) - set(episodes)
        layout = layout.without(dict.fromkeys(hidden, "not asked for"))
    layout, rows = read_filmed_rows(layout, columns, skip_bad=reading.skip_bad)
    # Outcomes are looked for where training looks, in the one column it reads.
    told = {name: rows.columns[name] for name in frame_columns(layout.features, reading.source)}
    outcomes = known_outcomes(layout.evidence(told, reading.labels), reading.source)
    ranked = {} if scores is None else {f.episode: f for f in scores.ranked()}
    _check_scores(layout, ranked)
    takes = [
        Take(
            place,
            episode,
            _word(outcomes.successes.get(episode)),
            int(layout.lengths[place]),
            layout.tasks[place] if layout.tasks else "",
            list(ranked).index(episode) + 1 if episode in ranked else None,
            ranked.get(episode),
            scores.measure.of(ranked[episode].mean, 3) if scores and episode in ranked else "",
        )
        for place, episode in enumerate(layout.episode_indices.tolist())
    ]
    takes.sort(key=lambda take: (take.rank is None, take.rank, take.episode))
    return Takes(layout, rows, takes, scores.measure if scores else None)


def _word(success: bool | None) -> str:
    if success is None:
        return "unknown"
    return Outcome.of(success).value


def _check_scores(layout: Layout, ranked: Mapping[int, FailureScore]) -> None:
    lengths = dict(zip(layout.episode_indices.tolist(), layout.lengths.tolist(), strict=True))
    for episode, failure in ranked.items():
        frames = len(failure.over_time)
        known = lengths.get(episode, frames)
        if (frames and known != frames) or episode not in {*lengths, *layout.left_out}:
            raise ArtifactError(
                f"the scores rank episode {episode} of {frames} frames, which the "
                "dataset does not have",
                where=layout.home,
                remedy="give the scores of this dataset",
            )


def check_name(path: Path) -> None:
    """Refuse a name that the viewer does not open.

    Raises:
        ConfigError: when it does not end in `.rrd`.
    """
    if path.suffix != ".rrd":
        raise ConfigError(f"a recording named {path.name}", remedy="name a .rrd file with --out")


def write_rrd(path: Path, takes: Takes, name: str) -> None:
    """Write a recording with its blueprint.

    Args:
        path: the `.rrd` file.
        takes: what to show.
        name: of the dataset, for people.

    Raises:
        DatasetError: when a video or picture cannot be read.
        MachineError: when the file cannot be written.
    """
    import rerun as rr

    def write(draft: Path) -> None:
        recording = rr.RecordingStream("outtakes", recording_id=f"{name}-{uuid4().hex[:8]}")
        recording.save(draft, default_blueprint=_blueprint(takes))
        recording.send_recording_name(name)
        recording.log("episodes", _table(takes), static=True)
        for take in takes.chosen:
            _log_numbers(recording, takes, take)
            for camera, feature in takes.layout.cameras.items():
                _log_camera(recording, takes, take, camera, feature)
        recording.flush()
        recording.disconnect()

    write_atomically(path, write)


def _table(takes: Takes) -> rr.TextDocument:
    import rerun as rr

    heading = f"| Episode | Outcome | Rank | {takes.score_label} | Frames | Task |"
    lines = [heading, "|---|---|---|---|---|---|"]
    for take in takes.chosen:
        k = "" if take.score is None else f"{take.score.mean:.4g}"
        cells = (take.episode, take.outcome, take.rank or "", k, take.length, take.task)
        lines.append(f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |")
    return rr.TextDocument("\n".join(lines), media_type="text/markdown")


def _times(takes: Takes, take: Take) -> list[rr.TimeColumn]:
    import rerun as rr

    frames = np.arange(take.length)
    return [
        rr.TimeColumn(FRAME, sequence=frames),
        rr.TimeColumn(SECONDS, duration=frames / takes.layout.fps),
    ]


def _log_numbers(recording: rr.RecordingStream, takes: Takes, take: Take) -> None:
    import rerun as rr

    shown = {n: takes.numbers(take, n) for n in (STATE, ENVIRONMENT_STATE, ACTION, SUCCESS)}
    if take.score is not None and len(take.score.over_time):
        shown[SCORE] = np.array(take.score.over_time)[:, None]
    for name, values in shown.items():
        if values is not None and values.shape[1]:
            path = f"{take.path}/{name}"
            names = dimension_names(takes.layout.features.get(name))
            if len(names) == values.shape[1]:
                recording.log(path, rr.SeriesLines(names=names), static=True)
            columns = rr.Scalars.columns(scalars=values)
            recording.send_columns(path, indexes=_times(takes, take), columns=columns)


def _log_camera(
    recording: rr.RecordingStream, takes: Takes, take: Take, camera: str, feature: str
) -> None:
    import rerun as rr

    path, times = f"{take.path}/camera/{camera}", _times(takes, take)
    if feature not in takes.layout.videos:
        pictures = rr.EncodedImage.columns(blob=_pictures(takes, take, feature))
        recording.send_columns(path, indexes=times, columns=pictures)
        return
    content, wanted = _video(takes, take, feature)
    video = rr.AssetVideo(contents=content, media_type="video/mp4")
    try:
        shown = np.array(video.read_frame_timestamps_nanos())
    except (RuntimeError, ValueError):
        # A codec that the viewer does not know.
        frames = rr.EncodedImage.columns(blob=_frames(takes, take, feature))
        recording.send_columns(path, indexes=times, columns=frames)
        return
    nearest = np.abs(shown[None] - wanted[:, None] * 1e9).argmin(axis=1)
    recording.log(path, video, static=True)
    references = rr.VideoFrameReference.columns_nanos(shown[nearest])
    recording.send_columns(path, indexes=times, columns=references)


def _video(takes: Takes, take: Take, feature: str) -> tuple[bytes, np.ndarray]:
    """The episode's own piece of its video, or all of it where it cannot be cut; (T,) seconds at
    which its frames are shown there."""
    source, wanted = takes.video_times(take, feature)
    fps = takes.layout.fps
    if is_even(wanted, fps):
        first = round(float(wanted[0]) * fps)
        with tempfile.TemporaryDirectory() as folder:
            piece = Path(folder) / "piece.mp4"
            if cut(source, piece, [(first, first + take.length)], fps):
                return piece.read_bytes(), np.arange(take.length) / fps
    return source.read_bytes(), wanted


def _frames(takes: Takes, take: Take, feature: str) -> list[bytes]:
    """An episode's frames as JPEG files."""
    from PIL import Image

    source, wanted = takes.video_times(take, feature)
    episodes = np.full(take.length, take.episode)
    found = frames_at(source, wanted, episodes, takes.layout.fps, Faults(skip=False))
    pictures = []
    for _, frame in found:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=_QUALITY)
        pictures.append(file.getvalue())
    return pictures


def _pictures(takes: Takes, take: Take, feature: str) -> list[bytes]:
    first = int(takes.layout.starts[take.place])
    return stored_pictures(takes.layout, takes.rows, feature, first, take.length)


def _blueprint(takes: Takes) -> rrb.Blueprint:
    import rerun.blueprint as rrb

    curves = [f"/{t.path}/{SCORE}" for t in takes.chosen if t.score and len(t.score.over_time)]
    overview: list[Any] = [rrb.TextDocumentView(origin="/episodes", name="Episodes")]
    if curves:
        overview.append(rrb.TimeSeriesView(contents=curves, name=takes.curve_label))
    return rrb.Blueprint(
        rrb.Tabs(
            rrb.Vertical(*overview, name="All episodes"),
            *(_tab(takes, take) for take in takes.chosen),
        ),
        rrb.TimePanel(timeline=SECONDS),
        collapse_panels=True,
    )


def _tab(takes: Takes, take: Take) -> rrb.Vertical:
    """Cameras above, numbers below."""
    import rerun.blueprint as rrb

    cameras = [
        rrb.Spatial2DView(origin=f"/{take.path}/camera/{camera}", name=camera)
        for camera in takes.layout.cameras
    ]
    numbers = [
        rrb.TimeSeriesView(origin=f"/{take.path}/{name}", name=name)
        for name in (STATE, ACTION)
        if takes.numbers(take, name) is not None
    ]
    last = [rrb.TimeSeriesView(origin=f"/{take.path}/{SUCCESS}", name=SUCCESS)]
    if take.score is not None and len(take.score.over_time):
        view = rrb.TimeSeriesView(origin=f"/{take.path}/{SCORE}", name=takes.curve_label)
        last.insert(0, view)
    rows = [rrb.Horizontal(*views) for views in (cameras, numbers, last) if views]
    return rrb.Vertical(*rows, name=take.title)
