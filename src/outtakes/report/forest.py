"""The table of arms, each row with its interval drawn on one shared axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outtakes.report.axis import Axis, fit_axis
from outtakes.report.content import SUCCESS_RATE, ArmRow, ReportContent
from outtakes.report.quantities import percentage, probability, significant


@dataclass(frozen=True)
class ForestRow:
    """One arm; positions in per cent of the shared axis."""

    arm: str
    baseline: bool
    mean: float
    low: float
    high: float
    seeds: Sequence[tuple[float, str]]
    """(position, value) of each training seed."""
    estimate: str
    interval: str
    difference: str
    difference_interval: str
    p: str
    paper: str


@dataclass(frozen=True)
class Forest:
    """All arms."""

    axis: Axis
    rows: Sequence[ForestRow]
    reference: float | None
    """Where the baseline's mean stands, in per cent."""
    unit: str
    compared: bool
    """Whether any arm is compared with the baseline."""
    paper: bool
    """Whether any arm has a number in the paper."""


def forest(content: ReportContent) -> Forest:
    """Lay out the arms on one axis."""
    rate, arms = content.measure == SUCCESS_RATE, content.arms
    values = [v for arm in arms for v in (arm.mean, arm.low, arm.high, *arm.per_seed)]
    scale, ceiling = (100.0, 1.0) if rate else (1.0, float("inf"))
    label = f"{content.measure} (%)" if rate else content.measure
    axis = fit_axis(label, values, floor=0.0, ceiling=ceiling, scale=scale)
    compared = any(arm.difference is not None for arm in arms)
    baselines = [arm for arm in arms if arm.difference is None] if compared else []
    return Forest(
        axis=axis,
        rows=[_row(arm, axis, rate, arm in baselines) for arm in arms],
        reference=axis.place(baselines[0].mean) if baselines else None,
        unit="points" if rate else "",
        compared=compared,
        paper=any(arm.paper for arm in arms),
    )


def _row(arm: ArmRow, axis: Axis, rate: bool, baseline: bool) -> ForestRow:
    show, unit = (percentage, "\u202f%") if rate else (significant, "")
    return ForestRow(
        arm=arm.arm,
        baseline=baseline,
        mean=axis.place(arm.mean),
        low=axis.place(arm.low),
        high=axis.place(arm.high),
        seeds=[(axis.place(value), show(value) + unit) for value in arm.per_seed],
        estimate=show(arm.mean) + unit,
        interval=f"{show(arm.low)} to {show(arm.high)}{unit}",
        difference="" if arm.difference is None else _difference(arm.difference, rate),
        difference_interval=_difference_interval(arm, rate),
        p="" if arm.p is None else probability(arm.p),
        paper=arm.paper,
    )


def _difference(value: float, rate: bool) -> str:
    return ("+" if value > 0 else "") + (percentage(value) if rate else significant(value))


def _difference_interval(arm: ArmRow, rate: bool) -> str:
    if arm.difference_low is None or arm.difference_high is None:
        return ""
    return f"{_difference(arm.difference_low, rate)} to {_difference(arm.difference_high, rate)}"
