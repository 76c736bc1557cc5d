"""Experiments of next to no work, on demonstrations in memory and on a dataset of Lift's sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from outtakes.data.demo import DemoSet
from outtakes.evaluation.evaluate import Evaluation
from outtakes.experiments.arm import bias_arm
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.recipes import SMOKE
from outtakes.experiments.runs import Job
from tests.demos import small_act, small_train

SMALL = replace(
    SMOKE,
    name="small",
    policy=small_act(),
    train=small_train(steps=2),
    controller=replace(SMOKE.controller, replan=5),
    rollouts=2,
    horizon=6,
)
"""A policy of sixteen wide, two steps and two rollouts of six steps each."""


def bias_jobs(
    out: Path,
    demos: DemoSet,
    seeds: Sequence[int] = (0,),
    *,
    steps: int = 2,
    evaluation: Evaluation | None = None,
    **changes,
) -> list[Job]:
    """A job a seed that trains the small policy on everything; `changes` are those of its shape."""
    recipe = replace(SMALL, policy=small_act(**changes), train=small_train(steps=steps))
    arm = bias_arm(recipe, "pb", "PB", demos.episode_indices.tolist())
    return jobs_of(Lab(recipe, out), [arm], seeds, demos, evaluation)
