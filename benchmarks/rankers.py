"""CPU time of every ranker that needs the dataset alone, and of those that go by plain ACT.

    python -m benchmarks.rankers [NAME ...]

On 1,000 made-up demonstrations of 100 frames, half of them failures; for the numbers in
docs/rankers.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from outtakes.data.demo import DemoSet, Outcome
from outtakes.experiments.recipes import QUICK
from outtakes.ranking.measure import Needs
from outtakes.ranking.ranker import DatasetRanker, RunRanker, ranker, rankers
from outtakes.training.trainer import train

FRAMES = 100
OF_RUNS = 10
"""Rankers by runs are timed on so many times fewer demonstrations."""


def demonstrations(count: int) -> DemoSet:
    """Random walks, (14,) states, (10,) environment states and (7,) actions."""
    rng, rows = np.random.default_rng(0), count * FRAMES
    return DemoSet(
        name="made up",
        content_hash="made-up",
        fps=20.0,
        episode_indices=np.arange(count),
        successes=np.arange(count) < count // 2,
        starts=np.arange(count) * FRAMES,
        lengths=np.full(count, FRAMES),
        state=0.05 * np.cumsum(rng.normal(size=(rows, 14)), axis=0).astype(np.float32),
        environment_state=rng.normal(size=(rows, 10)).astype(np.float32),
        action=rng.normal(size=(rows, 7)).astype(np.float32),
    )


def cpu_ms(work: Callable[[], object]) -> float:
    """CPU milliseconds that it takes."""
    before = time.process_time()
    work()
    return 1000 * (time.process_time() - before)


def by_run(found: RunRanker, demos: DemoSet) -> float:
    """CPU milliseconds for a run of ACT, trained for a step on most of the successes."""
    seen = demos.subset(demos.episodes(Outcome.SUCCESS)[: len(demos) * 2 // 5])
    policy, config = (
        replace(QUICK.policy, condition="none"),
        replace(QUICK.train, steps=1, warmup=0),
    )
    with tempfile.TemporaryDirectory() as folder:
        run = train(seen, Path(folder), policy=policy, config=config, seed=0)
    return cpu_ms(lambda: found.score(run, demos))


def main(chosen: Sequence[str]) -> None:
    """Time these rankers, or all."""
    demos, few = demonstrations(1000), demonstrations(1000 // OF_RUNS)
    for name in chosen or rankers():
        found = ranker(name)
        if isinstance(found, DatasetRanker):
            print(f"{name}: {cpu_ms(lambda found=found: found.score(demos)):.0f} ms")
        elif isinstance(found, RunRanker) and found.measure.needs is not Needs.BIAS:
            print(f"{name}: {OF_RUNS * by_run(found, few):.0f} ms a run")


if __name__ == "__main__":
    main(sys.argv[1:])
