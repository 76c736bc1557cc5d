"""What the page shows of a dataset and no key press changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.demo import Outcome
from outtakes.data.lerobot.layout import Layout, read_layout
from outtakes.data.lerobot.rows import Rows, read_rows
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
            "dataset": self.layout.root.resolve().name,
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
            starts = spans.from_timestamps.tolist()
            files = [place[str(Path(file))] for file in spans.files]
            clips.append(list(zip(files, starts, strict=True)))
        return clips


def _word(success: bool | None) -> Outcome | None:
    if success is None:
        return None
    return Outcome.of(success)


def read_catalogue(root: Path, scores: Path | None = None) -> Catalogue:
    """Read a dataset's index and outcomes, and the ranking of its failures.

    Args:
        root: folder of a LeRobotDataset v3.0.
        scores: `scores.json`, as `outtakes rank` writes it.

    Raises:
        DatasetError: when there is no dataset, or it is damaged.
        ArtifactError: when the scores are unreadable or of another dataset.
    """
    layout = read_layout(root)
    layout, rows = read_rows(layout, frame_columns(layout.features, None), skip_bad=False)
    recorded = recorded_outcomes(layout.evidence(rows.columns, labels=None))
    ranking = None if scores is None else Scores.load(scores)
    if scores is not None and ranking is not None:
        _check_ranked(scores, ranking, layout)
    return Catalogue(layout, rows, recorded, ranking)


def _check_ranked(path: Path, scores: Scores, layout: Layout) -> None:
    known = set(layout.episode_indices.tolist())
    strange = [f.episode for f in scores.failures if f.episode not in known]
    if strange:
        raise ArtifactError(
            f"the scores rank episode {strange[0]}, which the dataset does not have",
            where=path,
            remedy=f"give the scores of {layout.root}",
        )
