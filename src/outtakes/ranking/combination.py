"""Several rankers as one: a weighted mean of the places they give a failure.

r̄(f) = Σᵢ wᵢ rᵢ(f) / Σᵢ |wᵢ|, where rᵢ is the rank of f by ranker i, 1 for the failure it expects
most of, and equal scores share the mean of their ranks. A negative weight turns a ranker round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import ConfigError, DatasetError
from outtakes.policy.checkpoint import Checkpoint
from outtakes.progress import Progress
from outtakes.ranking.attention.scoring import AttentionRanker
from outtakes.ranking.measure import End, Measure, Needs
from outtakes.ranking.ranker import Ranker, ranker
from outtakes.ranking.ranks import ranks
from outtakes.ranking.scores import FailureScore, Scores, rank


@dataclass(frozen=True)
class Part:
    """A ranker and what it counts for."""

    ranker: Ranker
    weight: float = 1.0
    """Not 0."""


def chosen_rankers(by: str | Ranker, pairs: int | None = None) -> list[Part]:
    """The rankers of these names with their weights; those by attention sample so many pairs.

    Raises:
        ConfigError: when pairs are given and no ranker has any, or a weight is no number.
        UnknownName: when there is no such ranker.
    """
    parts = parse(by) if isinstance(by, str) else [Part(by)]
    if pairs is None:
        return parts
    if not any(isinstance(part.ranker, AttentionRanker) for part in parts):
        names = " and ".join(part.ranker.measure.key for part in parts)
        raise ConfigError(f"pairs to rank by {names}", remedy="rank by attention")
    return [_sampling(part, pairs) for part in parts]


def _sampling(part: Part, pairs: int) -> Part:
    if not isinstance(part.ranker, AttentionRanker):
        return part
    return replace(part, ranker=type(part.ranker)(pairs))


def needs_runs(parts: Sequence[Part]) -> bool:
    """Whether something must be trained before failures can be ranked by these."""
    return any(part.ranker.measure.needs is not Needs.DATASET for part in parts)


def parse(by: str) -> list[Part]:
    """The rankers of "NAME[=WEIGHT],...".

    Raises:
        ConfigError: when a weight is no number or 0, or a ranker is named twice.
        UnknownName: when there is no such ranker.
    """
    parts: dict[str, Part] = {}
    for entry in by.split(","):
        name, _, weight = (word.strip() for word in entry.partition("="))
        if name in parts:
            raise ConfigError(f"{name} is named twice in {by!r}", remedy="name each ranker once")
        parts[name] = Part(ranker(name), _weight(weight, entry) if weight else 1.0)
    return list(parts.values())


def _weight(text: str, entry: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not np.isfinite(weight) or weight == 0:
        raise ConfigError(
            f"{entry!r} has no weight", remedy="give a number that is not 0, as in coverage=2"
        )
    return weight


def rank_by(
    parts: Sequence[Part],
    runs: Sequence[Checkpoint],
    demos: DemoSet,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Scores:
    """Score every failure by a ranker, or by several and combine them.

    Args:
        parts: one or more.
        runs: for all of them; each of several takes those of the kind it needs.
        demos: the dataset.
        device: where to compute.
        progress: told of every run.

    Raises:
        DatasetError: when rankers compare the failures with different successes.
        OuttakesError: see `outtakes.ranking.scores.rank`.
    """
    if len(parts) == 1 and parts[0].weight == 1:
        return rank(parts[0].ranker, runs, demos, device=device, progress=progress)
    scored = [
        rank(own, runs_for(own, runs, demos), demos, device=device, progress=progress)
        for own in (part.ranker for part in parts)
    ]
    return combine(scored, [part.weight for part in parts])


def runs_for(ranker: Ranker, runs: Sequence[Checkpoint], demos: DemoSet) -> list[Checkpoint]:
    """The runs of the kind that a ranker needs."""
    return [run for run in runs if _kind(run, demos) is ranker.measure.needs]


def _kind(run: Checkpoint, demos: DemoSet) -> Needs:
    """What a run serves, among several."""
    if not all(run.successes):
        return Needs.BIAS
    unseen = set(demos.episodes(Outcome.SUCCESS)) - set(run.episodes)
    return Needs.HELD_OUT if unseen else Needs.SUCCESSES


def combine(scores: Sequence[Scores], weights: Sequence[float]) -> Scores:
    """Rankings of one dataset as one; see the module.

    Raises:
        DatasetError: when they are of different failures, or compare with different successes.
    """
    first = scores[0]
    for other in scores:
        if (_of_what(other), other.content_hash) != (_of_what(first), first.content_hash):
            raise DatasetError(
                f"{first.measure.key} and {other.measure.key} were ranked on different episodes",
                where=first.dataset,
                remedy="rank by both from the same dataset and from runs of the same episodes",
            )
    total = sum(weight * _places(own) for own, weight in zip(scores, weights, strict=True))
    values = total / np.abs(weights).sum()
    return Scores(
        measure=_measure([own.measure for own in scores], weights),
        dataset=first.dataset,
        content_hash=first.content_hash,
        successes=first.successes,
        unranked=first.unranked,
        failures=[
            FailureScore(failure.episode, {0: float(value)}, task=failure.task)
            for failure, value in zip(first.failures, values, strict=True)
        ],
    )


def _of_what(scores: Scores) -> tuple[list[int], list[int]]:
    return sorted(scores.successes), [failure.episode for failure in scores.failures]


def _places(scores: Scores) -> np.ndarray:
    """(F,) rank of each failure within its task, 1 for what is expected to teach most."""
    sign = 1 if scores.measure.useful is End.LOW else -1
    values = sign * np.array([failure.mean for failure in scores.failures])
    tasks = np.array([failure.task for failure in scores.failures])
    places = np.zeros(len(values))
    for task in scores.tasks:
        places[tasks == task] = ranks(values[tasks == task])
    return places


def _measure(measures: Sequence[Measure], weights: Sequence[float]) -> Measure:
    pairs = list(zip(measures, weights, strict=True))
    names = " and ".join(m.name if w == 1 else f"{w:g} × {m.name}" for m, w in pairs)
    return Measure(
        key=",".join(m.key if w == 1 else f"{m.key}={w:g}" for m, w in pairs),
        name=f"mean place by {names}",
        symbol="r̄",
        unit="places",
        meaning=f"Place of one failure among all, averaged over several rankings: {names}. In each "
        "the failure that is expected to teach most is first. Small means that they agree that "
        "it is worth keeping.",
        needs=Needs.EACH,
    )
