"""Lift from pixels beside Lift from object poses, on tuning states; the table of docs/eyes.md.

    python -m benchmarks.eyes OUT [--eyes poses frozen tokens ...] [--steps N] [--seeds 0 1]
                                  [--rollouts N] [--layer N] [--components N] [--image-size N]
                                  [--weights random-0]

Resumable: what is done is not done again. Initial states are those of the tuning stream, so that
eyes may be chosen by this table and judged by others.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from outtakes.data.demo import DemoSet, Outcome
from outtakes.evaluation.statistics import success_rate
from outtakes.experiments.arm import act_arm
from outtakes.experiments.datasets import fit, read_demos, record
from outtakes.experiments.executor import Here
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.recipes import QUICK, Recipe
from outtakes.experiments.runs import rollouts_of, train
from outtakes.policy.eyes.frozen import FrozenEyes
from outtakes.policy.eyes.looking import look
from outtakes.sim.initial_states import InitialStates, Stream

CAMERAS = ("overhead", "wrist")


def dataset(out: Path, size: int) -> Path:
    """50 successes of Lift by two cameras, collected once."""
    root = out / f"dataset-{size}"
    if not root.exists():
        config = replace(QUICK.collect, failures=0, cameras=CAMERAS, image_size=size)
        record(config, root, workers=1)
    return root


def measured(
    out: Path, name: str, recipe: Recipe, root: Path, seeds: Sequence[int]
) -> dict[str, object]:
    """Success rate of one way to see, and what it cost of a core, in CPU seconds."""
    started = time.process_time()
    lab = Lab(recipe, out / name)
    demos = read_demos(lab, root)
    lab = fit(lab, demos)
    eyes = lab.recipe.policy.eyes
    if eyes is not None:
        look(demos, eyes)
    looked = time.process_time()
    arm = act_arm(lab.recipe, "act", name, demos.episodes(Outcome.SUCCESS))
    jobs = jobs_of(lab, [arm], seeds, demos, lab.recipe.evaluation)
    train(jobs)
    trained = time.process_time()
    list(Here().run([jobs]))
    rolled = time.process_time()
    table = np.array([[r.success for r in rollouts_of(job)] for job in jobs])
    return {
        "eyes": name,
        "settings": None if eyes is None else eyes.describe(),
        "per_seed": table.mean(axis=1).tolist(),
        "rate": asdict(success_rate(table)),
        "pictures": _pictures(demos),
        "cpu_seconds": {
            "read and look": looked - started,
            "train all seeds": trained - looked,
            "roll out all seeds": rolled - trained,
        },
    }


def _pictures(demos: DemoSet) -> int:
    return len(demos.images) * int(demos.lengths.sum())


def main() -> None:
    """Measure these ways to see, one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--eyes", nargs="+", default=["poses", "frozen"])
    parser.add_argument("--steps", type=int, default=QUICK.train.steps)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--rollouts", type=int, default=50)
    parser.add_argument("--image-size", type=int, default=96)
    defaults = FrozenEyes()
    for setting in ("network", "weights", "layer", "components"):
        default = getattr(defaults, setting)
        parser.add_argument(f"--{setting}", type=type(default), default=default)
    chosen = parser.parse_args()
    frozen = FrozenEyes(
        network=chosen.network,
        weights=chosen.weights,
        layer=chosen.layer,
        components=chosen.components,
    )
    train = replace(QUICK.train, steps=chosen.steps, warmup=min(100, chosen.steps // 10))
    root = dataset(chosen.out, chosen.image_size)
    for eyes in chosen.eyes:
        recipe = replace(
            QUICK,
            train=train,
            states=InitialStates(Stream.TUNE, 777),
            rollouts=chosen.rollouts,
            image_size=chosen.image_size,
            eyes="auto" if eyes == "poses" else eyes,
            frozen=frozen,
        )
        name = f"{eyes}-{chosen.steps}-{chosen.rollouts}"
        if eyes != "poses":
            key = replace(frozen, image_size=chosen.image_size).key
            name = f"{name}-{key}-{chosen.components}"
        found = measured(chosen.out, name, recipe, root, chosen.seeds)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
