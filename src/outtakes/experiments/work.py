"""Work that lies ahead: how many runs, of how many steps, and about how long on this machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from outtakes.data.demo import DemoSet
from outtakes.experiments.arm import policy_arm
from outtakes.experiments.executor import SEEDS_TOGETHER, one_core
from outtakes.experiments.few_successes import SUCCESSES
from outtakes.experiments.lab import Lab, cores
from outtakes.experiments.recipes import Recipe
from outtakes.experiments.triage import ranking_jobs, validating_runs
from outtakes.policy.checkpoint import FILE
from outtakes.ranking.combination import Part
from outtakes.training.trainer import train_together

_TRIAL, _UNTIMED = 10, 4
"""Steps of the trial, and how many of them only warm up."""
_DEMO_ARMS = 5
"""Ways of training in `outtakes.experiments.few_successes`."""
_WORTH_A_TRIAL = 1_000
"""Steps below which it is done before it would be measured."""


@dataclass(frozen=True)
class Work:
    """What a triage will train."""

    ranking: int
    """Runs that rank the failures."""
    validating: int
    """Runs that are cross-validated."""
    done: int
    """How many of both are there already."""
    steps: int
    """Of each run."""
    seconds: float | None
    """About how long it will take here; None when that is soon over."""

    def sentence(self) -> str:
        """The same for people."""
        noun = "run" if self.ranking == 1 else "runs"
        runs = f"{self.ranking} {noun} to rank by, then " if self.ranking else ""
        validating = str(self.validating) if runs else f"{self.validating} runs"
        before = f", {self.done} of them done before" if self.done else ""
        here = "a minute or two" if self.seconds is None else _about(self.seconds)
        return (
            f"  Work      {runs}{validating} to cross-validate, {self.steps:,} steps each"
            f"{before}: about {here} on this machine"
        )

    def facts(self) -> dict[str, Any]:
        """The same for programs."""
        return asdict(self)


def work_of_triage(
    lab: Lab, demos: DemoSet, rankers: Sequence[Part], policy: str = "act-pb"
) -> Work:
    """What a triage will train; trains a few steps to tell how long it takes."""
    jobs, seeds = ranking_jobs(lab, demos, rankers, policy), lab.recipe.seeds
    ranking, validating = len(jobs), validating_runs(lab)
    there = [job.run / FILE for job in jobs if (job.run / FILE).exists()]
    done = len({*there, *lab.out.glob(f"runs/fold-*/*/seed-*/{FILE}")})
    left, steps = max(ranking + validating - done, 0), lab.recipe.train.steps
    seconds = None
    if left * steps >= _WORTH_A_TRIAL:
        width = 1 if lab.device != "cpu" else min(lab.workers or cores(), left)
        together = min(SEEDS_TOGETHER, -(-left // width), len(seeds))
        seconds = left / together * steps * _step(lab, demos, policy, seeds[:together]) / width
    return Work(ranking, validating, done, steps, seconds)


def work_of_demo(recipe: Recipe) -> str:
    """What a demo will do, for people."""
    successes, seeds = min(recipe.collect.successes, SUCCESSES), len(recipe.seeds)
    return (
        f"{successes} successes and {recipe.collect.failures} failures to collect, then "
        f"{_DEMO_ARMS} ways of training × {seeds} seeds, {_DEMO_ARMS * seeds} runs, each rolled "
        f"out {recipe.rollouts} times in every way it is steered"
    )


def _step(lab: Lab, demos: DemoSet, policy: str, seeds: Sequence[int]) -> float:
    """Seconds of a step of the policy that is cross-validated, its seeds as one program."""
    arm = policy_arm(lab.recipe, policy, "trial", "trial", demos.episode_indices.tolist())
    arm = arm.base or arm
    short = replace(arm.training, steps=_TRIAL, warmup=0, log_every=1, save_every=_TRIAL)
    times: list[float] = []
    one = one_core() if lab.device == "cpu" else nullcontext()
    with tempfile.TemporaryDirectory() as folder, one:
        train_together(
            demos.subset(arm.episodes),
            {seed: Path(folder) / f"seed-{seed}" for seed in seeds},
            policy=arm.policy,
            config=short,
            device=lab.device,
            monitors={seeds[0]: lambda step, scalars: times.append(time.monotonic())},
        )
    return (times[-1] - times[_UNTIMED]) / (len(times) - 1 - _UNTIMED)


def _about(seconds: float) -> str:
    if seconds < 90:
        return "a minute"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
