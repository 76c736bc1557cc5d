"""Everything the report shows, already computed: the report only draws it.

Every path must lie in the folder the report is written to, so that the folder can be moved or
sent as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from outtakes.evaluation.recommendation import Recommendation

SUCCESS_RATE = "success rate"
"""The `ReportContent.measure` that is a share in [0, 1] and is shown in per cent."""


@dataclass(frozen=True)
class ArmRow:
    """One row of the success (or action-error) table."""

    arm: str
    """Readable name, for example "PB + KL, 10 nearest failures"."""
    mean: float
    """Success rate in [0, 1], or mean action error for the proxy."""
    low: float
    high: float
    """95 % interval."""
    per_seed: Sequence[float]
    difference: float | None = None
    """Arm minus baseline; None for the baseline itself."""
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    """Holm-adjusted."""
    paper: str = ""
    """The paper's number for the same cell, for example "79.4 ± 4.56", or empty."""


@dataclass(frozen=True)
class Curve:
    """Success of one way of training by how long it was trained, on data for tuning alone."""

    way: str
    """For people."""
    steps: Sequence[int]
    """Optimiser steps, ascending; the same for every way."""
    rates: Sequence[float]
    """Success rate after each, in [0, 1]."""
    best: int
    """The steps it is trained for."""


@dataclass(frozen=True)
class MapPoint:
    """One demonstration on a two-dimensional map."""

    episode: int
    success: bool
    x: float
    y: float
    score: float | None = None
    """Of failures, in the measure's unit."""


@dataclass(frozen=True)
class MeasureWords:
    """What the failures were ranked by, in words and signs."""

    name: str
    """For example "attention divergence"."""
    symbol: str
    """For example "K̄"."""
    unit: str
    """For example "nats"."""
    meaning: str
    """What it says, in a sentence or two."""
    over_time: str
    """What its value at each frame is; "" when it has none."""


@dataclass(frozen=True)
class DemonstrationMap:
    """The demonstrations on a plane, as one training sees them (Figures 5 and 6)."""

    title: str
    axes: str
    """What was projected onto its first two principal components."""
    points: Sequence[MapPoint]


@dataclass(frozen=True)
class Query:
    """One rollout's initial state on the retrieval map, and the success it was matched with."""

    initial_state: int
    x: float
    y: float
    retrieved_episode: int
    success: bool


@dataclass(frozen=True)
class RetrievalMap:
    """Where rollouts start, where the successes started, and who was matched (Figure 4)."""

    x_label: str
    y_label: str
    bank: Sequence[MapPoint]
    queries: Sequence[Query]
    thumbnails: Mapping[int, Path] = field(default_factory=dict)
    """Episode -> first image, for some of the points."""


@dataclass(frozen=True)
class TaskCounts:
    """One of several tasks of a dataset."""

    task: str
    """What the robot was asked to do."""
    successes: int
    failures: int


@dataclass(frozen=True)
class FailureCard:
    """One failed demonstration."""

    episode: int
    rank: int
    """Place in the ranking of its task, from 1."""
    score: float
    """In the measure's unit."""
    per_seed: Mapping[int, float]
    """Training seed -> score."""
    over_time: Sequence[float]
    """(T,) the measure at each frame, averaged over seeds; or empty."""
    kept: bool
    reason: str
    nearest_success: int | None
    """Episode index; None when the measure compares with no single success."""
    fps: float
    mistake: str = ""
    """Kind of the operator's mistake when it is known, else empty."""
    mistake_size: float | None = None
    mistake_unit: str = ""
    """Unit of `mistake_size`, for example "m"."""
    video: Path | None = None
    """mp4 of the failure; frame i of the video is entry i of `over_time`."""
    nearest_video: Path | None = None
    """mp4 of the nearest success."""
    thumbnails: Sequence[Path] = ()
    """A few frames of the failure, first to last."""
    task: str = ""
    """What the robot was asked to do, where there are several tasks."""


@dataclass(frozen=True)
class RolloutVideo:
    """One arm's rollout from an initial state that other arms are shown from too."""

    initial_state: int
    arm: str
    success: bool
    video: Path


@dataclass(frozen=True)
class Correlation:
    """Whether the measure goes with the size of the operator's mistake (Spearman)."""

    rho: float
    low: float
    high: float
    p: float
    n: int
    pairs: Sequence[tuple[float, float, str]]
    """(mistake size, score, mistake kind) of each failure."""
    size_label: str = "size of the mistake"
    """What the sizes are, with their unit."""


@dataclass(frozen=True)
class ReportContent:
    """The whole report."""

    title: str
    recommendation: Recommendation
    """What to do, what to expect, and the commands that do it."""
    measure: str
    """What the table's numbers are: `SUCCESS_RATE`, or for example "action error on held-out
    successes"."""
    higher_is_better: bool
    measure_note: str
    """What the measure is and is not, in one or two sentences."""
    arms: Sequence[ArmRow]
    curves: Sequence[Curve]
    """How long each way is trained was read off these; empty where it was not tuned."""
    ranked_by: MeasureWords
    cards: Sequence[FailureCard]
    """In the order of their ranking."""
    kendall_tau: float | None
    n_successes: int
    tasks: Sequence[TaskCounts]
    """Empty where there is one."""
    maps: Sequence[DemonstrationMap]
    retrieval: RetrievalMap | None
    rollout_videos: Sequence[RolloutVideo]
    correlation: Correlation | None
    provenance: Mapping[str, str]
    """What, where, when: dataset hash, config, commit, machine, durations."""
