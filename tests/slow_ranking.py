"""Eq. 5 word for word: the whole policy for every failure, time step and success, one at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from outtakes.data.demo import Demo
from outtakes.data.observation import Observation
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.agent import Agent
from outtakes.policy.divergence import symmetric_kl
from outtakes.policy.transformer.transformer_policy import Memory


def observation_at(agent: Agent, demo: Demo, t: int) -> Observation:
    rows = {
        "observation.state": demo.state,
        "observation.environment_state": demo.environment_state,
        **{f"observation.images.{camera}": demo.images[camera] for camera in agent.cameras},
    }
    return agent.observation({name: np.array(array[t : t + 1]) for name, array in rows.items()})


def run_policy(agent: Agent, observation: Observation, bias: Tensor) -> Tensor:
    """(layers, H, L, L) attention logits of one observation under one PB; acts, too."""
    policy = agent.policy
    assert isinstance(policy, ActPolicy)
    decoded = policy.decode(policy.encode(observation), bias[None])
    policy.actions(decoded)
    return torch.cat(decoded.logits)


@torch.no_grad()
def divergences(agent: Agent, failure: Demo, own: Tensor, others: Tensor) -> np.ndarray:
    """(T, S) D_sym under `own` (L, P) and each of `others` (S, L, P)."""
    found = np.zeros((len(failure), len(others)))
    for t in range(len(failure)):
        observation = observation_at(agent, failure, t)
        mine = run_policy(agent, observation, own)
        for s, other in enumerate(others):
            found[t, s] = symmetric_kl(mine, run_policy(agent, observation, other)).mean()
    return found


@torch.no_grad()
def divergences_of_memory(policy: ActPolicy, memory: Memory, own: Tensor, others: Tensor) -> Tensor:
    """The same (T, S) from the encoder's memory and the decoder alone, in any precision."""
    found = own.new_zeros(len(memory.tokens), len(others))
    for t, tokens in enumerate(memory.tokens):
        seen = Memory(tokens[None], memory.positions)
        mine = torch.cat(policy.decode(seen, own[None]).logits)
        for s, other in enumerate(others):
            theirs = torch.cat(policy.decode(seen, other[None]).logits)
            found[t, s] = symmetric_kl(mine, theirs).mean()
    return found
