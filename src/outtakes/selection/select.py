"""Selection: which failures to keep, by their scores (paper, Sec. 3.2 and 4.2.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from outtakes.data.demo import Outcome
from outtakes.errors import ArtifactError, ConfigError, UnknownName
from outtakes.files import Location, load_json, write_json
from outtakes.ranking.measure import End
from outtakes.ranking.scores import Scores

_KIND, _VERSION = "selection", 1
COUNT = 10
"""Failures that are kept unless somebody says how many."""
RULES = {
    "best": "ranked first",
    "worst": "ranked last",
    "low": "with the lowest scores",
    "mid": "in the middle of the ranking",
    "high": "with the highest scores",
    "random": "drawn at random",
    "below": "with scores up to the threshold",
}
"""Rule -> what it keeps of the failures, in words."""


@dataclass(frozen=True)
class Choice:
    """What was decided about one episode, and why."""

    episode: int
    kept: bool
    reason: str


@dataclass(frozen=True)
class Selection:
    """Every episode of a dataset, kept or dropped.

    Raises:
        ArtifactError: when an episode is decided on twice.
    """

    dataset: str
    content_hash: str
    rule: str
    """One of `RULES`, or "review" for what a person kept."""
    choices: Sequence[Choice]
    """One entry an episode, by episode index."""

    def __post_init__(self) -> None:
        episodes = [choice.episode for choice in self.choices]
        if len(set(episodes)) != len(episodes):
            raise ArtifactError(
                "an episode is decided on twice", where=self.dataset, remedy="select again"
            )

    @property
    def kept(self) -> list[int]:
        """Episode indices to train on, ascending."""
        return sorted(choice.episode for choice in self.choices if choice.kept)

    @property
    def outcomes(self) -> dict[int, bool]:
        """Episode index -> success, of every episode whose reason says so."""
        words = {choice.episode: choice.reason.split(",")[0] for choice in self.choices}
        return {e: word == Outcome.SUCCESS for e, word in words.items() if word in list(Outcome)}

    @property
    def dropped(self) -> list[int]:
        """Episode indices left out, ascending."""
        return sorted(choice.episode for choice in self.choices if not choice.kept)

    def as_lerobot_argument(self) -> str:
        """The kept episodes in the form `lerobot-train` takes."""
        return lerobot_argument(self.kept)

    def save(self, path: Location) -> None:
        """Write `selection.json`."""
        content = {
            "dataset": self.dataset,
            "content_hash": self.content_hash,
            "rule": self.rule,
            "kept": self.kept,
            "dropped": self.dropped,
            "reasons": {str(choice.episode): choice.reason for choice in self.choices},
            "lerobot_argument": self.as_lerobot_argument(),
        }
        write_json(path, _KIND, _VERSION, content)

    @staticmethod
    def load(path: Location) -> Selection:
        """Read `selection.json`.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        return load_json(path, _KIND, _VERSION, _parse, remedy="select again")


def lerobot_argument(episodes: Sequence[int]) -> str:
    """These episodes in the form `lerobot-train` takes."""
    return f"--dataset.episodes=[{','.join(map(str, episodes))}]"


def _parse(content: Mapping[str, Any]) -> Selection:
    decided = [(int(e), True) for e in content["kept"]]
    decided += [(int(e), False) for e in content["dropped"]]
    choices = [Choice(e, kept, content["reasons"][str(e)]) for e, kept in sorted(decided)]
    return Selection(content["dataset"], content["content_hash"], content["rule"], choices)


def select(
    scores: Scores,
    successes: Sequence[int],
    *,
    keep: str = "best",
    count: int | None = None,
    threshold: float | None = None,
    fold: int = 0,
    seed: int = 0,
) -> Selection:
    """Keep every success and some failures.

    Args:
        scores: the ranked failures.
        successes: episode indices of the successes, all kept.
        keep: "best" or "worst": the first or the last of the ranking; "low", "mid" or "high":
            those of the lowest, the middle or the highest scores; "random", one of the disjoint
            folds of them; or "below", all whose scores are no higher than `threshold`.
        count: failures to keep; `COUNT`, or all when there are fewer, when None; ignored with
            "below".
        threshold: in the unit of the scores' measure; only with "below".
        fold: which random fold.
        seed: of the shuffle behind the random folds.

    Raises:
        UnknownName: when `keep` is not a rule.
        ConfigError: when there are not enough failures, or no threshold is given.
    """
    if keep not in RULES:
        raise UnknownName("selection rule", keep, RULES)
    ranked = [failure.episode for failure in scores.ranked()]
    count = min(COUNT, len(ranked)) if count is None else count
    if keep == "below":
        chosen = _below(scores, threshold)
    elif not 0 < count <= len(ranked):
        raise not_so_many(count, len(ranked), scores.dataset)
    elif keep == "random":
        chosen = _random_fold(ranked, count, fold, seed)
    else:
        low_first = ranked if scores.measure.useful is End.LOW else ranked[::-1]
        order = ranked if keep in ("best", "worst") else low_first
        last, middle = len(ranked) - count, (len(ranked) - count) // 2
        first = {"best": 0, "low": 0, "mid": middle, "high": last, "worst": last}[keep]
        chosen = order[first : first + count]
    choices = [Choice(episode, True, "success") for episode in successes]
    choices += [Choice(e, False, "failure, of a task without successes") for e in scores.unranked]
    for task, own in scores.by_task().items():
        of_task = f" for {task!r}" if len(scores.tasks) > 1 else ""
        for place, failure in enumerate(own, start=1):
            kept = failure.episode in chosen
            reason = (
                f"failure, rank {place} of {len(own)} by {scores.measure.name} "
                f"({scores.measure.of(failure.mean)}){of_task}, {'' if kept else 'not '}among the "
                f"{len(chosen)} {RULES[keep]}"
            )
            choices.append(Choice(failure.episode, kept, reason))
    choices.sort(key=lambda choice: choice.episode)
    return Selection(scores.dataset, scores.content_hash, keep, choices)


def select_at_random(
    scores: Scores, successes: Sequence[int], *, count: int, seed: int
) -> Selection:
    """So many failures at random: each training seed has another of the disjoint random folds."""
    folds = max(1, len(scores.failures) // count)
    return select(scores, successes, keep="random", count=count, fold=seed % folds)


def not_so_many(count: int, failures: int, dataset: str) -> ConfigError:
    """The error of so many failures to keep, of so few."""
    return ConfigError(
        f"cannot keep {count} of {failures} failures",
        where=dataset,
        remedy=f"choose --count between 1 and {failures}",
    )


def _below(scores: Scores, threshold: float | None) -> list[int]:
    if threshold is None:
        raise ConfigError(
            "no threshold",
            where=scores.dataset,
            remedy=f"give --threshold in {scores.measure.unit} with --keep below",
        )
    return [f.episode for f in scores.ranked() if f.mean <= threshold]


def _random_fold(episodes: Sequence[int], count: int, fold: int, seed: int) -> list[int]:
    """One of the disjoint folds of a shuffle that does not depend on the ranking."""
    folds = len(episodes) // count
    if not 0 <= fold < folds:
        raise ConfigError(
            f"there is no random fold {fold}: {len(episodes)} failures make {folds} of {count}",
            remedy=f"choose a fold from 0 to {folds - 1}",
        )
    shuffled = np.random.default_rng(seed).permutation(sorted(episodes))
    return [int(episode) for episode in shuffled[fold * count : (fold + 1) * count]]
