"""What a plot is made of; `page/plot.html.j2` turns it into SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outtakes.report.axis import Axis


@dataclass(frozen=True)
class Segment:
    """A straight line; coordinates in per cent of the drawing, from its top left corner."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Mark:
    """A symbol that says what it is when pointed at."""

    x: float
    y: float
    symbol: str
    """One of the symbols in `page/symbols.html.j2`."""
    style: str
    """CSS classes."""
    tip: str
    """What a reader sees on pointing at it; lines are split at line feeds."""
    tail: Segment | None = None
    """Drawn under the symbol and highlighted with it: a whisker, or a line to a partner."""
    shade: float | None = None
    """Place on the scale from near (0) to far (1), for colour."""
    episode: int | None = None
    """Episode whose card it leads to."""
    label: str = ""
    """Written beside it."""
    picture: str = ""
    """Address of an image to show beside the tip."""


@dataclass(frozen=True)
class Band:
    """A shaded range along x, in per cent."""

    left: float
    width: float
    label: str


@dataclass(frozen=True)
class LegendEntry:
    """One symbol and what it stands for."""

    symbol: str
    style: str
    label: str
    shade: float | None = None


@dataclass(frozen=True)
class Plot:
    """A drawing with two axes."""

    x: Axis
    y: Axis
    marks: Sequence[Mark]
    summary: str
    """What a reader who cannot see it is told."""
    legend: Sequence[LegendEntry] = ()
    bands: Sequence[Band] = ()
    aspect: float | None = None
    """Width / height, where the two axes share a scale; else the height is fixed."""
    title: str = ""
    pictures: Sequence[tuple[int, str]] = ()
    """(episode, address) of images shown below."""


def at(x: Axis, y: Axis, x_value: float, y_value: float) -> tuple[float, float]:
    """Per cent from the left and from the top: SVG counts downwards."""
    return x.place(x_value), round(100 - y.place(y_value), 3)
