"""The GPU column of docs/performance.md, on a bare machine with torch, numpy and safetensors.

    benchmarks/on_gpu.sh OUT [--device cpu] [--tiny]

Every section writes `OUT/gpu.json` when it is done, so that a run that is cut short loses nothing;
one that fails leaves its error there. LeRobot's ACT is timed where LeRobot can be imported.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.objects import make_demos
from benchmarks.side_by_side import count_flops
from outtakes.experiments.recipes import PAPER, QUICK, Recipe
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.agent import Agent
from outtakes.ranking.attention.discrepancy import Discrepancy
from outtakes.ranking.attention.footprint import Budget
from outtakes.ranking.attention.pairs import Pairs
from outtakes.training.config import Precision
from outtakes.training.graphed import GraphedStep
from outtakes.training.learner import Learner

Facts = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What is measured on, and how much of it."""

    device: torch.device
    tiny: bool
    """Sizes that show whether it runs, and nothing else."""

    def learner(
        self, recipe: Recipe, condition: str, precision: Precision = "fp32", seeds: int = 1
    ) -> Learner:
        """A learner of the recipe's policy on demonstrations of noise."""
        policy = replace(recipe.policy, condition=condition)
        size = 64 if self.tiny else 224
        if self.tiny:
            policy = replace(policy, width=32, feed_forward=32, chunk=8, heads=4)
        demos = make_demos(20, 30, cameras=policy.cameras, image_size=size)
        config = replace(recipe.train, precision=precision)
        return Learner(demos, policy, config, tuple(range(seeds)), self.device)

    def seconds(self, work: Callable[[], object], repeats: int = 7) -> list[float]:
        """Of one call, as often; each is over enough calls to last a while."""
        work()
        calls = 1 if self.tiny else max(1, int(0.4 / max(self._timed(work, 1), 1e-5)))
        return [self._timed(work, calls) for _ in range(2 if self.tiny else repeats)]

    def _timed(self, work: Callable[[], object], calls: int) -> float:
        self.wait()
        started = time.perf_counter()
        for _ in range(calls):
            work()
        self.wait()
        return (time.perf_counter() - started) / calls

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def peak_memory(self) -> Facts:
        """Most memory in use on the GPU since this was asked before."""
        if not self.on_gpu:
            return {}
        peak = torch.cuda.max_memory_allocated() / 1e6
        torch.cuda.reset_peak_memory_stats()
        return {"peak MB": round(peak)}

    def peaks(self) -> Facts:
        """FLOP/s of a large matrix product by precision, and bytes/s of a large copy."""
        n = 256 if self.tiny else 8192
        found: Facts = {}
        for name, dtype, tf32 in (
            ("fp32", torch.float32, False),
            ("tf32", torch.float32, True),
            ("bf16", torch.bfloat16, False),
        ):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            a, b = (torch.randn(n, n, device=self.device).to(dtype) for _ in range(2))
            found[f"{name} matrix product, FLOP/s"] = (
                2 * n**3 / np.median(self.seconds(lambda a=a, b=b: a @ b, 5))
            )
        torch.backends.cuda.matmul.allow_tf32 = False
        source = torch.empty(2**22 if self.tiny else 2**31, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        moved = 2 * source.numel()
        found["copy, bytes/s"] = moved / np.median(self.seconds(lambda: target.copy_(source), 5))
        return found


def step_row(seconds: list[float], seeds: int = 1, **facts: object) -> Facts:
    """Milliseconds of a step of one seed: median, least and greatest."""
    ms = 1e3 * np.array(seconds) / seeds
    return {"ms": float(np.median(ms)), "least": float(ms.min()), "most": float(ms.max()), **facts}


def checked_step(learner: Learner) -> Callable[[], None]:
    """A step as training takes it eagerly: samples drawn, batch cut, loss checked."""

    def step() -> None:
        _, finite = learner.advance()
        assert bool(finite.all())

    return step


def graphed_step(learner: Learner, *, capture: bool) -> Callable[[], None]:
    """The same as one program."""
    take_step = GraphedStep(learner, capture=capture)

    def step() -> None:
        _, finite = take_step()
        assert bool(finite.all())

    return step


def steps_of(bench: Bench, recipe: Recipe, seeds: int, precisions: tuple[Precision, ...]) -> Facts:
    """A training step of ACT and of PB with KL: eager, and as one CUDA graph."""
    found: Facts = {}
    forms: dict[str, Callable[[Learner], Callable[[], None]]] = {
        "eager": checked_step,
        "one CUDA graph": lambda learner: graphed_step(learner, capture=bench.on_gpu),
    }
    for condition, name in (("none", "ACT"), ("pb", "PB and KL")):
        for precision in precisions:
            for form, step_of in forms.items():
                learner = bench.learner(recipe, condition, precision, seeds)
                row = step_row(bench.seconds(step_of(learner)), seeds, **bench.peak_memory())
                found[f"{name}, {precision}, {form}"] = row
                if seeds == 1 and form == "eager":
                    row["flop"] = count_flops(checked_step(learner))
                del learner
    return found


def same_numbers(bench: Bench) -> Facts:
    """How far a replayed step is from an eager one after some steps of the paper's policy."""
    losses = []
    for take in (lambda one: one.advance, lambda one: GraphedStep(one, capture=True)):
        learner = bench.learner(PAPER, "pb")
        step = take(learner)
        losses.append([float(step()[0].total) for _ in range(5 if bench.tiny else 20)])
    eager, graphed = np.array(losses)
    return {"greatest relative difference of the loss": float(np.abs(graphed / eager - 1).max())}


def compiled(bench: Bench) -> Facts:
    """The loss and gradient of the paper's ACT through `torch.compile`, without the optimiser."""
    learner = bench.learner(PAPER, "none")
    policy, batch = learner.policies[0], learner.batch(0)

    def run(losses: Callable[..., Any]) -> None:
        total = losses(batch, learner.generators[0]).total
        torch.autograd.grad(total, list(policy.parameters()), allow_unused=True)

    found = {"eager, loss and gradient": step_row(bench.seconds(lambda: run(policy.losses)))}
    started = time.perf_counter()
    program = torch.compile(policy.losses)
    run(program)
    bench.wait()
    found["seconds to compile"] = {"s": time.perf_counter() - started}
    found["compiled, loss and gradient"] = step_row(bench.seconds(lambda: run(program)))
    return found


def peer(bench: Bench) -> Facts:
    """LeRobot's own ACT of the paper's shape and our weights, its training step."""
    from benchmarks.peer import batch_for_lerobot, lerobot_act, training_step

    learner = bench.learner(PAPER, "none")
    policy = learner.policies[0]
    assert isinstance(policy, ActPolicy)
    theirs = lerobot_act(policy, 64 if bench.tiny else 224).to(bench.device)
    batch = batch_for_lerobot(learner.batch(0), policy)
    step = training_step(theirs, lambda: batch)
    found = {"fp32, eager": step_row(bench.seconds(step))}

    def in_bf16() -> None:
        with torch.autocast(bench.device.type, torch.bfloat16):
            step()

    found["bf16, eager"] = step_row(bench.seconds(in_bf16))
    return found


def ranking(bench: Bench, recipe: Recipe, failures: int) -> Facts:
    """An exact ranking of so many failures beside 50 successes, scaled to 50 × 50."""
    others, frames = (5, 3) if bench.tiny else (50, 60)
    policy_config = replace(recipe.policy, condition="pb")
    size = 64 if bench.tiny else 224
    demos = make_demos(
        others + failures, frames, failures=failures, cameras=policy_config.cameras, image_size=size
    )
    learner = Learner(demos, policy_config, recipe.train, (0,), bench.device)
    policy = learner.policies[0]
    assert isinstance(policy, ActPolicy) and policy.bias is not None
    torch.nn.init.normal_(policy.bias.table)
    agent, table = Agent(policy, learner.normalizer), policy.bias.table.detach()
    discrepancy = Discrepancy(agent, policy, table[:others], Budget.of(bench.device))

    def rank() -> None:
        for row in range(others, others + failures):
            discrepancy.of(demos[row], table[row], Pairs.every(frames, others))

    seconds = bench.seconds(rank, 3)
    return {
        "seconds of 50 × 50": float(np.median(seconds)) * 50 / failures,
        "failures timed": failures,
        "flop of those timed": count_flops(rank),
        "seconds of those timed": [float(s) for s in seconds],
    }


def learning(bench: Bench) -> Facts:
    """A stretch of the paper recipe, PB and KL in bf16, as training takes it."""
    learner = bench.learner(PAPER, "pb", "bf16")
    step = GraphedStep(learner, capture=bench.on_gpu)
    losses, started = [], time.perf_counter()
    limit = 2 if bench.tiny else 60
    while time.perf_counter() - started < limit:
        found, finite = step()
        assert bool(finite.all())
        losses.append(float(found.parts["loss/action_l1"]))
    seconds, last = time.perf_counter() - started, max(1, len(losses) // 10)
    return {
        "steps": len(losses),
        "seconds": seconds,
        "hours of 100,000 steps": 100_000 * seconds / len(losses) / 3600,
        "action error of the first tenth": float(np.mean(losses[:last])),
        "action error of the last tenth": float(np.mean(losses[-last:])),
        "note": "on demonstrations of noise",
    }


def sections(bench: Bench) -> dict[str, Callable[[], Facts]]:
    """What is measured, most important first."""
    both: tuple[Precision, ...] = ("fp32", "bf16")
    return {
        "peaks": bench.peaks,
        "paper step": lambda: steps_of(bench, PAPER, 1, both),
        **({"graph beside eager": lambda: same_numbers(bench)} if bench.on_gpu else {}),
        "LeRobot's ACT, paper step": lambda: peer(bench),
        "quick step": lambda: steps_of(bench, QUICK, 1, ("fp32",)),
        "quick step, 5 seeds, per seed": lambda: steps_of(bench, QUICK, 5, ("fp32",)),
        "quick step, 10 seeds, per seed": lambda: steps_of(bench, QUICK, 10, ("fp32",)),
        "ranking, quick recipe": lambda: ranking(bench, QUICK, 2 if bench.tiny else 50),
        "ranking, paper recipe": lambda: ranking(bench, PAPER, 1 if bench.tiny else 2),
        "paper recipe": lambda: learning(bench),
        "torch.compile": lambda: compiled(bench),
    }


def main() -> None:
    """Measure every section and write what was found, each as soon as it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--commit", default=os.environ.get("COMMIT", ""))
    given = parser.parse_args()
    bench = Bench(torch.device(given.device), given.tiny)
    name = torch.cuda.get_device_name() if bench.device.type == "cuda" else "CPU"
    report: Facts = {
        "device": name,
        "torch": torch.__version__,
        "commit": given.commit,
        "date": date.today().isoformat(),
        "command": "benchmarks/on_gpu.sh OUT",
        "sections": {},
    }
    given.out.mkdir(parents=True, exist_ok=True)
    for section, measure in sections(bench).items():
        started = time.perf_counter()
        try:
            found = measure()
        except Exception:  # the other sections are still worth their time
            found = {"error": traceback.format_exc()}
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
        report["sections"][section] = found
        (given.out / "gpu.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        took = time.perf_counter() - started
        print(f"{section}, {took:.0f} s: {json.dumps(found, indent=1)}", flush=True)


if __name__ == "__main__":
    main()
