"""How often a sampler should draw each episode, from a selection and a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import ArtifactError
from outtakes.files import write_atomically
from outtakes.ranking.scores import Scores
from outtakes.selection.select import Selection


@dataclass(frozen=True)
class EpisodeWeight:
    """One row of `weights.parquet`."""

    episode: int
    """Episode index in the dataset that was selected from."""
    exported: int | None
    """Its index among the kept episodes alone; None when it is dropped."""
    outcome: Outcome
    score: float | None
    """In the unit of the scores' measure; None for successes, and without scores."""
    rank: int | None
    """Place in the ranking, from 1; None for successes, and without scores."""
    weight: float
    """In [0, 1]: 0 dropped; 1 a success, or a failure kept without scores; else falling linearly
    with the rank, from 1 for the first of n failures to 1/n for the last."""


def weigh(demos: DemoSet, selection: Selection, scores: Scores | None) -> list[EpisodeWeight]:
    """The weight of every episode, by episode index.

    Args:
        demos: the dataset.
        selection: what is kept of it.
        scores: the ranking of its failures, to weigh those that are kept by; None for 1 each.

    Raises:
        ArtifactError: when a kept failure is not ranked.
    """
    ranked = {} if scores is None else {f.episode: f.mean for f in scores.ranked()}
    ranks = {episode: rank for rank, episode in enumerate(ranked, start=1)}
    places = {episode: place for place, episode in enumerate(selection.kept)}
    rows = []
    for episode, success in zip(demos.episode_indices.tolist(), demos.successes, strict=True):
        kept = episode in places
        if scores is not None and kept and not success and episode not in ranks:
            raise ArtifactError(
                f"the scores do not rank episode {episode}, a failure that is kept",
                where=scores.dataset,
                remedy="rank runs that were trained on it, or leave --scores out",
            )
        by_rank = scores is not None and not success
        weight = 1 - (ranks[episode] - 1) / len(ranks) if kept and by_rank else float(kept)
        rows.append(
            EpisodeWeight(
                episode,
                places.get(episode),
                Outcome.of(success),
                ranked.get(episode),
                ranks.get(episode),
                weight,
            )
        )
    return rows


def save_weights(path: Path, rows: Sequence[EpisodeWeight], *, exported: bool) -> None:
    """Write `weights.parquet`: of every episode of the dataset that was selected from, or of those
    of the exported dataset, by their indices there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [row for row in rows if row.exported is not None] if exported else rows
    own = [row.exported if exported else row.episode for row in rows]
    columns = {
        "episode_index": pa.array(own, pa.int64()),
        "source_episode": pa.array([row.episode for row in rows], pa.int64()),
        "outcome": pa.array([row.outcome.value for row in rows], pa.string()),
        "score": pa.array([row.score for row in rows], pa.float64()),
        "rank": pa.array([row.rank for row in rows], pa.int64()),
        "weight": pa.array([row.weight for row in rows], pa.float64()),
    }
    write_atomically(path, lambda draft: pq.write_table(pa.table(columns), draft))
