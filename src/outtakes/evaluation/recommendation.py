"""Recommendation: what to do with the failures, in everyday words, from what was measured.

`recommend` is a pure function of the evidence. Whoever measures more or better gives it other
evidence; how it is said stays the same on the terminal, on the page and in JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from outtakes.files import Location, load_json, write_json

WORTHWHILE = 0.02
"""Gains that are surely smaller are no reason to train on failures."""
_LEVEL = 0.05
_KIND, _VERSION = "recommendation", 1


class Yardstick(StrEnum):
    """What told the ways of training apart; for people."""

    ROLLOUTS = "success rate in rollouts"
    HELD_OUT = "error in predicting the actions of successes that were held out of training"


class Decision(StrEnum):
    """What to do with the failures."""

    USE = "use these"
    LEAVE_OUT = "leave them out"
    UNCLEAR = "cannot tell yet"


@dataclass(frozen=True)
class Gain:
    """How much better a policy is with failures than without; below 0 when it is worse.

    Shares: 0.05 is five points of success rate, or a prediction error lower by 5 % of itself.
    """

    mean: float
    low: float
    high: float
    """95 % interval."""
    p: float
    """Of no difference; adjusted for how many were compared, unless the option was named before."""
    seeds: int
    """Training seeds behind it. With one alone nothing is settled: it moves a result by itself."""

    @property
    def helps(self) -> bool:
        """Whether it is surely above 0."""
        return self.seeds > 1 and self.low > 0 and self.p < _LEVEL

    @property
    def futile(self) -> bool:
        """Whether it is surely too small to be worth anything."""
        return self.seeds > 1 and self.high < WORTHWHILE


@dataclass(frozen=True)
class Option:
    """One way to use failures."""

    what: str
    """For people, for example "the 10 failures nearest to the successes"."""
    failures: tuple[int, ...]
    """Episode indices to train on beside the successes."""
    gain: Gain | None = None
    """Against training on the successes alone; None when it was not tried."""
    control: bool = False
    """Whether it is there to compare with, and not to be recommended."""
    policy: str = "act-pb"
    """Kind of policy that it was tried with, as `outtakes train --policy` names it."""
    arm: str = ""
    """Name, among the experiment's runs, of the policies it was tried with; "" where it has none of
    its own."""


@dataclass(frozen=True)
class Evidence:
    """What is known about the failures of a dataset."""

    successes: int
    """How many there are."""
    options: Sequence[Option]
    """The one that was chosen before anything was measured comes first."""
    yardstick: Yardstick
    baseline: float | None = None
    """What the successes alone came to by it; a success rate in [0, 1]."""
    basis: str = ""
    """What was measured, for people, for example "5 training seeds × 100 rollouts"."""
    too_short: str = ""
    """Why the numbers mean nothing, when the recipe is too small for them to."""
    doubts: Sequence[str] = ()
    """What else a reader should know before relying on it, a sentence each."""


@dataclass(frozen=True)
class Command:
    """A shell command, ready to be run."""

    purpose: str
    """What it does, for people, without a full stop."""
    line: str


@dataclass(frozen=True)
class Recommendation:
    """What to do with the failures, what to expect, and how."""

    decision: Decision
    headline: str
    """What to do, in a sentence."""
    why: str
    """What it rests on, in a sentence or two."""
    advice: str
    """What to do about what is still open."""
    failures: tuple[int, ...]
    """Episode indices to train on beside all successes; empty unless they are to be used."""
    yardstick: Yardstick
    basis: str
    change: float | None
    """Expected gain of the option in question, a share; None when nothing was measured."""
    low: float | None
    high: float | None
    """95 % interval of the change."""
    doubts: tuple[str, ...]
    """What to know before relying on it."""
    tried: tuple[Option, ...]
    """Every option, with its gain."""
    policy: str = "act-pb"
    """Kind of policy that the change was measured with."""
    arm: str = ""
    """Name, among the experiment's runs, of the policies it was measured with."""
    again: bool = False
    """Whether it must be run again, with more training, before anything can be told."""
    commands: tuple[Command, ...] = ()
    """They do what is recommended."""

    def as_json(self) -> dict[str, Any]:
        """For `recommendation.json` and `--json`."""
        return asdict(self)

    def save(self, path: Location) -> None:
        """Write `recommendation.json`."""
        write_json(path, _KIND, _VERSION, self.as_json())

    @staticmethod
    def load(path: Location) -> Recommendation:
        """Read `recommendation.json`.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        return load_json(path, _KIND, _VERSION, _parse, remedy="write the report again")


def _parse(content: Mapping[str, Any]) -> Recommendation:
    own = {name: value for name, value in content.items() if name not in ("kind", "version")}
    own |= {
        "decision": Decision(own["decision"]),
        "yardstick": Yardstick(own["yardstick"]),
        "failures": tuple(own["failures"]),
        "doubts": tuple(own["doubts"]),
        "tried": tuple(_option(option) for option in own["tried"]),
        "commands": tuple(Command(**command) for command in own["commands"]),
    }
    return Recommendation(**own)


def _option(content: Mapping[str, Any]) -> Option:
    gain = content["gain"]
    return Option(
        content["what"],
        tuple(content["failures"]),
        None if gain is None else Gain(**gain),
        content["control"],
        content.get("policy", "act-pb"),
        content.get("arm", ""),
    )


# --- composing ------------------------------------------------------------------------------------


def recommend(evidence: Evidence) -> Recommendation:
    """One recommendation.

    Failures are used when the best option surely helps, and left out when no option can be worth
    it, or when one surely harms and none looks better. In between nobody can tell; the successes
    alone are then what does no harm.
    """
    decision, option = _decide(evidence)
    gain = option.gain
    return Recommendation(
        decision=decision,
        headline=_headline(evidence, decision, option),
        why=_why(evidence, option),
        advice=_advice(evidence, decision, option),
        failures=option.failures if decision is Decision.USE else (),
        yardstick=evidence.yardstick,
        basis=evidence.basis,
        change=None if gain is None else gain.mean,
        low=None if gain is None else gain.low,
        high=None if gain is None else gain.high,
        doubts=tuple(_doubts(evidence, option)),
        tried=tuple(evidence.options),
        policy=option.policy,
        arm=option.arm,
        again=bool(evidence.too_short) or (gain is not None and gain.seeds == 1),
    )


def _decide(evidence: Evidence) -> tuple[Decision, Option]:
    """What to do, and the option that it is about."""
    first, *_ = evidence.options
    gains = {o: o.gain for o in evidence.options if o.gain is not None and not o.control}
    if evidence.too_short or not gains:
        return Decision.UNCLEAR, first
    best = max(gains, key=lambda option: gains[option].mean)
    helping = [option for option, gain in gains.items() if gain.helps]
    if helping:
        return Decision.USE, max(helping, key=lambda option: gains[option].mean)
    harmful = any(gain.seeds > 1 and gain.high < 0 for gain in gains.values())
    if all(g.futile for g in gains.values()) or (harmful and gains[best].mean <= 0):
        return Decision.LEAVE_OUT, first
    return Decision.UNCLEAR, first


def _headline(evidence: Evidence, decision: Decision, option: Option) -> str:
    alone = f"the {_counted(evidence.successes, 'success', 'successes')} alone"
    if decision is Decision.USE:
        base, gain = evidence.baseline, option.gain
        if evidence.yardstick is Yardstick.ROLLOUTS and base is not None and gain is not None:
            return (
                f"Use {option.what}: adding them raised success from {100 * base:.0f} % to "
                f"{100 * (base + gain.mean):.0f} %."
            )
        return f"Use {option.what}: train on them beside the successes."
    if decision is Decision.LEAVE_OUT:
        return f"Leave the failures out: train on {alone}."
    return f"Cannot tell yet whether {option.what} would help. Until you know, train on {alone}."


def _why(evidence: Evidence, option: Option) -> str:
    if option.gain is None:
        return "No policy was trained both with and without them."
    said = [f"With {option.what}, {_changed(evidence, option.gain)}."]
    for other in evidence.options:
        gain = other.gain
        if other is not option and not other.control and gain and gain.seeds > 1 and gain.high < 0:
            said.append(f"{_sentence(other.what)} made it worse for certain.")
    return " ".join(said)


def _changed(evidence: Evidence, gain: Gain) -> str:
    better = gain.mean >= 0
    interval = f"95 % interval {_signed(gain.low)} to {_signed(gain.high)}"
    if evidence.yardstick is Yardstick.HELD_OUT:
        return (
            f"the policy predicted the actions of successes it had not seen "
            f"{_size(gain.mean)} % {'better' if better else 'worse'} than without ({interval} %)"
        )
    base = evidence.baseline or 0.0
    return (
        f"success went from {100 * base:.0f} % to {100 * (base + gain.mean):.0f} % "
        f"({_size(gain.mean)} points {'more' if better else 'fewer'}, {interval})"
    )


def _advice(evidence: Evidence, decision: Decision, option: Option) -> str:
    simulated = evidence.yardstick is Yardstick.ROLLOUTS
    robot = "train both ways and roll each out on your robot, 20 times or more"
    if decision is Decision.USE:
        if simulated:
            return "This holds for this task in simulation; other data must be asked again."
        return (
            "Predicting better is not the same as succeeding more often: before you rely on it, "
            f"{robot}."
        )
    if decision is Decision.LEAVE_OUT:
        return "None of the ways to use them that were tried did better."
    if evidence.too_short:
        return "Run it again with a longer recipe, such as --recipe quick."
    if option.gain is None:
        return "Train with and without them and compare the rollouts."
    if option.gain.seeds == 1:
        return "Run it again with more training seeds, for example --seeds 0 1 2 3 4."
    if simulated:
        return "More training seeds or more rollouts would settle it."
    return f"To find out, {robot}; or record more demonstrations and run this again."


def _doubts(evidence: Evidence, option: Option) -> Iterator[str]:
    if evidence.too_short:
        yield evidence.too_short
    if option.gain is not None and option.gain.seeds == 1:
        yield (
            "Every way of training was tried once: its random numbers alone can make such a "
            "difference."
        )
    yield from evidence.doubts


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _size(share: float) -> str:
    return f"{abs(100 * share):.2g}" if abs(share) < 0.1 else f"{abs(100 * share):.0f}"


def _signed(share: float) -> str:
    return f"{'−' if share < 0 else '+'}{_size(share)}"
