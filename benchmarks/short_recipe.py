"""The search for the shortest training that reaches the quick recipe's success rate.

    python -m benchmarks.short_recipe tune OUT      candidates, on data and seeds kept for tuning
    python -m benchmarks.short_recipe confirm OUT   the chosen one beside quick, on those reported

Both are resumable. Tuning: demonstrations of collection seed 1001, training seeds 100-103, tuning
states of seed 777. Confirmation: collection seed 0, training seeds 0-4, initial states of seed 0.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.evaluation.statistics import success_difference, success_rate
from outtakes.experiments.arm import Arm, act_arm, bias_arm
from outtakes.experiments.datasets import record
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of, run_jobs
from outtakes.experiments.recipes import QUICK, Recipe
from outtakes.sim.initial_states import InitialStates, Stream

CANDIDATES = {
    f"{steps} steps, rate {rate:g}": replace(
        QUICK.train, steps=steps, learning_rate=rate, warmup=min(50, steps // 10)
    )
    for steps in (300, 500)
    for rate in (1e-3, 2e-3)
}
CANDIDATES["1500 steps, rate 0.0005 (quick)"] = QUICK.train
TUNING_SEEDS, REPORTED_SEEDS = (100, 101, 102, 103), tuple(range(5))


def demonstrations(folder: Path, seed: int) -> DemoSet:
    """The quick recipe's demonstrations of a collection seed, collected once."""
    root = folder / f"dataset-{seed}"
    if not root.exists():
        record(replace(QUICK.collect, seed=seed), root)
    return read_dataset(root, Reading(cameras=(), image_size=QUICK.image_size))


def arms_of(recipe: Recipe, demos: DemoSet) -> list[Arm]:
    """ACT on the successes, and PB with the KL term on everything."""
    successes = demos.episodes(Outcome.SUCCESS)
    everything = [int(e) for e in demos.episode_indices]
    return [
        act_arm(recipe, "act", "ACT, successes", successes),
        bias_arm(recipe, "pb-kl", "PB and KL, all", everything),
    ]


def success_rates(
    demos: DemoSet, recipe: Recipe, seeds: Sequence[int], out: Path
) -> dict[str, np.ndarray]:
    """Arm and steering -> (seeds, rollouts) bool."""
    lab = Lab(recipe, out, workers=2)
    log = run_jobs(lab, jobs_of(lab, arms_of(recipe, demos), seeds, demos, recipe.evaluation))
    return {
        arm: _table(log, arm, seeds) for arm in dict.fromkeys(r.treatment for r in log.rollouts)
    }


def _table(log: RolloutLog, arm: str, seeds: Sequence[int]) -> np.ndarray:
    mine = [r for r in log.rollouts if r.treatment == arm]
    return np.array(
        [
            [r.success for r in sorted(mine, key=lambda r: r.initial_state) if r.seed == seed]
            for seed in seeds
        ]
    )


def tune(out: Path) -> None:
    """Success rates of every candidate on the tuning data."""
    demos, found = demonstrations(out, 1001), {}
    for name, train in CANDIDATES.items():
        recipe = replace(QUICK, train=train, states=InitialStates(Stream.TUNE, 777))
        runs = out / "tuning" / name.replace(" ", "-")
        rates = success_rates(demos, recipe, TUNING_SEEDS, runs)
        found[name] = {arm: 100 * float(table.mean()) for arm, table in rates.items()}
        print(name, found[name], flush=True)
    (out / "tuning.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def confirm(out: Path, name: str) -> None:
    """The chosen candidate beside quick, the same initial states in both."""
    demos, quick = demonstrations(out, 0), QUICK
    chosen = replace(quick, train=CANDIDATES[name])
    tables = [
        success_rates(demos, recipe, REPORTED_SEEDS, out / "confirmation" / folder)
        for recipe, folder in ((chosen, "short"), (quick, "quick"))
    ]
    found = {
        arm: {
            "short": asdict(success_rate(tables[0][arm])),
            "quick": asdict(success_rate(tables[1][arm])),
            "difference": asdict(
                success_difference(tables[0][arm], tables[1][arm], rng=np.random.default_rng(0))
            ),
        }
        for arm in tables[0]
    }
    print(json.dumps(found, indent=1))
    content = {"chosen": name, "arms": found}
    (out / "confirmation.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "tune":
        tune(Path(sys.argv[2]))
    else:
        confirm(Path(sys.argv[2]), sys.argv[3])
