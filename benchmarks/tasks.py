"""Experiment 1 and the controls on the tabletop tasks other than Lift.

    python -m benchmarks.tasks operator TASK [...]       how often the scripted operator succeeds
    python -m benchmarks.tasks pictures              docs/tasks.png
    python -m benchmarks.tasks tune OUT TASK STEPS       ACT on 50 successes, on tuning data
    python -m benchmarks.tasks compare OUT TASK [STEPS]  all arms, on the data that is reported

The last two use the quick recipe and are resumable; STEPS are the optimiser's. Tuning:
demonstrations of collection seed 1001, training seeds 100 and 101, 30 initial states of seed 777.
Reported: collection seed 0, training seeds 0-4, 50 initial states of seed 0.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from outtakes.data.demo import Outcome
from outtakes.data.reading import Reading
from outtakes.evaluation.comparison import compare
from outtakes.evaluation.rollouts import treatment
from outtakes.experiments.arm import act_arm
from outtakes.experiments.datasets import collect_dataset, read_demos
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of, run_jobs
from outtakes.experiments.recipes import QUICK, Recipe, on_task
from outtakes.experiments.tables import write_tables
from outtakes.experiments.ways import BASELINE, RANKED, all_failures_arms
from outtakes.sim.collect import CollectConfig, simulate_attempt
from outtakes.sim.environment import make_environment
from outtakes.sim.initial_states import InitialStates, Stream

TABLETOP = ("lift", "stack", "pick-place-can", "nut-assembly-square", "door")
PICTURES = Path(__file__).parents[1] / "docs" / "tasks.png"
ATTEMPTS, OPERATOR_SEED = 60, 9001
TUNING_SEEDS, REPORTED_SEEDS = (100, 101), tuple(range(5))


def operator(tasks: Sequence[str]) -> None:
    """Success rates and lengths of the scripted operator, without mistakes and with the usual."""
    for task in tasks:
        environment = make_environment(task)
        for mistake_rate in (0.0, 0.75):
            config = CollectConfig(task, seed=OPERATOR_SEED, mistake_rate=mistake_rate)
            attempts = [simulate_attempt(config, environment, i) for i in range(ATTEMPTS)]
            lengths = [len(a.features["action"]) for a in attempts if a.success]
            facts = {
                "task": task,
                "mistake_rate": mistake_rate,
                "success": round(float(np.mean([a.success for a in attempts])), 3),
                "median_steps": int(np.median(lengths)),
                "most_steps": max(lengths),
            }
            print(json.dumps(facts), flush=True)


def pictures() -> None:
    """One demonstration of each task, a row each: at the start, half way and solved."""
    rows = [np.hstack(list(_scenes(task))) for task in TABLETOP]
    Image.fromarray(np.vstack(rows)).quantize(256).save(PICTURES, optimize=True)


def _scenes(task: str) -> Iterator[np.ndarray]:
    environment = make_environment(task)
    config = CollectConfig(task, seed=OPERATOR_SEED, mistake_rate=0.0)
    attempts = (simulate_attempt(config, environment, i) for i in range(ATTEMPTS))
    attempt = next(attempt for attempt in attempts if attempt.success)
    actions = attempt.features["action"]
    environment.reset(attempt.initial_state)
    for frame, action in enumerate(actions):
        if frame in (0, len(actions) // 2, len(actions) - 1):
            yield environment.render("overhead", 160, 160)
            yield environment.render("wrist", 160, 160)
        environment.step(action)


def _lab(recipe: Recipe, out: Path) -> Lab:
    # The quick recipe's policy sees no images, so none are recorded or read.
    return Lab(recipe, out, workers=1, progress=_say, reading=Reading(cameras=()))


def _say(done: int, total: int, what: str) -> None:
    if what not in ("simulate", "render", "decode"):
        print(f"{done}/{total} {what}", flush=True)


def _recipe(task: str, steps: int) -> Recipe:
    recipe = on_task(QUICK, task)
    return replace(
        recipe,
        collect=replace(recipe.collect, cameras=()),
        train=replace(recipe.train, steps=steps),
    )


def tune(out: Path, task: str, steps: int) -> None:
    """Success rate of the baseline on the tuning data."""
    recipe = _recipe(task, steps)
    recipe = replace(
        recipe,
        collect=replace(recipe.collect, seed=1001),
        states=InitialStates(Stream.TUNE, 777),
        rollouts=30,
    )
    demos = read_demos(_lab(recipe, out), collect_dataset(_lab(recipe, out)))
    arm = act_arm(recipe, f"act-{steps}", f"ACT, {steps} steps", demos.episodes(Outcome.SUCCESS))
    lab = _lab(recipe, out)
    run_jobs(lab, jobs_of(lab, [arm], TUNING_SEEDS, demos, recipe.evaluation))


def compare_arms(out: Path, task: str, steps: int) -> None:
    """Experiment 1 and the controls; leaves tables, comparison and rollouts in `out`."""
    lab = _lab(replace(_recipe(task, steps), rollouts=50), out)
    demos = read_demos(lab, collect_dataset(lab))
    successes, failures = demos.episodes(Outcome.SUCCESS), demos.episodes(Outcome.FAILURE)
    arms = all_failures_arms(lab.recipe, successes, failures)
    log = run_jobs(lab, jobs_of(lab, arms, REPORTED_SEEDS, demos, lab.recipe.evaluation))
    comparison = compare(log.outcomes(), baseline=BASELINE, treatment=treatment(RANKED, "mean"))
    log.save(out / "rollouts.parquet")
    comparison.save(out / "experiment-1.json")
    write_tables(lab, {"experiment-1": comparison}, {"experiment-1": arms})
    print((out / "tables.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["operator", *chosen]:
            operator(chosen)
        case ["pictures"]:
            pictures()
        case [verb, folder, chosen, *steps]:
            run = {"tune": tune, "compare": compare_arms}[verb]
            run(Path(folder), chosen, int(steps[0]) if steps else QUICK.train.steps)
