"""Meta-World's tasks: how often the scripted operator solves each, and how often plain ACT does.

    python -m benchmarks.metaworld operator [TASK ...]   results/metaworld/operator.json
    python -m benchmarks.metaworld table                 the same as a table
    python -m benchmarks.metaworld cost TASK             CPU time of what an environment does
    python -m benchmarks.metaworld tune OUT TASK [...]    ACT on 50 successes, on tuning data

`operator` makes 12 attempts at each task without mistakes and 12 with, of seed 9001. `tune` takes
demonstrations of collection seed 1001, training seed 100 and 30 initial states of seed
777, none of which any reported table uses.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from outtakes.data.demo import Outcome
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.experiments.arm import act_arm
from outtakes.experiments.datasets import record
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of, run_jobs
from outtakes.experiments.recipes import QUICK, on_task
from outtakes.sim.collect import STEPS_AFTER_SUCCESS, Attempt, CollectConfig, simulate_attempt
from outtakes.sim.environment import make_environment
from outtakes.sim.initial_states import InitialStates, Stream
from outtakes.sim.metaworld.instructions import INSTRUCTIONS, PREFIX
from outtakes.sim.operators.perturbed_policy import MISTAKES

OPERATOR = Path(__file__).parents[1] / "results" / "metaworld" / "operator.json"
ATTEMPTS, SEED, MISTAKE_RATE = 12, 9001, 0.75
TUNING_SEED = 100


def attempts_at(task: str, mistake_rate: float) -> list[Attempt]:
    """The first attempts at a task."""
    config = CollectConfig(PREFIX + task, seed=SEED, mistake_rate=mistake_rate)
    environment = make_environment(config.environment)
    return [simulate_attempt(config, environment, number) for number in range(ATTEMPTS)]


def success(attempts: Sequence[Attempt]) -> float:
    """Share that succeeded."""
    return round(float(np.mean([attempt.success for attempt in attempts])), 3)


def steps_needed(attempts: Sequence[Attempt]) -> list[int]:
    """Control steps until success, of those that succeeded."""
    lengths = [len(a.features["action"]) for a in attempts if a.success]
    return [length - STEPS_AFTER_SUCCESS for length in lengths] or [0]


def measure_operator(task: str) -> dict[str, object]:
    """How the scripted operator fares at one task."""
    careful, careless = attempts_at(task, 0.0), attempts_at(task, MISTAKE_RATE)
    kinds = Counter(a.mistake.kind for a in careless if a.mistake)
    failed = Counter(a.mistake.kind for a in careless if a.mistake and not a.success)
    return {
        "success_without_mistakes": success(careful),
        "success": success(careless),
        "median_steps": int(np.median(steps_needed(careful))),
        "most_steps": max(steps_needed(careful)),
        "failed_by_mistake": {kind: [failed[kind], kinds[kind]] for kind in MISTAKES},
    }


def operator(tasks: Sequence[str]) -> None:
    """Measure the operator at these tasks; the file keeps the figures of the others."""
    known = json.loads(OPERATOR.read_text(encoding="utf-8"))["tasks"] if OPERATOR.exists() else {}
    for task in tasks or INSTRUCTIONS:
        known[task] = measure_operator(task)
        print(task, json.dumps(known[task]), flush=True)
        facts = {"seed": SEED, "attempts": ATTEMPTS, "mistake_rate": MISTAKE_RATE}
        content = json.dumps({**facts, "tasks": dict(sorted(known.items()))}, indent=1)
        OPERATOR.parent.mkdir(parents=True, exist_ok=True)
        OPERATOR.write_text(content + "\n", encoding="utf-8")


def table() -> str:
    """What `operator` measured, as docs/metaworld.md shows it."""
    lines = [
        "| Task | without mistakes, % | with, % | steps, median and most |",
        "|---|---|---|---|",
    ]
    for task, facts in json.loads(OPERATOR.read_text(encoding="utf-8"))["tasks"].items():
        rates = [f"{100 * facts[key]:.0f}" for key in ("success_without_mistakes", "success")]
        steps = f"{facts['median_steps']}, {facts['most_steps']}"
        lines.append(f"| `{task}` | {' | '.join(rates)} | {steps} |")
    return "\n".join(lines)


def milliseconds(work: Callable[[], object], times: int) -> float:
    """CPU time of one of so many calls."""
    started = time.process_time()
    for _ in range(times):
        work()
    return round(1e3 * (time.process_time() - started) / times, 1)


def cost(task: str) -> dict[str, float]:
    """CPU time, ms, of what an environment does."""
    name, rng = PREFIX + task, np.random.default_rng(0)
    first = milliseconds(lambda: make_environment(name), 1)
    environment = make_environment(name)
    state = environment.sample_initial_state(rng)
    environment.reset(state)
    environment.render("overhead", 96, 96)
    return {
        "the first environment": first,
        "another": milliseconds(lambda: make_environment(name), 20),
        "an initial state": milliseconds(lambda: environment.sample_initial_state(rng), 20),
        "a reset": milliseconds(lambda: environment.reset(state), 20),
        "a step": milliseconds(lambda: environment.step(np.zeros(4)), 200),
        "an observation": milliseconds(environment.observe, 200),
        "an image of 96²": milliseconds(lambda: environment.render("overhead", 96, 96), 20),
    }


def tune(out: Path, task: str) -> float:
    """Success rate of ACT on 50 successes."""
    recipe = on_task(
        replace(QUICK, rollouts=30, states=InitialStates(Stream.TUNE, 777)), PREFIX + task
    )
    collected = replace(recipe.collect, seed=1001, failures=0, cameras=())
    root = out / task / "dataset"
    if not root.exists():
        record(collected, root, workers=1)
    demos = read_dataset(root, Reading(cameras=(), image_size=recipe.image_size))
    arm = act_arm(recipe, "act-s", "ACT, successes", demos.episodes(Outcome.SUCCESS))
    lab = Lab(recipe, out / task, workers=1)
    log = run_jobs(lab, jobs_of(lab, [arm], [TUNING_SEED], demos, recipe.evaluation))
    return float(np.mean([rollout.success for rollout in log.rollouts]))


def main() -> None:
    """Do what the command line asks for."""
    match sys.argv[1:]:
        case ["operator", *tasks]:
            operator(tasks)
        case ["table"]:
            print(table())
        case ["cost", task]:
            print(cost(task))
        case ["tune", out, *tasks]:
            for task in tasks:
                print(task, tune(Path(out), task), flush=True)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
