"""An untrained policy of the right size for the Lift simulation."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from outtakes.data.normalize import Moments, Normalizer
from outtakes.data.observation import Sizes
from outtakes.policy.act.act import ActPolicy, Condition
from outtakes.policy.act.retrieval import Bank
from outtakes.policy.agent import Agent
from outtakes.sim.robosuite.lift import Lift
from tests.demos import small_act

ACTION = 7
CHUNK = 5
SUCCESSES = 6


@cache
def lift_observation() -> dict[str, np.ndarray]:
    """What Lift shows at one initial state."""
    environment = Lift()
    environment.reset(environment.sample_initial_state(np.random.default_rng(0)))
    return dict(environment.observe())


def make_lift_agent(condition: Condition = "pb", cameras: tuple[str, ...] = ()) -> Agent:
    """Random weights, random PBs, moments near those of the simulation."""
    first = lift_observation()
    state = len(first["observation.state"])
    environment_state = len(first["observation.environment_state"])
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        act = small_act(condition=condition, chunk=CHUNK, cameras=cameras)
        policy = ActPolicy(act, Sizes(SUCCESSES, state, environment_state, ACTION))
    normalizer = Normalizer(
        Moments(torch.from_numpy(first["observation.state"]), torch.full((state,), 0.1)),
        Moments(
            torch.from_numpy(first["observation.environment_state"]),
            torch.full((environment_state,), 0.1),
        ),
        Moments(torch.zeros(ACTION), torch.full((ACTION,), 0.7)),
    )
    width = 512 if cameras else state + environment_state
    bank = Bank(
        torch.randn(SUCCESSES, width, generator=generator),
        torch.randn(SUCCESSES, CHUNK, act.pb_size, generator=generator),
        torch.arange(SUCCESSES) * 3,
    )
    policy.bank = bank if condition == "pb" else None
    return Agent(policy, normalizer)
