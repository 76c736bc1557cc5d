"""What the page shows of a dataset and no key press changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.demo import Outcome
from outtakes.data.lerobot.decode import wanted_frames
from outtakes.data.lerobot.faults import CorruptEpisode, Faults
from outtakes.data.lerobot.layout import Layout
from outtakes.data.lerobot.location import find_layout
from outtakes.data.lerobot.rows import Rows, read_rows
from outtakes.data.lerobot.video import check_end, is_even
from outtakes.data.outcomes import Outcomes, frame_columns, recorded_outcomes
from outtakes.errors import ArtifactError
from outtakes.ranking.scores import Scores


@dataclass(frozen=True)
class Catalogue:
    """The episodes of one dataset, where their frames lie, and what was known of them."""

    layout: Layout
    rows: Rows
    """The index and the outcome columns of every frame."""
    recorded: Outcomes
    """What the dataset itself says of its episodes; some or all may lack."""
    scores: Scores | None
    """The ranking of the failures, where there is one."""

    @property
    def episode_indices(self) -> np.ndarray:
        """(N,) int64, strictly increasing."""
        return self.layout.episode_indices

    @property
    def videos(self) -> list[Path]:
        """Every video file once, relative to the dataset; the page asks for them by position."""
        spans = [self.layout.videos.get(feature) for feature in self.layout.cameras.values()]
        return [Path(f) for f in dict.fromkeys(f for s in spans if s for f in s.files)]

    def as_json(self) -> dict[str, Any]:
        """What the page lists and plays: `cameras` and one entry an episode.

        Each entry has a clip a camera: `[video, seconds from its start]`, or None where the
        camera's frames are stored as pictures.
        """
        ranks = self._ranks()
        clips = zip(*self._clips(), strict=True) if self.layout.cameras else None
        return {
            "dataset": self.layout.home.resolve().name,
            "fps": self.layout.fps,
            "ranked": self.scores is not None,
            "measure": None if self.scores is None else self.scores.measure.as_json(),
            "cameras": list(self.layout.cameras),
            "episodes": [
                {
                    "episode": episode,
                    "length": length,
                    "task": task,
                    "recorded": _word(self.recorded.successes.get(episode)),
                    "source": self.recorded.sources.get(episode, ""),
                    "rank": ranks.get(episode),
                    "clips": list(next(clips)) if clips else [],
                }
                for episode, length, task in zip(
                    self.episode_indices.tolist(),
                    self.layout.lengths.tolist(),
                    self.layout.tasks or [""] * len(self.episode_indices),
                    strict=True,
                )
            ],
        }

    def _ranks(self) -> dict[int, list[float]]:
        """Episode index -> [place in the ranking from 1, score]."""
        ranked = self.scores.ranked() if self.scores else []
        return {f.episode: [place, f.mean] for place, f in enumerate(ranked, start=1)}

    def _clips(self) -> list[Sequence[Any]]:
        """For each camera, a clip an episode."""
        place = {str(video): i for i, video in enumerate(self.videos)}
        clips: list[Sequence[Any]] = []
        for feature in self.layout.cameras.values():
            spans = self.layout.videos.get(feature)
            if spans is None:
                clips.append([None] * len(self.episode_indices))
                continue
            first = self.rows.columns["timestamp"][self.layout.starts[:-1]].astype(np.float64)
            starts = (spans.from_timestamps + first).tolist()
            files = [place[str(Path(file))] for file in spans.files]
            clips.append(list(zip(files, starts, strict=True)))
        return clips


def _word(success: bool | None) -> Outcome | None:
    if success is None:
        return None
    return Outcome.of(success)


def read_catalogue(root: Path, scores: Path | None = None, *, skip_bad: bool = False) -> Catalogue:
    """Read a dataset's index and outcomes, and the ranking of its failures.

    Args:
        root: folder of the dataset.
        scores: `scores.json`, as `outtakes rank` writes it.
        skip_bad: leave corrupt episodes out.

    Raises:
        CorruptEpisode: when an episode cannot be shown as it was; unless they are left out.
        DatasetError: when there is no dataset, or it is damaged.
        ArtifactError: when the scores are unreadable or of another dataset.
    """
    layout = find_layout(root)
    columns = frame_columns(layout.features, None)
    while True:
        layout, rows = read_rows(layout, columns, skip_bad=skip_bad)
        faults = Faults(skip=skip_bad)
        _check_shown(layout, rows, faults)
        if not faults.found:
            break
        layout = layout.without(faults.found)
    recorded = recorded_outcomes(layout.evidence(rows.columns, labels=None))
    ranking = None if scores is None else Scores.load(scores)
    if scores is not None and ranking is not None:
        _check_ranked(scores, ranking, layout)
    return Catalogue(layout, rows, recorded, ranking)


def _check_shown(layout: Layout, rows: Rows, faults: Faults) -> None:
    """Report every episode that the page would show other frames of than were recorded."""
    for spans in layout.videos.values():
        for path, _, times, episodes in wanted_frames(layout, rows, spans):
            check_end(path, times, episodes, layout.fps, faults)
    if not layout.videos:
        return
    times = rows.columns["timestamp"].astype(np.float64)
    for i, (start, length) in enumerate(zip(layout.starts, layout.lengths, strict=False)):
        if not is_even(times[start : start + length], layout.fps):
            faults.report(
                CorruptEpisode(
                    int(layout.episode_indices[i]),
                    f"frames are not {1 / layout.fps:g} s apart",
                    file=layout.root / layout.episode_files[i],
                    remedy="look at what 'outtakes export' makes of the dataset",
                )
            )


def _check_ranked(path: Path, scores: Scores, layout: Layout) -> None:
    known = {*layout.episode_indices.tolist(), *layout.left_out}
    strange = [f.episode for f in scores.failures if f.episode not in known]
    if strange:
        raise ArtifactError(
            f"the scores rank episode {strange[0]}, which the dataset does not have",
            where=path,
            remedy=f"give the scores of {layout.root}",
        )
