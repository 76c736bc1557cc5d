"""Rankers judged by the policies they make: what each one's choice of failures is worth.

A ranker is worth something when a policy trained on the failures it puts first does better than
one trained on as many at random, and one trained on those it puts last does worse. Everything is
repeated in replicates, each with demonstrations, initial states and training seeds of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from outtakes.evaluation.replicates import ReplicatedMean, replicated_mean
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.evaluation.statistics import holm
from outtakes.experiments.arm import Arm
from outtakes.experiments.cell import Cell
from outtakes.experiments.pipeline import jobs_of, run_jobs
from outtakes.experiments.study_log import run_recorded
from outtakes.experiments.triage import ranking_arms
from outtakes.files import write_json
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.combination import Part, parse, rank_by, runs_for
from outtakes.ranking.scores import Scores
from outtakes.selection.select import select

SCREENING = "screening.json"
NONE, ALL, RANDOM = "none", "all", "random"
ENDS = ("best", "worst")


@dataclass(frozen=True)
class ScreeningPlan:
    """Which selections to train on."""

    rankers: tuple[str, ...]
    """Names, or several joined by commas."""
    counts: tuple[int, ...] = (15,)
    """How many failures to keep; a selection of each size by each ranker, and at random."""
    ends: tuple[str, ...] = ENDS
    """Which ends of each ranking to keep."""
    draws: int = 2
    """Random selections of each size."""
    steps: Mapping[str, int] | None = None
    """Training length with no failures ("none"), some ("some") and all of them ("all"), as tuned;
    the recipe's when None."""


@dataclass(frozen=True)
class Screening:
    """What policies reach with each selection."""

    rates: Mapping[str, tuple[float, ...]]
    """Selection ("none", "all", "random 15", "coverage best 15", ...) -> success rate in each
    replicate, over its seeds and initial states, and draws where it is random."""

    def mean(self, name: str) -> ReplicatedMean:
        """Success rate of a selection over replicates."""
        return replicated_mean(self.rates[name])

    def gain(self, name: str, over: str) -> ReplicatedMean:
        """How much more one selection brings than another, paired by replicate."""
        return replicated_mean(np.subtract(self.rates[name], self.rates[over]).tolist())

    def chosen(self) -> dict[str, str]:
        """Selection by a ranker -> the random one of its size."""
        sizes = [name for name in self.rates if name.startswith(f"{RANDOM} ")]
        by_size = {name.rpartition(" ")[2]: name for name in sizes}
        others = [name for name in self.rates if name not in (*sizes, NONE, ALL)]
        return {name: by_size[name.rpartition(" ")[2]] for name in others}

    def table(self) -> str:
        """In Markdown, in % and points, the best first; p is adjusted for the selections (Holm)."""
        gains = {name: self.gain(name, over) for name, over in self.chosen().items()}
        known = [name for name, gain in gains.items() if gain.n > 1]
        adjusted = dict(zip(known, holm([gains[name].p for name in known]), strict=True))
        lines = [
            "| Failures kept | Success, % (95 % interval) | Than at random, points | p (Holm) |",
            "|---|---|---|---|",
        ]
        for name in sorted(self.rates, key=lambda n: -self.mean(n).mean):
            gain = gains.get(name)
            than = _interval(gain, signed=True) if gain else ""
            p = f"{adjusted[name]:.3f}" if name in adjusted else ""
            lines.append(f"| {name} | {_interval(self.mean(name))} | {than} | {p} |")
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write `screening.json`."""
        content = {
            "rates": {name: list(rates) for name, rates in self.rates.items()},
            "means": {name: asdict(self.mean(name)) for name in self.rates},
            "gains": {name: asdict(self.gain(name, o)) for name, o in self.chosen().items()},
        }
        write_json(path, "screening", 1, content)


def _interval(found: ReplicatedMean, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    mean = f"{100 * found.mean:{sign}.1f}"
    if found.n == 1:
        return mean
    return f"{mean} ({100 * found.low:{sign}.1f} to {100 * found.high:{sign}.1f})"


def screen(cell: Cell, plan: ScreeningPlan) -> Mapping[str, float]:
    """One replicate: rank, select, retrain and roll out; selection -> success rate."""
    lab = cell.lab
    rankings = rank_all(cell, plan.rankers)
    arms = [*control_arms(cell, plan), *selected_arms(cell, plan, rankings)]
    jobs = jobs_of(lab, arms, lab.recipe.seeds, cell.demos, lab.recipe.evaluation)
    return rates_of(run_recorded(lab, jobs), plan)


def rank_all(cell: Cell, names: Sequence[str]) -> dict[str, Scores]:
    """Ranker -> its scores of the cell's failures, from runs that are trained where needed.

    What was ranked before is read from `scores/<ranker>.json`.
    """
    lab, rankings = cell.lab, {}
    paths = {name: lab.out / "scores" / f"{name}.json" for name in names}
    parts = {name: parse(name) for name in names if not paths[name].exists()}
    arms = ranking_arms(lab, cell.demos, [part for own in parts.values() for part in own])
    jobs = jobs_of(lab, arms, lab.recipe.seeds, cell.demos)
    if jobs:
        run_jobs(lab, jobs, stage="train for ranking")
    runs = [Checkpoint.load(job.run) for job in jobs]
    for name in names:
        if name in parts:
            lab.say(len(rankings), len(names), f"rank by {name}")
            scores = rank_by(parts[name], _runs_for(parts[name], runs), cell.demos)
            scores.save(paths[name])
        rankings[name] = Scores.load(paths[name])
    return rankings


def _runs_for(parts: Sequence[Part], runs: Sequence[Checkpoint]) -> Sequence[Checkpoint]:
    return runs_for(parts[0].ranker, runs) if len(parts) == 1 else runs


def control_arms(cell: Cell, plan: ScreeningPlan) -> list[Arm]:
    """No failures, all of them, and as many as are selected at random."""
    steps = plan.steps or {}
    arms = [
        cell.act(NONE, [], steps=steps.get(NONE)),
        cell.act(ALL, cell.failures, steps=steps.get(ALL)),
    ]
    for draw in range(plan.draws):
        rng = np.random.default_rng([7, draw])
        order = rng.permutation(cell.failures).tolist()
        arms += [
            cell.act(f"{RANDOM}-{draw} {count}", sorted(order[:count]), steps=steps.get("some"))
            for count in plan.counts
        ]
    return arms


def selected_arms(cell: Cell, plan: ScreeningPlan, rankings: Mapping[str, Scores]) -> list[Arm]:
    """ACT on the successes and the failures at each end of each ranking."""
    steps, arms = plan.steps or {}, []
    for name, scores in rankings.items():
        for end in plan.ends:
            for count in plan.counts:
                kept = select(scores, cell.successes, keep=end, count=count).kept
                failures = [episode for episode in kept if episode in cell.failures]
                arms.append(cell.act(f"{name} {end} {count}", failures, steps=steps.get("some")))
    return arms


def rates_of(log: RolloutLog, plan: ScreeningPlan) -> dict[str, float]:
    """Selection -> success rate of one replicate; of "random <k>" over all draws."""
    rates = {arm: float(np.mean(list(own.values()))) for arm, own in log.outcomes().items()}
    for count in plan.counts:
        draws = [rates.pop(f"{RANDOM}-{draw} {count}") for draw in range(plan.draws)]
        if draws:
            rates[f"{RANDOM} {count}"] = float(np.mean(draws))
    return rates
