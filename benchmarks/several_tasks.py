"""Two real tasks in one dataset: are failures ranked as they are in datasets of their own?

    python -m benchmarks.several_tasks DIR

Collects two of Meta-World's tasks, joins them into one dataset with LeRobot, and ranks each task's
failures by attention twice: by runs trained on both tasks, and by runs trained on the task alone.
Seeds alone make rankings differ, so the agreement between the two ways, over different seeds, is
set beside that of one way with itself. Writes results/several-tasks.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from outtakes import api
from outtakes.data.demo import DemoSet, Outcome
from outtakes.experiments.recipes import QUICK, Recipe
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.scores import Scores, kendall_tau

RESULT = Path(__file__).parents[1] / "results" / "several-tasks.json"
TASKS = ("metaworld-drawer-open-v3", "metaworld-pick-place-v3")
SUCCESSES, FAILURES, COLLECTION = 10, 20, 1003
STEPS, CHUNK = 1_000, 5
"""Optimiser steps, and action steps of a chunk at 20 Hz, so that the shortest drawer has one."""
HALVES = ((0, 1), (2, 3))
"""Training seeds of one ranking and of the other."""


def recipe(task: str, seeds: Sequence[int]) -> Recipe:
    """Demonstrations without pictures, and short runs of these seeds."""
    collect = replace(
        QUICK.collect,
        environment=task,
        successes=SUCCESSES,
        failures=FAILURES,
        cameras=(),
        seed=COLLECTION,
    )
    return replace(
        QUICK,
        collect=collect,
        policy=replace(QUICK.policy, chunk=CHUNK),
        controller=replace(QUICK.controller, replan=CHUNK),
        seeds=tuple(seeds),
        train=replace(QUICK.train, steps=STEPS),
    )


def collected(out: Path) -> list[Path]:
    """A dataset for each task."""
    roots = [out / task for task in TASKS]
    for task, root in zip(TASKS, roots, strict=True):
        if not root.exists():
            api.collect(root, recipe=recipe(task, (0,)))
    return roots


def joined(roots: Sequence[Path], out: Path) -> Path:
    """The datasets as one, made by LeRobot."""
    from lerobot.datasets.aggregate import aggregate_datasets

    if not out.exists():
        names = [f"local/{root.name}" for root in roots]
        aggregate_datasets(names, f"local/{out.name}", list(roots), out)
    return out


def trained(demos: DemoSet, out: Path, seeds: Sequence[int]) -> list[Checkpoint]:
    """Runs of the paper's policy on everything."""
    return api.train(demos, out, recipe=recipe(TASKS[0], seeds))


def ranked(runs: Sequence[Checkpoint], demos: DemoSet) -> Scores:
    """Its failures by attention, each seed with one vote."""
    return api.rank(runs, demos, by="attention-rank")


def agreement(one: Scores, other: Scores, task: str, places: Sequence[int]) -> float:
    """Kendall's τ between two rankings of one task, whose failures are numbered alike."""
    rows = []
    for scores in (one, other):
        own = {f.episode: f.mean for f in scores.failures if f.task in ("", task)}
        rows.append([own[episode] for episode in sorted(own)])
    assert len(rows[0]) == len(rows[1]) == len(places)
    return kendall_tau(np.array(rows))


def main(out: Path) -> None:
    """Collect, train, rank and compare."""
    roots = collected(out)
    together = api.load(joined(roots, out / "both"))
    told = together.task_of()
    both = {
        half: ranked(trained(together, out / f"both-{half[0]}", half), together) for half in HALVES
    }
    found: dict[str, dict[str, float]] = {}
    for root in roots:
        alone = api.load(root)
        (task,) = set(alone.tasks)
        own = {
            half: ranked(trained(alone, out / f"{root.name}-{half[0]}", half), alone)
            for half in HALVES
        }
        places = alone.episodes(Outcome.FAILURE)
        first, second = HALVES
        found[task] = {
            "alone, other seeds": agreement(own[first], own[second], task, places),
            "together, other seeds": agreement(both[first], both[second], task, places),
            "together against alone, other seeds": float(
                np.mean(
                    [
                        agreement(both[first], own[second], task, places),
                        agreement(both[second], own[first], task, places),
                    ]
                )
            ),
        }
    crossed = sum(
        told[failure.nearest_success] != failure.task
        for scores in both.values()
        for failure in scores.failures
        if failure.nearest_success is not None
    )
    result = {
        "tasks": list(TASKS),
        "successes and failures of each": [SUCCESSES, FAILURES],
        "steps": STEPS,
        "nearest successes of another task": crossed,
        "kendall_tau": found,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
