"""What a ranking measures, in words and signs, for every page that shows one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from outtakes.errors import ConfigError


class Needs(StrEnum):
    """What must have been trained before failures can be ranked."""

    DATASET = "the dataset alone"
    """Nothing."""
    BIAS = "parametric bias, on successes and failures"
    """Runs of ACT with a parametric bias, trained on everything."""
    SUCCESSES = "any policy, on the successes alone"
    """Runs of any policy that has seen no failure."""
    HELD_OUT = "any policy, on some of the successes alone"
    """Runs of any policy that has seen no failure, and not every success."""
    EACH = "what each of its rankers needs"
    """Of a combination."""


class End(StrEnum):
    """An end of a ranking."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True)
class Measure:
    """A number for every failure, and how to read it.

    Raises:
        ConfigError: when a word is missing.
    """

    key: str
    """Its name on the command line, for example "attention"."""
    name: str
    """For people, for example "attention divergence"."""
    symbol: str
    """For axes and tables, for example "K̄"."""
    unit: str
    """For example "nats"."""
    meaning: str
    """What it says, in a sentence or two that need no other reading."""
    needs: Needs
    useful: End = End.LOW
    """The values of failures that are expected to teach most."""
    summed: bool = False
    """Whether it is a sum over the successes, which then is also given per success."""
    over_time: str = ""
    """What its value at each frame is, for people; "" when it has none."""

    def __post_init__(self) -> None:
        for name in ("key", "name", "symbol", "unit", "meaning"):
            if not getattr(self, name):
                raise ConfigError(f"a measure without {name}", remedy="name it")

    def of(self, value: float, digits: int = 4) -> str:
        """A value with symbol and unit, for example "K̄ 1.234 nats"."""
        return f"{self.symbol} {value:.{digits}g} {self.unit}"

    def as_json(self) -> dict[str, Any]:
        """For `scores.json`."""
        return asdict(self)

    @staticmethod
    def from_json(content: dict[str, Any]) -> Measure:
        """The inverse of `as_json`.

        Raises:
            TypeError: when a field is missing or not known.
            ValueError: on unknown needs or an unknown end.
        """
        words = {"useful": End.LOW, **content}
        if "low_is_near" in content:  # files before a ranking had a useful end
            words["useful"] = End.LOW if words.pop("low_is_near") else End.HIGH
        return Measure(**{**words, "needs": Needs(words["needs"]), "useful": End(words["useful"])})


ATTENTION = Measure(
    key="attention",
    name="attention divergence",
    symbol="K̄",
    unit="nats",
    meaning="Distance of one failure from the successes: how differently the policy pays attention "
    "when it imitates that failure and when it imitates each success, from the same camera images "
    "and joint readings. Summed over the successes, averaged over time and over training seeds. "
    "Small means nearly a success. A nat is the unit of that distance (a bit is 0.69 nats).",
    needs=Needs.BIAS,
    summed=True,
    over_time="divergence averaged over the successes",
)
"""The paper's (Eq. 5)."""
