"""Intervals over replicates: whole experiments repeated with everything drawn anew.

Which demonstrations were collected moves a success rate as much as training seeds and initial
states do, and a finding about failures is about the next collection, not this one. So a study
repeats itself: each replicate has demonstrations, initial states and training seeds of its own, and
its arms share them. The rates of a replicate, and the differences between its arms, are then
independent of those of any other, and Student's t over replicates is all that is needed: it held a
true difference in 95 % of simulated studies of 3 to 12 replicates whatever the collections'
share of the variance, where intervals from estimated variances held it in 89 to 98 % (`python -m
benchmarks.replicates`). For a given number of runs, more replicates of fewer seeds give the shorter
interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from outtakes.errors import ArtifactError
from outtakes.evaluation.statistics import holm
from outtakes.files import load_json, write_json

_KIND, _VERSION = "replicates", 1


@dataclass(frozen=True)
class ReplicatedMean:
    """A mean over replicates, in the unit of the values."""

    mean: float
    low: float | None
    """Of the 95 % interval; None with a single replicate."""
    high: float | None
    p: float | None
    """Two-sided, of a mean of 0; None with a single replicate."""
    n: int
    """Replicates."""

    def text(self, form: str, scale: float = 100.0) -> str:
        """The mean times `scale` with its interval, where it has one.

        Args:
            form: of each number, for example "+.1f".
            scale: 100 for per cent and points.
        """
        mean = format(scale * self.mean, form)
        if self.low is None or self.high is None:
            return mean
        return f"{mean} ({format(scale * self.low, form)} to {format(scale * self.high, form)})"

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.p is not None and self.p < 0.05


def replicated_mean(values: Sequence[float]) -> ReplicatedMean:
    """Student's t interval of a mean over replicates.

    Args:
        values: one a replicate: a rate, or a difference between two arms of it.

    Raises:
        ArtifactError: when there is none.
    """
    if not len(values):
        raise ArtifactError("no replicate", remedy="run at least one")
    mean, n = float(np.mean(values)), len(values)
    from scipy.stats import t

    if n == 1:
        return ReplicatedMean(mean, None, None, None, 1)
    error = float(np.std(values, ddof=1)) / np.sqrt(n)
    margin = float(t.ppf(0.975, n - 1)) * error
    p = 2 * float(t.sf(abs(mean) / error, n - 1)) if error else float(mean == 0)
    return ReplicatedMean(mean, mean - margin, mean + margin, p, n)


@dataclass(frozen=True)
class Replicates:
    """What each arm reached in each replicate.

    Raises:
        ArtifactError: when arms have different numbers of replicates.
    """

    rates: Mapping[str, tuple[float, ...]]
    """Arm -> success rate in each replicate, 0 to 1, over its seeds and initial states."""

    def __post_init__(self) -> None:
        if len({len(rates) for rates in self.rates.values()}) > 1:
            raise ArtifactError(
                "arms with different numbers of replicates", remedy="run the study to its end"
            )

    @staticmethod
    def of(found: Sequence[Mapping[str, float]]) -> Replicates:
        """From the rates of each replicate, which all have the same arms."""
        return Replicates({name: tuple(own[name] for own in found) for name in found[0]})

    def mean(self, name: str) -> ReplicatedMean:
        """Success rate of an arm."""
        return replicated_mean(self.rates[name])

    def gain(self, name: str, over: str) -> ReplicatedMean:
        """How much more one arm reaches than another, paired by replicate."""
        return replicated_mean(np.subtract(self.rates[name], self.rates[over]).tolist())

    def table(self, against: Mapping[str, str], *, title: str, than: str) -> str:
        """In Markdown, in % and points, the best first.

        Args:
            against: arm -> the arm it is compared with; their p are adjusted for how many there
                are (Holm).
            title: of the arms.
            than: what they are compared with, for people.
        """
        gains = {name: self.gain(name, over) for name, over in against.items()}
        p_values = {name: gain.p for name, gain in gains.items() if gain.p is not None}
        adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
        lines = [
            f"| {title} | Success, % (95 % interval) | More than {than}, points | p (Holm) |",
            "|---|---|---|---|",
        ]
        for name in sorted(self.rates, key=lambda n: -self.mean(n).mean):
            gain = gains.get(name)
            more = gain.text("+.1f") if gain else ""
            p = f"{adjusted[name]:.3f}" if name in adjusted else ""
            lines.append(f"| {name} | {self.mean(name).text('.1f')} | {more} | {p} |")
        return "\n".join(lines)

    def save(self, path: Path, against: Mapping[str, str]) -> None:
        """Write the rates, and what they come to."""
        content = {
            "rates": {name: list(rates) for name, rates in self.rates.items()},
            "means": {name: asdict(self.mean(name)) for name in self.rates},
            "gains": {
                name: {"over": over, **asdict(self.gain(name, over))}
                for name, over in against.items()
            },
        }
        write_json(path, _KIND, _VERSION, content)

    @staticmethod
    def load(path: Path) -> Replicates:
        """Read the rates.

        Raises:
            ArtifactError: when the file is missing, damaged or of another version.
        """
        return load_json(
            path,
            _KIND,
            _VERSION,
            lambda content: Replicates({n: tuple(r) for n, r in content["rates"].items()}),
            remedy="run the study again",
        )
