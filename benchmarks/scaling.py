"""How time and memory grow: ranking with demonstrations, the training step with seeds."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.objects import make_demos
from benchmarks.ranking import make_agent
from benchmarks.training import make_learner, step_of
from outtakes.experiments.recipes import QUICK
from outtakes.ranking.attention.discrepancy import Discrepancy
from outtakes.ranking.attention.footprint import Budget
from outtakes.ranking.attention.pairs import Pairs

DEMONSTRATIONS = (10, 50, 200, 800)
SEEDS = (1, 2, 5, 10)
FRAMES = 60
_FAILURES_TIMED = 20
"""Failures timed of a dataset with more; every failure is the same work."""


def ranking() -> list[dict[str, float]]:
    """Seconds and peak memory of an exact ranking, half successes and half failures.

    Each size has a process of its own, whose memory is then its own.
    """
    return [_ranking_of(count) for count in DEMONSTRATIONS]


def _ranking_of(count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scaling", str(count)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, megabytes, megabytes_before = map(float, printed.split())
    return {
        "demonstrations": count,
        "seconds": seconds,
        "peak_mb": megabytes,
        "peak_before_ranking_mb": megabytes_before,
    }


def rank_once(count: int) -> tuple[float, float, float]:
    """Seconds of the whole ranking, peak memory in MB, and peak memory before it began."""
    demos = make_demos(count, FRAMES)
    agent, policy = make_agent(QUICK.policy, demos)
    assert policy.bias is not None
    table = policy.bias.table.detach()
    scan = Discrepancy(agent, policy, table[demos.successes], Budget.of("cpu"))
    failures = np.flatnonzero(~demos.successes)
    timed = failures[:_FAILURES_TIMED]
    before = _peak_mb()
    started = time.perf_counter()
    for row in timed:
        scan.of(demos[int(row)], table[row], Pairs.every(FRAMES, int(demos.successes.sum())))
    seconds = (time.perf_counter() - started) * len(failures) / len(timed)
    return seconds, _peak_mb(), before


def _peak_mb() -> float:
    """Of this process alone; what `getrusage` tells, a child has from its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = [line for line in status if line.startswith("VmHWM")]
    return int(peak.split()[1]) / 1024


def training() -> list[dict[str, float]]:
    """Milliseconds of a step of the quick recipe with PB and KL, by seeds trained together."""
    demos = make_demos()
    steps = {n: step_of(make_learner(QUICK, demos, seeds=n, condition="pb")) for n in SEEDS}
    times: dict[int, list[float]] = {n: [] for n in SEEDS}
    for _ in range(7):
        for seeds, step in steps.items():
            started = time.perf_counter()
            for _ in range(10):
                step()
            times[seeds].append((time.perf_counter() - started) * 100)
    return [
        {"seeds": n, "step_ms": float(np.median(t)), "step_ms_per_seed": float(np.median(t)) / n}
        for n, t in times.items()
    ]


if __name__ == "__main__":
    print(*rank_once(int(sys.argv[1])))
