"""How often the scripted operator solves each of Meta-World's tasks, with and without mistakes.

    python -m benchmarks.metaworld [--attempts 40] [--tasks reach-v3 push-v3]

Prints one line a task and writes `results/metaworld/operator.json`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from outtakes.sim.collect import STEPS_AFTER_SUCCESS, Attempt, CollectConfig, simulate_attempt
from outtakes.sim.environment import make_environment
from outtakes.sim.metaworld_operator import MISTAKE_KINDS
from outtakes.sim.metaworld_tasks import INSTRUCTIONS, PREFIX

RESULTS = Path("/tmp/mwres")
SEED = 9001
"""Of the attempts; neither a tuning seed nor one that is reported."""
MISTAKE_RATE = 0.75


def attempts_at(task: str, mistake_rate: float, count: int) -> list[Attempt]:
    """The first attempts at a task."""
    config = CollectConfig(PREFIX + task, seed=SEED, mistake_rate=mistake_rate)
    environment = make_environment(config.environment)
    return [simulate_attempt(config, environment, number) for number in range(count)]


def success(attempts: Sequence[Attempt]) -> float:
    """Share that succeeded."""
    return round(float(np.mean([attempt.success for attempt in attempts])), 3)


def steps(attempts: Sequence[Attempt]) -> list[int]:
    """Control steps until success, of those that succeeded."""
    lengths = [len(a.features["action"]) for a in attempts if a.success]
    return [length - STEPS_AFTER_SUCCESS for length in lengths]


def measure(task: str, count: int) -> dict[str, object]:
    """Everything about one task."""
    careful, careless = attempts_at(task, 0.0, count), attempts_at(task, MISTAKE_RATE, count)
    needed = steps(careful) or [0]
    kinds = Counter(a.mistake.kind for a in careless if a.mistake)
    failed = Counter(a.mistake.kind for a in careless if a.mistake and not a.success)
    return {
        "attempts": count,
        "success_without_mistakes": success(careful),
        "success": success(careless),
        "median_steps": int(np.median(needed)),
        "most_steps": max(needed),
        "failed_by_mistake": {kind: [failed[kind], kinds[kind]] for kind in MISTAKE_KINDS},
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=40)
    parser.add_argument("--tasks", nargs="+", default=list(INSTRUCTIONS))
    chosen = parser.parse_args()
    measured = {}
    for task in chosen.tasks:
        measured[task] = measure(task, chosen.attempts)
        print(task, json.dumps(measured[task]), flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    content = {"seed": SEED, "mistake_rate": MISTAKE_RATE, "tasks": measured}
    (RESULTS / "operator.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
