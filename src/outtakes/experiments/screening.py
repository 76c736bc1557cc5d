"""Rankers judged by the policies they make: each one's best failures against its worst.

A ranker is worth something when a policy trained on the failures it puts first does better than
one trained on those it puts last, and than one trained on as many at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from outtakes.evaluation.rollouts import RolloutLog
from outtakes.evaluation.statistics import Difference, SuccessRate, mean_difference, success_rate
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
NONE, ALL = "none", "all"
ENDS = ("best", "worst")


@dataclass(frozen=True)
class ScreeningPlan:
    """Which rankers to compare, and how."""

    rankers: tuple[str, ...]
    """Names, or several joined by commas."""
    kept: int = 15
    """Failures that each selection keeps."""
    draws: int = 3
    """Random selections beside them."""
    ends: tuple[str, ...] = ENDS
    """Which ends of each ranking to train on."""


@dataclass(frozen=True)
class Screening:
    """What a policy reaches with each selection."""

    rates: Mapping[str, SuccessRate]
    """Selection ("none", "all", "random", "<ranker> best", "<ranker> worst") -> success rate; of
    "random" over all draws."""
    gains: Mapping[str, Difference]
    """Selection -> its rate minus that of the random ones, paired by seed and initial state."""

    def table(self) -> str:
        """In Markdown, in % and points, the best first."""
        lines = [
            "| Failures kept | Success rate, % (95 % interval) | More than at random, points |",
            "|---|---|---|",
        ]
        for name in sorted(self.rates, key=lambda n: -self.rates[n].rate):
            rate = self.rates[name]
            cells = [name, f"{100 * rate.rate:.1f} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"]
            gain = self.gains.get(name)
            cells.append(
                f"{100 * gain.difference:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
                if gain
                else ""
            )
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


def screen(cell: Cell, plan: ScreeningPlan) -> Screening:
    """Rank, select, retrain and roll out by every ranker; leaves scores and `screening.json`."""
    lab = cell.lab
    rankings = rank_all(cell, plan.rankers)
    arms = [*control_arms(cell, plan), *selected_arms(cell, plan, rankings)]
    jobs = jobs_of(lab, arms, lab.recipe.seeds, cell.demos, lab.recipe.evaluation)
    found = compare_selections(run_recorded(lab, jobs), plan)
    content = {name: (r.rate, r.low, r.high) for name, r in found.rates.items()}
    gains = {name: (d.difference, d.low, d.high, d.p) for name, d in found.gains.items()}
    write_json(lab.out / SCREENING, "screening", 1, {"rates": content, "gains": gains})
    return found


def rank_all(cell: Cell, names: Sequence[str]) -> dict[str, Scores]:
    """Ranker -> its scores of the cell's failures, from runs that are trained where needed.

    What was ranked before is read from `scores/<ranker>.json`.
    """
    lab, rankings = cell.lab, {}
    paths = {name: lab.out / "scores" / f"{name}.json" for name in names}
    missing = [name for name in names if not paths[name].exists()]
    parts = {name: parse(name) for name in missing}
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
    draws = [
        np.random.default_rng([7, draw]).permutation(cell.failures)[: plan.kept].tolist()
        for draw in range(plan.draws)
    ]
    return [
        cell.act(NONE, []),
        cell.act(ALL, cell.failures),
        *(cell.act(f"random-{i}", sorted(draw)) for i, draw in enumerate(draws)),
    ]


def selected_arms(cell: Cell, plan: ScreeningPlan, rankings: Mapping[str, Scores]) -> list[Arm]:
    """ACT on the successes and the failures at each end of each ranking."""
    arms = []
    for name, scores in rankings.items():
        for end in plan.ends:
            kept = select(scores, cell.successes, keep=end, count=plan.kept).kept
            failures = [episode for episode in kept if episode in cell.failures]
            arms.append(cell.act(f"{name}-{end}", failures))
    return arms


def compare_selections(log: RolloutLog, plan: ScreeningPlan) -> Screening:
    """Every selection against the random ones, whose outcomes are averaged over the draws."""
    stacked = {
        name: np.array([own[seed] for seed in sorted(own)]) for name, own in log.outcomes().items()
    }
    draws = [stacked.pop(f"random-{i}") for i in range(plan.draws)]
    at_random = np.mean(draws, axis=0)
    named = {_for_people(arm, plan): outcomes for arm, outcomes in stacked.items()}
    rates = {name: success_rate(outcomes) for name, outcomes in named.items()}
    gains = {
        name: mean_difference(outcomes.astype(np.float64), at_random, rng=np.random.default_rng(0))
        for name, outcomes in named.items()
    }
    rates["random"] = success_rate(np.concatenate(draws))
    return Screening(rates, gains)


def _for_people(arm: str, plan: ScreeningPlan) -> str:
    name, _, end = arm.rpartition("-")
    return f"{name} {end}" if end in plan.ends else arm
