"""A recommendation as a terminal shows it: what to do, then the numbers, then the commands."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outtakes.evaluation.recommendation import Option, Recommendation

_WIDTH = 100


def advice(recommended: Recommendation) -> str:
    """The recommendation in words, its numbers and its commands."""
    return "\n".join(_lines(recommended))


def _lines(recommended: Recommendation) -> Iterator[str]:
    yield _filled(recommended.headline)
    yield from (_filled(doubt, "! ") for doubt in recommended.doubts)
    yield ""
    yield _filled(recommended.why)
    yield _filled(recommended.advice)
    measured = [option for option in recommended.tried if option.gain is not None]
    if measured:
        yield ""
        yield _filled(f"Against the successes alone, by {recommended.yardstick}:")
        width = max(len(option.what) for option in measured)
        unit = "points" if recommended.yardstick.name == "ROLLOUTS" else "%"
        yield from (_row(option, width, unit) for option in measured)
        yield _filled(f"from {recommended.basis}.", "  ")
    for command in recommended.commands:
        yield f"\n# {command.purpose}\n{command.line}"


def _row(option: Option, width: int, unit: str) -> str:
    gain = option.gain
    assert gain is not None
    word = "better" if gain.mean >= 0 else "worse"
    interval = f"{_percent(gain.low)} to {_percent(gain.high)}"
    changed = f"{_percent(gain.mean)} {unit} ({word})"
    return f"  + {option.what:<{width}}  {changed}, 95 % interval {interval} {unit}"


def _percent(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _filled(text: str, start: str = "") -> str:
    return fill(text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
