"""The ranking beside the plainest one, which runs the whole policy for every pair, one at a time.

    python -m benchmarks ranking

The plain one is what the tests hold the ranking to (`tests.slow_ranking`): for each frame of a
failure it encodes and decodes once under the failure's own PB and once under the PB of every
success. It is timed on a stated sample, and `Facts.naive_factor` carries that to the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.objects import ACTION, ENVIRONMENT_STATE, STATE, make_demos
from benchmarks.side_by_side import count_flops
from outtakes.data.demo import Demo, DemoSet
from outtakes.data.normalize import Normalizer
from outtakes.policy.act import ActConfig, ActPolicy, Sizes
from outtakes.policy.agent import Agent
from outtakes.policy.footprint import Budget
from outtakes.recipes import PAPER, QUICK
from outtakes.selection.discrepancy import Discrepancy
from outtakes.selection.pairs import Pairs
from outtakes.selection.score import score_run
from outtakes.training.checkpoint import Checkpoint
from tests.slow_ranking import divergences


@dataclass(frozen=True)
class Facts:
    """What was compared, and how much arithmetic it is."""

    recipe: str
    failures: int
    successes: int
    pairs: int
    """(failure, frame, success) triples that `ours` compares."""
    naive_runs: int
    """Runs of the whole policy that `naive` makes."""
    naive_factor: float
    """Runs it would make for the work of `ours`, divided by `naive_runs`."""
    flops: int
    """Of the matrix products and convolutions of `ours`, counted as they ran."""


Pair = tuple[Callable[[], None], Callable[[], None], Facts]
"""(ours, naive, facts)."""


def quick_pair(frames: tuple[int, int] = (45, 80)) -> Pair:
    """Quick recipe: 50 failures × 50 successes, every frame; naive on 4 frames of one failure.

    Args:
        frames: of a demonstration, fewest and most.
    """
    demos = make_demos(100, np.random.default_rng(0).integers(*frames, size=100, endpoint=True))
    agent = make_agent(QUICK.act, demos)
    policy, failures = agent.policy, demos.lengths[~demos.successes]
    tensors = {f"policy.{name}": tensor for name, tensor in policy.state_dict().items()}
    tensors |= {f"normalizer.{n}": tensor for n, tensor in agent.normalizer.tensors().items()}
    checkpoint = Checkpoint(
        step=0,
        seed=0,
        act=policy.config,
        sizes=policy.sizes,
        dataset=demos.name,
        content_hash=demos.content_hash,
        episodes=tuple(demos.episode_indices.tolist()),
        successes=tuple(demos.successes.tolist()),
        settings={},
        commit="",
        tensors=tensors,
    )

    def ours() -> None:
        score_run(checkpoint, demos)

    naive, runs = naive_sample(agent, demos, frames=4, successes=50)
    runs_in_all = int(failures.sum()) * (1 + 50)
    facts = Facts(
        "quick", 50, 50, int(failures.sum()) * 50, runs, runs_in_all / runs, count_flops(ours)
    )
    return ours, naive, facts


def paper_pair() -> Pair:
    """Paper recipe: 2 frames of one failure × 50 successes; naive on 1 frame × 2 successes."""
    demos = make_demos(51, 2, failures=1, cameras=PAPER.act.cameras)
    agent = make_agent(PAPER.act, demos)
    failure, own, others = of_first_failure(agent, demos)
    discrepancy = Discrepancy(agent, others, Budget.of("cpu"))
    pairs = Pairs.every(len(failure), len(others))

    def ours() -> None:
        discrepancy.of(failure, own, pairs)

    naive, runs = naive_sample(agent, demos, frames=1, successes=2)
    runs_in_all = len(failure) * (1 + len(others))
    facts = Facts("paper", 1, 50, len(failure) * 50, runs, runs_in_all / runs, count_flops(ours))
    return ours, naive, facts


def make_agent(config: ActConfig, demos: DemoSet) -> Agent:
    """An untrained policy whose PB table is random: its arithmetic is that of a trained one."""
    policy = ActPolicy(config, Sizes(len(demos), STATE, ENVIRONMENT_STATE, ACTION))
    assert policy.bias is not None
    torch.nn.init.normal_(policy.bias.table, generator=torch.Generator().manual_seed(0))
    return Agent(policy, Normalizer.of(demos), None)


def of_first_failure(agent: Agent, demos: DemoSet) -> tuple[Demo, torch.Tensor, torch.Tensor]:
    """The first failure, its PB, and those of every success."""
    assert agent.policy.bias is not None
    table, row = agent.policy.bias.table.detach(), int(np.argmin(demos.successes))
    return demos[row], table[row], table[demos.successes]


def naive_sample(
    agent: Agent, demos: DemoSet, *, frames: int, successes: int
) -> tuple[Callable[[], None], int]:
    """The plain ranking of some frames of the first failure, and how many policy runs it is."""
    failure, own, others = of_first_failure(agent, demos)
    part = Demo(
        failure.episode_index,
        failure.outcome,
        failure.state[:frames],
        failure.environment_state[:frames],
        failure.action[:frames],
        {camera: images[:frames] for camera, images in failure.images.items()},
    )

    def naive() -> None:
        divergences(agent, part, own, others[:successes])

    return naive, frames * (1 + successes)
