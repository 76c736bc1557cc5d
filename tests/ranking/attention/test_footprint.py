"""Ranking computes in bounded memory, whatever the dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from outtakes.data.demo import DemoSet
from outtakes.data.normalize import Normalizer
from outtakes.data.observation import Sizes
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.agent import Agent
from outtakes.ranking.attention.discrepancy import Discrepancy
from outtakes.ranking.attention.footprint import Budget, memory_tokens
from outtakes.ranking.attention.pairs import Pairs
from tests.demos import bias_of, make_demos, small_act

MIB = 1 << 20
SUCCESSES = 16
SHORT, LONG = 16, 128
WIDE = {"chunk": 20, "width": 64, "heads": 4, "feed_forward": 256}


def peak_bytes(work: Callable[[], object]) -> int:
    """Most bytes that tensors held at once, by what torch's allocator says."""
    work()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as seen:
        work()
    recorded: Any = seen.profiler  # torch's stubs do not know what an event holds
    events = [e for e in recorded.kineto_results.events() if e.name() == "[memory]"]
    held = np.cumsum([e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())])
    return int(held.max())


def ranking(demos: DemoSet, budget: Budget, **act) -> Callable[[], np.ndarray]:
    """Comparing the first failure with every success."""
    sizes = Sizes(len(demos), 4, 3, 2)
    policy = ActPolicy(small_act(**WIDE, **act), sizes)
    agent = Agent(policy, Normalizer.of(demos))
    table = torch.randn(bias_of(policy).table.shape)
    discrepancy = Discrepancy(agent, policy, table[:SUCCESSES], budget)
    failure = demos[SUCCESSES]
    return lambda: discrepancy.of(failure, table[-1], Pairs.every(len(failure), SUCCESSES))


def demos_of(length: int, camera: bool) -> DemoSet:
    return make_demos(SUCCESSES, 1, length=(length, length + 1), camera=camera)


@pytest.mark.parametrize(("cameras", "held"), [((), 4 * MIB), (("overhead",), 24 * MIB)])
def test_memory_stays_within_the_budget_whatever_the_dataset(cameras, held):
    budget = Budget(held=held, working_set=2 * MIB)
    # A convolution repacks its weights: the same for every dataset.
    repacked = 2 * 512 * 512 * 9 * 4 if cameras else 0
    allowed = budget.held + budget.working_set + repacked
    for length in (SHORT, LONG):
        demos = demos_of(length, camera=True)
        found = peak_bytes(ranking(demos, budget, cameras=cameras))
        assert found < allowed, length
    roomy = Budget(held=1 << 40, working_set=1 << 40)
    assert peak_bytes(ranking(demos, roomy, cameras=cameras)) > 2 * allowed


@pytest.mark.parametrize("cameras", [(), ("overhead",)])
def test_tokens_are_foreseen(cameras):
    demos = demos_of(SHORT, camera=True)
    policy = ActPolicy(small_act(cameras=cameras), Sizes(1, 4, 3, 2))
    agent = Agent(policy, Normalizer.of(demos))
    raw = {"observation.state": demos.state[:2]}
    raw["observation.environment_state"] = demos.environment_state[:2]
    raw |= {f"observation.images.{camera}": demos.images[camera][:2] for camera in cameras}
    memory = policy.encode(agent.observation(raw))
    sizes = [demos.images[camera].shape[1:3] for camera in cameras]
    assert memory_tokens(policy, sizes) == memory.tokens.shape[1]
