"""The report's scatter plots: failures ranked, demonstrations on a map, retrieval, mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from outtakes.report.axis import Axis, equal_axes, fit_axis, fitting_aspect, rank_axis
from outtakes.report.content import (
    Correlation,
    Curve,
    DemonstrationMap,
    FailureCard,
    MapPoint,
    MeasureWords,
    Query,
    RetrievalMap,
)
from outtakes.report.plot import Band, LegendEntry, Mark, Plot, Segment, at
from outtakes.report.quantities import significant

_ASPECT = 4 / 3
_KIND_SYMBOLS = ("triangle", "square", "diamond", "circle", "plus", "cross")
_PICTURES = 8


class Shading:
    """Where a failure's score stands between the first (0) and the last (1) of the ranking."""

    def __init__(self, cards: Sequence[FailureCard]) -> None:
        ordered = sorted(cards, key=lambda card: card.rank)
        self.first = ordered[0].score if ordered else 0.0
        self.last = ordered[-1].score if ordered else 0.0

    def __call__(self, score: float | None) -> float | None:
        """Share of the way from the first to the last; None without a score."""
        if score is None:
            return None
        if self.last == self.first:
            return 0.0
        share = (score - self.first) / (self.last - self.first)
        return round(min(max(share, 0.0), 1.0), 4)


def quantity(score: float, measure: MeasureWords) -> str:
    """A score with its name and unit."""
    return f"{measure.name} {significant(score)} {measure.unit}"


def ranking_plot(cards: Sequence[FailureCard], shading: Shading, measure: MeasureWords) -> Plot:
    """Failures in the order of their ranking, relative to the first (Figure 5, right)."""
    first, unit = shading.first, measure.unit
    values = [v - first for card in cards for v in (card.score, *card.per_seed.values())]
    x = rank_axis("rank of the failure, the most useful first", len(cards))
    y = fit_axis(f"{measure.name} above the first failure's ({unit})", values)
    ordered = sorted(cards, key=lambda card: card.rank)
    return Plot(
        x,
        y,
        [
            *_seed_dots(ordered, x, y, measure, first),
            *(_ranked(card, x, y, measure, shading) for card in ordered),
        ],
        summary=f"{len(cards)} failures in the order of their {measure.name}, "
        f"from {significant(first)} to {significant(shading.last)} {unit}",
        bands=_kept_bands(ordered, x),
        legend=[
            LegendEntry("triangle", "failure", "kept", 0.2),
            LegendEntry("triangle", "failure hollow", "dropped", 0.8),
            LegendEntry("dot", "seed", "one training seed"),
        ],
    )


def _ranked(card: FailureCard, x: Axis, y: Axis, measure: MeasureWords, shading: Shading) -> Mark:
    first = shading.first
    left, top = at(x, y, card.rank, card.score - first)
    seeds = [value - first for value in card.per_seed.values()]
    whisker = Segment(left, at(x, y, 0, min(seeds))[1], left, at(x, y, 0, max(seeds))[1])
    return Mark(
        left,
        top,
        "triangle",
        "failure" if card.kept else "failure hollow",
        f"Episode {card.episode}\n{quantity(card.score, measure)}, rank {card.rank}\n"
        f"{'kept' if card.kept else 'dropped'}"
        + (f"\n{kind_words(card.mistake)}" if card.mistake else ""),
        tail=whisker,
        shade=shading(card.score),
        episode=card.episode,
    )


def _seed_dots(
    cards: Sequence[FailureCard], x: Axis, y: Axis, measure: MeasureWords, first: float
) -> list[Mark]:
    return [
        Mark(
            *at(x, y, card.rank, value - first),
            "dot",
            "seed",
            f"Episode {card.episode}, training seed {seed}\n{significant(value)} {measure.unit}",
        )
        for card in cards
        for seed, value in sorted(card.per_seed.items())
    ]


def _kept_bands(ordered: Sequence[FailureCard], x: Axis) -> list[Band]:
    """One band for each unbroken run of kept failures."""
    bands = []
    for kept, group in groupby(ordered, key=lambda card: card.kept):
        run = list(group)
        if kept:
            left, right = x.place(run[0].rank - 0.5), x.place(run[-1].rank + 0.5)
            label = f"kept: {len(run)}" if not bands else ""
            bands.append(Band(left, round(right - left, 3), label))
    return bands


def map_plot(
    shown: DemonstrationMap,
    shading: Shading,
    cards: Iterable[FailureCard],
    measure: MeasureWords,
) -> Plot:
    """Where each demonstration lies as a training sees it (Figures 5, left, and 6)."""
    points, episodes = shown.points, {card.episode for card in cards}
    x, y = equal_axes(
        f"{shown.axes}, principal component 1",
        f"{shown.axes}, principal component 2",
        [p.x for p in points],
        [p.y for p in points],
        _ASPECT,
    )
    successes = sum(p.success for p in points)
    return Plot(
        x,
        y,
        [
            _map_mark(p, x, y, shading, measure, episodes)
            for p in sorted(points, key=lambda p: p.success)
        ],
        summary=f"Map of {successes} successes and {len(points) - successes} failures",
        legend=_outcome_legend(points),
        aspect=_ASPECT,
        title=shown.title,
    )


def _outcome_legend(points: Sequence[MapPoint]) -> list[LegendEntry]:
    entries = [LegendEntry("circle", "success", "success")]
    if any(not p.success for p in points):
        entries.append(LegendEntry("triangle", "failure", "failure, first ranked", 0.0))
        entries.append(LegendEntry("triangle", "failure", "failure, last ranked", 1.0))
    return entries


