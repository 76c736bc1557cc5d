"""The card of a failed demonstration, ready to be laid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from outtakes.report.content import FailureCard
from outtakes.report.figures import Shading, kind_words
from outtakes.report.media import poster_path
from outtakes.report.quantities import ordinal, significant

Link = Callable[[Path], str]
"""Turns a path into an address relative to the page."""


@dataclass(frozen=True)
class Video:
    """A video's address and what is shown before it plays."""

    address: str
    poster: str


@dataclass(frozen=True)
class Curve:
    """The measure over time, drawn in a box of T - 1 by 1 whose top is `peak`."""

    points: str
    """SVG points: frame, and 1 - value / peak."""
    width: int
    peak: float
    """In the measure's unit, one for all cards, so that curves compare."""
    peak_label: str
    duration: str
    """Seconds until the last frame, in words."""


@dataclass(frozen=True)
class CardView:
    """What the template needs of one failure."""

    card: FailureCard
    rank: str
    score: str
    shade: float | None
    kind: str
    size: str
    seeds: Sequence[tuple[int, str]]
    video: Video | None
    nearest_video: Video | None
    thumbnails: Sequence[str]
    curve: Curve | None


def card_views(cards: Sequence[FailureCard], shading: Shading, link: Link) -> list[CardView]:
    """The cards in the given order, their curves on one scale."""
    peak = max((value for card in cards for value in card.over_time), default=0.0) or 1.0
    return [_view(card, shading, link, peak) for card in cards]


def video_view(path: Path, link: Link) -> Video:
    """A video with its poster, where there is one."""
    poster = poster_path(path)
    return Video(link(path), link(poster) if poster.exists() else "")


def _view(card: FailureCard, shading: Shading, link: Link, peak: float) -> CardView:
    return CardView(
        card=card,
        rank=ordinal(card.rank),
        score=significant(card.score),
        shade=shading(card.score),
        kind=kind_words(card.mistake) if card.mistake else "",
        size="" if card.mistake_size is None else _size(card.mistake_size, card.mistake_unit),
        seeds=[(seed, significant(value)) for seed, value in sorted(card.per_seed.items())],
        video=video_view(card.video, link) if card.video else None,
        nearest_video=video_view(card.nearest_video, link) if card.nearest_video else None,
        thumbnails=[link(path) for path in card.thumbnails],
        curve=_curve(card, peak) if len(card.over_time) else None,
    )


def _size(size: float, unit: str) -> str:
    return f"{significant(size, 2)}\u202f{unit}".strip()


def _curve(card: FailureCard, peak: float) -> Curve:
    points = " ".join(f"{i},{1 - v / peak:.4g}" for i, v in enumerate(card.over_time))
    frames = len(card.over_time)
    return Curve(
        points=points,
        width=max(frames - 1, 1),
        peak=peak,
        peak_label=significant(peak, 2),
        duration=f"{(frames - 1) / card.fps:.1f}",
    )
