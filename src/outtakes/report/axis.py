"""One axis of a plot: from data to per cent of the drawing's width or height.

Everything is placed in per cent, so a figure fills whatever width the page has while its text and
markers keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from outtakes.report.quantities import signed


@dataclass(frozen=True)
class Tick:
    """One labelled line of the grid."""

    at: float
    """Per cent along the axis."""
    label: str


@dataclass(frozen=True)
class Axis:
    """A linear axis over [low, high]."""

    label: str
    """What it measures, with the unit."""
    low: float
    high: float
    ticks: Sequence[Tick] = ()

    def place(self, value: float) -> float:
        """Per cent of the axis' length at which this value stands."""
        return round(100 * (value - self.low) / (self.high - self.low), 3)


def fit_axis(
    label: str,
    values: Iterable[float],
    *,
    margin: float = 0.06,
    floor: float = -math.inf,
    ceiling: float = math.inf,
    count: int = 5,
    scale: float = 1.0,
) -> Axis:
    """An axis that holds all values, with round ticks.

    Args:
        label: what it measures, with the unit.
        values: what must fit.
        margin: room on both sides, as a share of the values' range.
        floor: the axis never goes below; ceiling: nor above.
        ceiling: see floor.
        count: about how many ticks.
        scale: tick labels show the value times this; 100 for per cent.
    """
    values = list(values)
    low, high = min(values), max(values)
    room = margin * (high - low) if high > low else margin * abs(high) or 1.0
    low, high = max(low - room, floor), min(high + room, ceiling)
    return Axis(label, low, high, _ticks(low, high, count, scale))


def equal_axes(
    x_label: str, y_label: str, xs: Sequence[float], ys: Sequence[float], aspect: float
) -> tuple[Axis, Axis]:
    """Two axes on which a unit is equally long, for a drawing `aspect` times as wide as high."""
    x, y = fit_axis(x_label, xs), fit_axis(y_label, ys)
    height = max(y.high - y.low, (x.high - x.low) / aspect)
    return _widen(x, height * aspect), _widen(y, height)


def fitting_aspect(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Width / height of a drawing that these points fill, within what fits on a page."""
    width, height = max(xs) - min(xs), max(ys) - min(ys)
    return min(max(width / height if height else math.inf, 0.75), 1.75)


def rank_axis(label: str, count: int, names: Sequence[str] = ()) -> Axis:
    """An axis over the ranks 1 to `count`, ticks at 1 and at round ranks, or at all by name."""
    axis = Axis(label, 0.5, count + 0.5)
    if names:
        named = [Tick(axis.place(r), name) for r, name in enumerate(names, start=1)]
        return Axis(label, axis.low, axis.high, named)
    step = max(1, math.ceil(_round_step(count / 12)))
    ranks = sorted({1, *range(step, count + 1, step)})
    return Axis(label, axis.low, axis.high, [Tick(axis.place(r), str(r)) for r in ranks])


def _widen(axis: Axis, length: float) -> Axis:
    centre = (axis.low + axis.high) / 2
    low, high = centre - length / 2, centre + length / 2
    return Axis(axis.label, low, high, _ticks(low, high, 5, 1.0))


def _ticks(low: float, high: float, count: int, scale: float) -> list[Tick]:
    step = _round_step((high - low) / count)
    decimals = max(0, -math.floor(math.log10(step * scale) + 1e-9))
    if round(step * scale * 10**decimals, 6) != round(step * scale * 10**decimals):
        decimals += 1  # steps of 2.5
    multiples = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    axis = Axis("", low, high)
    return [
        Tick(axis.place(i * step), signed(f"{i * step * scale:.{decimals}f}")) for i in multiples
    ]


def _round_step(step: float) -> float:
    """The least of 1, 2, 2.5, 5, 10 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= step * (1 - 1e-9))