def _map_mark(
    p: MapPoint,
    x: Axis,
    y: Axis,
    shading: Shading,
    measure: MeasureWords,
    linked: Iterable[int] = (),
    pictures: Mapping[int, str] | None = None,
) -> Mark:
    outcome = "success" if p.success else "failure"
    distance = "" if p.score is None else f"\n{quantity(p.score, measure)}"
    return Mark(
        *at(x, y, p.x, p.y),
        "circle" if p.success else "triangle",
        outcome,
        f"Episode {p.episode}, {outcome}{distance}",
        shade=None if p.success else shading(p.score),
        episode=p.episode if p.episode in linked else None,
        label=str(p.episode) if pictures and p.episode in pictures else "",
        picture=(pictures or {}).get(p.episode, ""),
    )


def retrieval_plot(
    content: RetrievalMap,
    pictures: Mapping[int, str],
    shading: Shading,
    measure: MeasureWords,
) -> Plot:
    """Which success steered each rollout, by where both began (Figure 4).

    Args:
        content: the points.
        pictures: episode -> address of its first image.
        shading: of failures, should the bank hold any.
        measure: of the shading.
    """
    xs, ys = zip(*((p.x, p.y) for p in (*content.bank, *content.queries)), strict=True)
    aspect = fitting_aspect(xs, ys)
    x, y = equal_axes(content.x_label, content.y_label, xs, ys, aspect)
    bank = {p.episode: p for p in content.bank}
    queries = [
        _query_mark(q, bank.get(q.retrieved_episode), x, y, pictures) for q in content.queries
    ]
    return Plot(
        x,
        y,
        [*queries, *(_map_mark(p, x, y, shading, measure, (), pictures) for p in content.bank)],
        summary=f"Starts of {len(bank)} demonstrations and of {len(queries)} rollouts, "
        "each joined to the success it was matched with",
        legend=[
            LegendEntry("circle", "success", "start of a successful demonstration"),
            LegendEntry("diamond", "rollout", "start of a rollout that succeeded"),
            LegendEntry("cross", "rollout", "start of a rollout that failed"),
        ],
        aspect=aspect,
        pictures=[(episode, pictures[episode]) for episode in sorted(pictures)][:_PICTURES],
    )


def _query_mark(
    query: Query, match: MapPoint | None, x: Axis, y: Axis, pictures: Mapping[int, str]
) -> Mark:
    left, top = at(x, y, query.x, query.y)
    ended = "succeeded" if query.success else "failed"
    return Mark(
        left,
        top,
        "diamond" if query.success else "cross",
        "rollout",
        f"Initial state {query.initial_state}, rollout {ended}\n"
        f"matched with episode {query.retrieved_episode}",
        tail=Segment(left, top, *at(x, y, match.x, match.y)) if match else None,
        picture=pictures.get(query.retrieved_episode, ""),
    )


def curves_plot(curves: Sequence[Curve]) -> Plot:
    """Success by the length of training; the length that is used is marked."""
    steps = curves[0].steps
    x = rank_axis("optimiser steps", len(steps), [f"{n:,}" for n in steps])
    rates = [rate for curve in curves for rate in curve.rates]
    y = fit_axis("success rate (%)", [0.0, *rates], floor=0.0, ceiling=1.0, scale=100.0)
    return Plot(
        x,
        y,
        [mark for i, curve in enumerate(curves) for mark in _curve_marks(curve, i, x, y)],
        summary=f"Success rate of {len(curves)} ways of training after {steps[0]:,} to "
        f"{steps[-1]:,} optimiser steps",
        legend=[
            LegendEntry(_KIND_SYMBOLS[i % 6], f"kind kind-{i % 6}", curve.way)
            for i, curve in enumerate(curves)
        ],
    )


def _curve_marks(curve: Curve, i: int, x: Axis, y: Axis) -> list[Mark]:
    places = [at(x, y, place, rate) for place, rate in enumerate(curve.rates, start=1)]
    marks = []
    for here, before, steps, rate in zip(
        places, [places[0], *places], curve.steps, curve.rates, strict=False
    ):
        used = steps == curve.best
        tip = f"{curve.way}\n{100 * rate:.0f} % after {steps:,} steps"
        marks.append(
            Mark(
                *here,
                _KIND_SYMBOLS[i % 6] if used else "dot",
                f"kind kind-{i % 6}",
                tip + ("\nthe length that is used" if used else ""),
                tail=Segment(*before, *here),
            )
        )
    return marks


def correlation_plot(correlation: Correlation, measure: MeasureWords) -> Plot:
    """The score against the size of the operator's mistake, by kind of mistake."""
    x = fit_axis(correlation.size_label, [size for size, _, _ in correlation.pairs])
    y = fit_axis(f"{measure.name} ({measure.unit})", [score for _, score, _ in correlation.pairs])
    kinds = sorted({kind for _, _, kind in correlation.pairs})
    looks = {kind: (_KIND_SYMBOLS[i % 6], f"kind kind-{i % 6}") for i, kind in enumerate(kinds)}
    marks = [
        Mark(
            *at(x, y, size, score),
            *looks[kind],
            f"{kind_words(kind)}\nsize {significant(size)}, {quantity(score, measure)}",
        )
        for size, score, kind in correlation.pairs
    ]
    return Plot(
        x,
        y,
        marks,
        summary=f"{measure.name} against the size of the mistake for {correlation.n} failures",
        legend=[LegendEntry(*looks[kind], kind_words(kind)) for kind in kinds],
    )


def kind_words(kind: str) -> str:
    """A kind of mistake in words: "off_centre" becomes "off centre"."""
    return kind.replace("_", " ") or "unknown mistake"
