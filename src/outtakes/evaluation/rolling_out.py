"""Rolling policies out in simulation, every arm from the same initial states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from outtakes.data.demo import TASK
from outtakes.evaluation.controller import ROWS, ChunkController, ControllerConfig
from outtakes.evaluation.rollouts import Rollout
from outtakes.policy.agent import Agent
from outtakes.policy.decision import Decision
from outtakes.sim.environment import Environment

Watch = Callable[[int, int, Environment], None]
"""Called with (initial state, step, environment) before every step, for recording."""
Decide = Callable[[Decision], None]
"""Called with every query of the policy, once it is answered; its episodes are initial states."""


def roll_out(
    agent: Agent,
    environments: Sequence[Environment],
    states: np.ndarray,
    *,
    arm: str,
    seed: int,
    config: ControllerConfig,
    indices: Sequence[int] | None = None,
    image_size: int = 224,
    drawn_from: str = "",
    watch: Watch | None = None,
    decide: Decide | None = None,
) -> list[Rollout]:
    """Roll one policy out once from each initial state.

    The outcome from a state depends on the policy and the state alone, whatever the number of
    environments and whatever other states are run.

    Args:
        agent: the trained policy.
        environments: at least one; as many as there are run side by side.
        states: (n, ...) the shared list of initial states.
        arm: name of the arm, for the log.
        seed: training seed of the policy, for the log.
        config: how chunks become actions.
        indices: run only these initial states.
        image_size: height and width of the images the policy is given; those of frozen eyes are
            of the size they were trained with.
        drawn_from: stream and seed of the initial states, for the log.
        watch: called before every step of every environment.
        decide: called at every query of the policy.
    """
    image_size = agent.image_size or image_size
    todo = np.arange(len(states)) if indices is None else np.asarray(indices)
    rollouts: list[Rollout] = []
    for block in _blocks(todo, min(len(environments), ROWS)):
        team = environments[: len(block)]
        rollouts += _roll_block(
            agent, team, states, block, arm, seed, config, image_size, watch, decide
        )
    return [replace(rollout, drawn_from=drawn_from) for rollout in rollouts]


def _blocks(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """Groups of at most `size` states that share no inference row."""
    groups = []
    for block in np.unique(indices // ROWS):
        members = indices[indices // ROWS == block]
        groups += [members[first : first + size] for first in range(0, len(members), size)]
    return groups


def _roll_block(
    agent: Agent,
    environments: Sequence[Environment],
    states: np.ndarray,
    block: np.ndarray,
    arm: str,
    seed: int,
    config: ControllerConfig,
    image_size: int,
    watch: Watch | None,
    decide: Decide | None,
) -> list[Rollout]:
    # Rows are drawn together: each row's noise is a function of (seed, initial state, step).
    noise = (seed, int(block[0]) // ROWS)
    controller = ChunkController(agent, config, block % ROWS, noise)
    for environment, index in zip(environments, block, strict=True):
        environment.reset(states[index])
    horizon = environments[0].horizon
    solved_after = np.full(len(block), horizon + 1)
    raw: dict[str, np.ndarray] | None = None
    for step in range(horizon):
        running = np.flatnonzero(solved_after > horizon)
        if not len(running):
            break
        if controller.needs_observation(step):
            raw = _observe(environments, running, raw, agent.cameras, image_size)
            actions = controller.act(step, raw)
            if decide:
                decide(controller.decision(step, raw, block, solved_after > horizon))
        else:
            actions = controller.act(step, None)
        for i in running:
            if watch:
                watch(int(block[i]), step, environments[i])
            if environments[i].step(actions[i]):
                solved_after[i] = step + 1
    retrieved = controller.retrieved_episodes()
    return [
        Rollout(
            arm=arm,
            steering=config.steering,
            seed=seed,
            initial_state=int(index),
            success=bool(after <= horizon),
            steps=int(min(after, horizon)),
            retrieved_episode=int(episode),
        )
        for index, after, episode in zip(block, solved_after, retrieved, strict=True)
    ]


def _observe(
    environments: Sequence[Environment],
    running: np.ndarray,
    last: dict[str, np.ndarray] | None,
    cameras: Sequence[str],
    image_size: int,
) -> dict[str, np.ndarray]:
    """Observations of every environment; those that are done keep their last one."""
    rows = range(len(environments)) if last is None else running
    fresh = {i: observe(environments[i], cameras, image_size) for i in rows}
    if last is None:
        return {name: np.stack([fresh[i][name] for i in rows]) for name in fresh[0]}
    updated = {name: array.copy() for name, array in last.items()}
    for i, observation in fresh.items():
        for name, value in observation.items():
            updated[name][i] = value
    return updated


def observe(
    environment: Environment, cameras: Sequence[str], image_size: int
) -> dict[str, np.ndarray]:
    """What a policy is given: the low-dimensional observation, an image of each camera, and what it
    is asked to do."""
    images = {
        f"observation.images.{camera}": environment.render(camera, image_size, image_size)
        for camera in cameras
    }
    return {**environment.observe(), **images, TASK: np.array(environment.task)}
