"""A training step beside that of LeRobot's ACT, and several seeds beside one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from benchmarks.objects import make_demos
from benchmarks.peer import batch_for_lerobot, lerobot_act, training_step
from benchmarks.side_by_side import Row, Side, compare, count_flops, matrix_peak, times
from outtakes.data.demo import DemoSet
from outtakes.experiments.recipes import PAPER, QUICK, Recipe
from outtakes.policy.act.act import ActConfig, ActPolicy
from outtakes.training.config import Precision
from outtakes.training.learner import Learner

CPU = torch.device("cpu")


def make_learner(
    recipe: Recipe, demos: DemoSet, *, seeds: int = 1, precision: Precision = "fp32", **act: object
) -> Learner:
    """A learner of the recipe's policy, without PB unless `condition` says so."""
    config = replace(recipe.train, precision=precision)
    shape: ActConfig = replace(recipe.policy, **({"condition": "none"} | act))
    return Learner(demos, shape, config, tuple(range(seeds)), CPU)


def act_of(learner: Learner) -> ActPolicy:
    """The learner's first policy, which is ACT."""
    policy = learner.policies[0]
    assert isinstance(policy, ActPolicy)
    return policy


def step_of(learner: Learner) -> Callable[[], None]:
    """One step as `train` takes it on a batch that is there, the check of the loss included."""
    batch = learner.batch(0)

    def step() -> None:
        _, finite = learner.differentiate(batch)
        assert bool(finite.all())
        learner.move(batch)

    return step


def paper_step(precision: Precision) -> Row:
    """The paper recipe's step: 224², two cameras, batch 10, d=512, 7 decoder layers, no PB."""
    demos = make_demos(20, 60, cameras=PAPER.policy.cameras)
    learner = make_learner(PAPER, demos, precision=precision)
    agreement = check_same_numbers(PAPER, demos, image_size=224)
    target = {"fp32": "at least 1.3 times", "bf16": "at least 2 times"}[precision]
    return _beside_lerobot(
        f"training step, paper recipe, {precision}", learner, 1, target, agreement
    )


def quick_step(seeds: int = 1) -> Row:
    """The quick recipe's step, no PB; of several seeds trained together, for each of them."""
    demos = make_demos()
    learner = make_learner(QUICK, demos, seeds=seeds)
    agreement = check_same_numbers(QUICK, demos, image_size=96)
    together = f", {seeds} seeds together, per seed" if seeds > 1 else ""
    what = f"training step, quick recipe{together}"
    return _beside_lerobot(what, learner, 20, "at least 1.5 times", agreement)


def check_same_numbers(recipe: Recipe, demos: DemoSet, image_size: int) -> float:
    """How far our loss is from LeRobot's on the same weights and batch, relatively.

    Dropout and latent noise are off: each side draws its own.
    """
    learner = make_learner(recipe, demos, dropout=0.0, use_vae=False)
    policy, batch = act_of(learner), learner.batch(0)
    theirs = lerobot_act(policy, image_size)
    with torch.no_grad():
        ours = policy.losses(batch).total
        expected, _ = theirs(batch_for_lerobot(batch, policy))
    difference = float((ours - expected).abs() / expected)
    assert difference < 1e-5, f"loss {float(ours)} and LeRobot's {float(expected)} differ"
    return difference


def _beside_lerobot(what: str, learner: Learner, steps: int, target: str, agreement: float) -> Row:
    policy, seeds = act_of(learner), len(learner.policies)
    # Both are given their batch ready-made.
    batch = make_batch_for_lerobot(learner)
    theirs = lerobot_act(policy, 224 if policy.config.cameras else 96)
    flops = _flops(learner)
    row = compare(
        what,
        Side("Outtakes", times(step_of(learner), steps), steps * seeds),
        Side("LeRobot ACTPolicy, fp32", times(training_step(theirs, lambda: batch), steps), steps),
        unit="step of one seed",
        target=target,
    )
    peak = matrix_peak(torch.bfloat16 if learner.config.precision == "bf16" else torch.float32)
    facts = {
        "relative difference of the loss": agreement,
        "GFLOP a step, ours": flops / 1e9,
        "matrix peak, GFLOP/s": peak / 1e9,
        "share of matrix peak": flops / float(np.median(row.ours_s)) / peak,
    }
    return replace(row, facts=facts)


def make_batch_for_lerobot(learner: Learner) -> dict[str, torch.Tensor]:
    """The first batch of a learner's first seed, as LeRobot takes it."""
    own = learner.data.batch(learner.samplers[0].draw(0), learner.policy.chunk)
    return batch_for_lerobot(own, act_of(learner))


def _flops(learner: Learner) -> int:
    """Of a step of one policy."""
    alone = learner
    if len(learner.policies) > 1:
        settings = (learner.policy, learner.config, learner.seeds[:1], learner.device)
        alone = Learner(learner.demos, *settings)
    return count_flops(step_of(alone))


def seeds_together(condition: str, seeds: int = 5) -> Row:
    """Several seeds as one program beside one seed, a step of one seed each."""
    demos, steps = make_demos(), 20
    alone = make_learner(QUICK, demos, condition=condition)
    together = make_learner(QUICK, demos, seeds=seeds, condition=condition)
    name = {"none": "ACT", "pb": "PB and KL"}[condition]
    return compare(
        f"{seeds} seeds together, quick recipe, {name}, per seed",
        Side("together", times(step_of(together), steps), steps * seeds),
        Side("one seed alone", times(step_of(alone), steps), steps),
        unit="step of one seed",
        target="at most 0.9 of the time, a ratio of 1.11",
    )


def loss_curve_in_bf16(demos: DemoSet, steps: int = 300) -> dict[str, float]:
    """How far the loss curve of the quick recipe in bf16 is from that in fp32, relatively.

    Curves are means over 50 steps.
    """
    curves = []
    for precision in ("fp32", "bf16"):
        learner = make_learner(QUICK, demos, precision=precision, condition="pb")
        losses = []
        for _ in range(steps):
            batch = learner.batch(learner.step)
            loss, _ = learner.differentiate(batch)
            learner.move(batch)
            losses.append(float(loss.parts["loss/action_l1"].detach()))
        curves.append(np.convolve(losses, np.ones(50) / 50, mode="valid"))
    difference = np.abs(curves[1] / curves[0] - 1)
    return {"mean": float(difference.mean()), "greatest": float(difference.max())}
