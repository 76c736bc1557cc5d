"""Foresight: how far action error on held-out successes tells which way to train succeeds more.

Where there is no simulator, held-out error is all that advice can rest on. Here both are known, so
what following it would have come to can be counted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.evaluation.replicates import ReplicatedMean, replicated_mean
from outtakes.files import load_json, write_json

HARM = 0.03
"""A success rate lower by more than this is harm done."""
_KIND, _VERSION = "foresight", 1


@dataclass(frozen=True)
class Foretold:
    """One way to train in one replicate, by both yardsticks."""

    replicate: int
    way: str
    """For example "act-all" or "pb-all (mean)"."""
    steps: int
    """How long it was trained."""
    error: float
    """Held-out action error, in standard deviations of the successes' actions."""
    rate: float
    """Success rate in rollouts."""


@dataclass(frozen=True)
class Foresight:
    """Ways to train, each by both yardsticks."""

    foretold: tuple[Foretold, ...]

    def among_ways(self) -> ReplicatedMean | None:
        """Kendall's τ-b between small error and success, of ways trained equally long.

        Mean over the lengths of a replicate, then over replicates; None where no two ways were.
        """
        return self._agreement(lambda f: f.steps)

    def among_lengths(self) -> ReplicatedMean | None:
        """The same of one way trained for several lengths: mean over the ways of a replicate."""
        return self._agreement(lambda f: f.way)

    def of_all(self) -> ReplicatedMean | None:
        """The same of all ways at all their lengths."""
        return self._agreement(lambda f: 0)

    def gain(self, baseline: str) -> ReplicatedMean:
        """Success, beyond the baseline's, of the way and length with the least error.

        The baseline is trained for the length at which it is best, by rollouts.
        """
        return replicated_mean([p.rate - b.rate for p, b in self._followed(baseline)])

    def regret(self) -> ReplicatedMean:
        """Success that following the least error forgoes against what is best in hindsight: the way
        and length with the highest success rate over replicates."""
        best = self._best(self.foretold)
        lost = [
            next(f.rate for f in own if (f.way, f.steps) == best) - _least_error(own).rate
            for own in self._replicates()
        ]
        return replicated_mean(lost)

    def harmed(self, baseline: str) -> int:
        """Replicates in which following the least error succeeds less than the baseline by more
        than `HARM`."""
        return sum(p.rate < b.rate - HARM for p, b in self._followed(baseline))

    def table(self, baseline: str) -> str:
        """What it comes to, in Markdown."""
        found = {
            "Agreement (Kendall's τ) among ways trained equally long": self.among_ways(),
            "among lengths of one way": self.among_lengths(),
            "among all": self.of_all(),
        }
        lines = ["| Held-out error against success in rollouts | |", "|---|---|"]
        lines += [f"| {what} | {t.text('.2f', 1)} |" for what, t in found.items() if t]
        n = len(self._replicates())
        lines += [
            f"| Gain of the least error over {baseline}, points | "
            f"{self.gain(baseline).text('+.1f')} |",
            f"| Short of the best in hindsight, points | {self.regret().text('.1f')} |",
            f"| More than {100 * HARM:.0f} points worse than {baseline} | "
            f"{self.harmed(baseline)} of {n} |",
        ]
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write `foresight.json`."""
        write_json(path, _KIND, _VERSION, {"foretold": [asdict(f) for f in self.foretold]})

    @staticmethod
    def load(path: Path) -> Foresight:
        """Read `foresight.json`.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        return load_json(
            path,
            _KIND,
            _VERSION,
            lambda content: Foresight(tuple(Foretold(**f) for f in content["foretold"])),
            remedy="run the study again",
        )

    def _replicates(self) -> list[list[Foretold]]:
        return list(_grouped(self.foretold, lambda f: f.replicate).values())

    def _agreement(self, alike: Callable[[Foretold], Hashable]) -> ReplicatedMean | None:
        means = []
        for own in self._replicates():
            taus = [_kendall(group) for group in _grouped(own, alike).values()]
            if known := [tau for tau in taus if not np.isnan(tau)]:
                means.append(float(np.mean(known)))
        return replicated_mean(means) if means else None

    def _followed(self, baseline: str) -> list[tuple[Foretold, Foretold]]:
        """In each replicate, the least error and the baseline at its best length."""
        _, steps = self._best(f for f in self.foretold if f.way == baseline)
        return [
            (_least_error(own), next(f for f in own if (f.way, f.steps) == (baseline, steps)))
            for own in self._replicates()
        ]

    @staticmethod
    def _best(foretold: Iterable[Foretold]) -> tuple[str, int]:
        """Way and length with the highest success rate over replicates."""
        groups = _grouped(foretold, lambda f: (f.way, f.steps))
        return max(groups, key=lambda key: np.mean([f.rate for f in groups[key]]))


def _least_error(foretold: Sequence[Foretold]) -> Foretold:
    return min(foretold, key=lambda f: f.error)


def _grouped[K: Hashable](
    foretold: Iterable[Foretold], key: Callable[[Foretold], K]
) -> Mapping[K, list[Foretold]]:
    groups: dict[K, list[Foretold]] = {}
    for f in foretold:
        groups.setdefault(key(f), []).append(f)
    return groups


def _kendall(foretold: Sequence[Foretold]) -> float:
    """τ-b between small error and success; NaN where either does not vary."""
    from scipy.stats import kendalltau

    if len(foretold) < 2:
        return float("nan")
    found: Any = kendalltau([-f.error for f in foretold], [f.rate for f in foretold])
    return float(found.statistic)
