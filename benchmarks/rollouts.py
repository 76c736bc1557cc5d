"""Rollouts beside robosuite's own loop, which renders two cameras at every control step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Row, Side, compare
from outtakes.data.demo import DemoSet
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.evaluation.controller import ROWS, ChunkController
from outtakes.evaluation.rolling_out import roll_out
from outtakes.evaluation.rollouts import Rollout
from outtakes.experiments.datasets import record
from outtakes.experiments.recipes import QUICK, Recipe
from outtakes.policy.agent import Agent
from outtakes.sim.initial_states import InitialStates, Stream
from outtakes.sim.robosuite.lift import Lift, build_robosuite_lift
from outtakes.training.trainer import train

RECIPE: Recipe = replace(QUICK, collect=replace(QUICK.collect, seed=9001))
"""The quick recipe on demonstrations of a seed that nothing else uses."""


def demonstrations(folder: Path) -> DemoSet:
    """The recipe's demonstrations of Lift, collected once."""
    root = folder / "dataset"
    if not root.exists():
        record(RECIPE.collect, root)
    return read_dataset(root, Reading(image_size=RECIPE.image_size), cache_dir=folder / "cache")


def trained_agent(folder: Path, demos: DemoSet) -> Agent:
    """ACT of the quick recipe, trained once on the successes."""
    checkpoint = train(
        demos.subset([int(e) for e in demos.episode_indices[demos.successes]]),
        folder / "run",
        policy=replace(RECIPE.policy, condition="none"),
        config=RECIPE.train,
        seed=0,
    )
    return checkpoint.agent("cpu")


class RobosuiteLoop:
    """A policy in robosuite's own environment, one rollout at a time.

    Args:
        agent: the policy; asked every `replan` steps, like ours.
        states: initial states.
        image_size: pixels on a side of what both cameras render at every step; None for none.
    """

    def __init__(self, agent: Agent, states: np.ndarray, image_size: int | None) -> None:
        self.agent, self.states = agent, states
        self.environment = build_robosuite_lift(image_size)
        self.eyes = Lift(RECIPE.horizon)
        self.outcomes: dict[int, tuple[bool, int]] = {}
        """Initial state -> success and steps."""

    def roll(self, index: int) -> int:
        """Roll out from one initial state; the control steps it took."""
        controller = ChunkController(self.agent, RECIPE.controller, np.array([index % ROWS]))
        self._reset(self.states[index])
        steps, solved = 0, False
        while steps < self.eyes.horizon and not solved:
            raw = self._observe() if controller.needs_observation(steps) else None
            self.environment.step(controller.act(steps, raw)[0])
            steps, solved = steps + 1, bool(self.environment._check_success())
        self.outcomes[index] = (solved, steps)
        return steps

    def _reset(self, state: np.ndarray) -> None:
        self.environment.reset()
        data = self._data()
        data.qpos[:], data.qvel[:], data.qacc_warmstart[:] = state, 0.0, 0.0
        self.environment.robots[0].part_controllers["right"].update_initial_joints(state[:7])

    def _data(self) -> Any:
        """robosuite's view of the simulator's state, which it types for nobody."""
        assert self.environment.sim is not None
        return self.environment.sim.data

    def _observe(self) -> dict[str, np.ndarray]:
        self.eyes.reset(np.array(self._data().qpos))
        return {name: value[None] for name, value in self.eyes.observe().items()}


def evaluation(folder: Path, image_size: int | None, repeats: int = 5, each: int = 3) -> Row:
    """100 rollouts of ours beside a few of robosuite's, per control step.

    Args:
        folder: where demonstrations and the policy are kept.
        image_size: of robosuite's two cameras; None for its loop without cameras.
        repeats: pairs of timings.
        each: rollouts of robosuite's loop a timing, from initial states of their own.
    """
    agent = trained_agent(folder, demonstrations(folder))
    environments = [Lift(RECIPE.horizon) for _ in range(ROWS)]
    states = InitialStates(Stream.TUNE, 9001).first(environments[0], RECIPE.rollouts)
    loop = RobosuiteLoop(agent, states, image_size)
    todo = iter(range(len(states)))

    def ours() -> list[Rollout]:
        return roll_out(agent, environments, states, arm="act", seed=0, config=RECIPE.controller)

    def peer() -> int:
        return sum(loop.roll(next(todo)) for _ in range(each))

    rollouts, loop_steps = ours(), []
    steps = sum(rollout.steps for rollout in rollouts)

    def peer_counted() -> None:
        loop_steps.append(peer())

    cameras = "two cameras of 224²" if image_size else "no camera"
    row = compare(
        f"an evaluation of {len(states)} rollouts, state policy, beside {cameras}",
        Side("Outtakes, one process", ours),
        Side(f"robosuite's own loop, {cameras} at every step", peer_counted),
        unit="control step",
        target="at least 8 times" if image_size else "none named",
        repeats=repeats,
    )
    same = [
        (rollouts[i].success, rollouts[i].steps) == outcome for i, outcome in loop.outcomes.items()
    ]
    return replace(
        row,
        ours_s=[seconds / steps for seconds in row.ours_s],
        peer_s=[s / n for s, n in zip(row.peer_s, loop_steps[1:], strict=True)],
        facts={
            "control steps of 100 rollouts, ours": steps,
            "success rate, ours": float(np.mean([rollout.success for rollout in rollouts])),
            "rollouts compared": len(same),
            "of them with identical outcome and length": sum(same),
        },
    )
