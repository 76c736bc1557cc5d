"""The ranking beside two plain ones, which run the whole policy for one pair at a time.

    python -m benchmarks ranking

Both are the code that the tests hold the ranking to (`tests.slow_ranking`): every run encodes and
decodes one frame under one PB. The plainest takes each (failure, time, success) for itself, two
runs each. The other runs each frame under the failure's own PB once for all successes. Both are
timed on a stated sample, and their time is carried to the whole by the number of runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.objects import ACTION, ENVIRONMENT_STATE, STATE, make_demos
from benchmarks.side_by_side import Row, Side, compare, count_flops, matrix_peak
from outtakes.data.demo import Demo, DemoSet
from outtakes.data.normalize import Normalizer
from outtakes.data.observation import Sizes
from outtakes.experiments.recipes import PAPER, QUICK
from outtakes.policy.act.act import ActConfig, ActPolicy
from outtakes.policy.agent import Agent
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.attention.discrepancy import Discrepancy
from outtakes.ranking.attention.footprint import Budget
from outtakes.ranking.attention.pairs import Pairs
from outtakes.ranking.attention.scoring import AttentionRanker
from tests.slow_ranking import divergences

ALONE = "the whole policy for every (failure, time, success), one at a time"
SHARED = "the same, but the failure's own PB once for each of its frames"


@dataclass(frozen=True)
class Plain:
    """A plain ranking of a sample."""

    name: str
    work: Callable[[], None]
    runs: int
    """Runs of the whole policy in `work`."""
    runs_in_all: int
    """Runs it would take for the whole ranking."""


@dataclass(frozen=True)
class Ranking:
    """A ranking, and the plain ones that it is timed beside."""

    what: str
    ours: Callable[[], None]
    triples: int
    """(failure, time, success) that `ours` compares."""
    plain: tuple[Plain, Plain]
    targets: tuple[str, str]

    def rows(self) -> list[Row]:
        """Ours beside each of the plain ones."""
        return [self._beside(*pair) for pair in zip(self.plain, self.targets, strict=True)]

    def _beside(self, plain: Plain, target: str) -> Row:
        row = compare(
            self.what,
            Side("Outtakes", self.ours),
            Side(plain.name, plain.work, plain.runs / plain.runs_in_all),
            unit=f"{self.triples} (failure, time, success)",
            target=target,
            repeats=5,
        )
        flops, peak = count_flops(self.ours), matrix_peak()
        facts = {
            "GFLOP left": flops / 1e9,
            "matrix peak, GFLOP/s": peak / 1e9,
            "share of matrix peak": flops / float(np.median(row.ours_s)) / peak,
            "policy runs the peer is timed on": plain.runs,
        }
        return replace(row, facts=facts)


def quick(frames: tuple[int, int] = (45, 80)) -> Ranking:
    """Quick recipe: 50 failures × 50 successes, every frame.

    Args:
        frames: of a demonstration, fewest and most.
    """
    demos = make_demos(100, np.random.default_rng(0).integers(*frames, size=100, endpoint=True))
    agent, policy = make_agent(QUICK.policy, demos)
    checkpoint, ranker = _checkpoint(agent, policy, demos), AttentionRanker()

    def ours() -> None:
        ranker.score(checkpoint, demos)

    return Ranking(
        "ranking, quick recipe, 50 × 50, exact",
        ours,
        int(demos.lengths[~demos.successes].sum()) * 50,
        _plain(agent, policy, demos, frames=4, successes=50),
        ("at least 8 times and at most 60 s", "none named"),
    )


def paper() -> Ranking:
    """Paper recipe: 2 frames of one failure × 50 successes; the plain ones on a frame × 2."""
    demos = make_demos(51, 2, failures=1, cameras=PAPER.policy.cameras)
    agent, policy = make_agent(PAPER.policy, demos)
    failure, own, others = _first_failure(policy, demos)
    discrepancy = Discrepancy(agent, policy, others, Budget.of("cpu"))
    pairs = Pairs.every(len(failure), len(others))

    def ours() -> None:
        discrepancy.of(failure, own, pairs)

    return Ranking(
        "ranking, paper recipe, 1 × 50, exact",
        ours,
        len(failure) * len(others),
        _plain(agent, policy, demos, frames=1, successes=2),
        ("at least 4 times; at least 50 % of the matrix peak", "none named"),
    )


def _plain(
    agent: Agent, policy: ActPolicy, demos: DemoSet, *, frames: int, successes: int
) -> tuple[Plain, Plain]:
    """Both plain rankings of so many frames of the first failure beside so many successes."""
    failure, own, others = _first_failure(policy, demos)
    part, sample = _first_frames(failure, frames), others[:successes]
    steps = int(demos.lengths[~demos.successes].sum())

    def alone() -> None:
        for other in sample:
            divergences(agent, part, own, other[None])

    def shared() -> None:
        divergences(agent, part, own, sample)

    return (
        Plain(ALONE, alone, 2 * frames * successes, 2 * steps * len(others)),
        Plain(SHARED, shared, frames * (1 + successes), steps * (1 + len(others))),
    )


def make_agent(config: ActConfig, demos: DemoSet) -> tuple[Agent, ActPolicy]:
    """An untrained policy whose PB table is random: its arithmetic is that of a trained one."""
    policy = ActPolicy(config, Sizes(len(demos), STATE, ENVIRONMENT_STATE, ACTION))
    assert policy.bias is not None
    torch.nn.init.normal_(policy.bias.table, generator=torch.Generator().manual_seed(0))
    return Agent(policy, Normalizer.of(demos)), policy


def _checkpoint(agent: Agent, policy: ActPolicy, demos: DemoSet) -> Checkpoint:
    tensors = {f"policy.{name}": tensor for name, tensor in policy.state_dict().items()}
    tensors |= {f"normalizer.{n}": tensor for n, tensor in agent.normalizer.tensors().items()}
    return Checkpoint(
        step=0,
        seed=0,
        config=policy.config,
        sizes=policy.sizes,
        dataset=demos.name,
        content_hash=demos.content_hash,
        choices=demos.choices,
        episodes=tuple(demos.episode_indices.tolist()),
        successes=tuple(demos.successes.tolist()),
        training={},
        commit="",
        tensors=tensors,
    )


def _first_failure(policy: ActPolicy, demos: DemoSet) -> tuple[Demo, Tensor, Tensor]:
    """The first failure, its PB, and those of every success."""
    assert policy.bias is not None
    table, row = policy.bias.table.detach(), int(np.argmin(demos.successes))
    return demos[row], table[row], table[demos.successes]


def _first_frames(demo: Demo, frames: int) -> Demo:
    return Demo(
        demo.episode_index,
        demo.outcome,
        demo.state[:frames],
        demo.environment_state[:frames],
        demo.action[:frames],
        {camera: images[:frames] for camera, images in demo.images.items()},
    )
