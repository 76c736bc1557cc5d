"""Failures that a policy makes itself: found by rolling it out, kept as demonstrations are.

Its initial states are of a stream of their own, so that nothing is learnt from a state that
anything is evaluated from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from outtakes.data.demo import Demo, DemoSet, Outcome
from outtakes.data.lerobot.write import write_dataset
from outtakes.data.recording import Recording
from outtakes.errors import ConfigError
from outtakes.evaluation.controller import ROWS
from outtakes.evaluation.evaluate import Evaluation, controller_of
from outtakes.evaluation.rolling_out import roll_out
from outtakes.experiments.lab import Lab
from outtakes.experiments.run_folders import check_fits
from outtakes.experiments.runs import run_folder
from outtakes.policy.checkpoint import Checkpoint
from outtakes.sim.environment import Environment, make_environment
from outtakes.sim.initial_states import InitialStates, Stream

LONGEST = 1.5
"""Frames that are kept of a failure, in median lengths of a success: what follows is standstill."""
_TRIES = 40
"""Rollouts for each failure that is looked for, at the most."""


class _Taped:
    """An environment that keeps what is seen and done in it; all else is the environment's."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.frames: dict[str, list[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    def reset(self, initial_state: np.ndarray) -> None:
        self.frames = {}
        self._environment.reset(initial_state)

    def step(self, action: np.ndarray) -> bool:
        seen = self._environment.observe()
        solved = self._environment.step(action)
        own = np.asarray(action, np.float32)
        for name, value in {**seen, "action": own, "next.success": solved}.items():
            self.frames.setdefault(name, []).append(value)
        return solved


def write_with_own_failures(
    lab: Lab,
    root: Path,
    demos: DemoSet,
    actors: Mapping[int, Path],
    *,
    steering: str,
    count: int,
    round_number: int,
) -> None:
    """Write a dataset of these demonstrations and so many failures of these policies.

    Args:
        lab: the experiment.
        root: folder of the dataset; made at the end.
        demos: without pictures.
        actors: training seed -> its run; they take turns.
        steering: of the policies.
        count: failures to find.
        round_number: whose initial states are drawn.

    Raises:
        CheckpointError: when a policy does not fit the task.
        ConfigError: when they hardly ever fail.
    """
    median = float(np.median(demos.lengths[demos.successes]))
    found = _failures(lab, list(actors.values()), steering, count, round_number)
    longest = max(round(LONGEST * median), 1)
    task = make_environment(lab.recipe.collect.environment).task
    kept = [_demonstrated(demo, task) for demo in demos]
    kept += [_recording(frames, task, longest) for frames in found]
    write_dataset(root, kept, fps=round(demos.fps))


def _failures(
    lab: Lab, actors: Sequence[Path], steering: str, count: int, round_number: int
) -> list[dict[str, list[Any]]]:
    """The frames of the first so many failures."""
    evaluation = lab.recipe.evaluation
    runs = [Checkpoint.load(actor) for actor in actors]
    for run, actor in zip(runs, actors, strict=True):
        check_fits(run, actor, evaluation.task)
    states = InitialStates(Stream.PRACTISE, lab.recipe.states.seed)
    found: list[dict[str, list[Any]]] = []
    size = min(ROWS, count)
    blocks = -(-_TRIES * count // size)
    for block in range(blocks):
        first = (round_number * blocks + block) * size
        run = runs[block % len(runs)]
        numbers = range(first, first + size)
        found += _failed(run, steering, evaluation, states, numbers, lab.device)
        lab.say(min(len(found), count), count, "find failures of its own")
        if len(found) >= count:
            return found[:count]
    raise ConfigError(
        f"{len(found)} failures in {blocks * size} rollouts of a policy, of {count} wanted",
        remedy="look for fewer, or train it for less",
    )


def _failed(
    run: Checkpoint,
    steering: str,
    evaluation: Evaluation,
    states: InitialStates,
    numbers: Sequence[int],
    device: str,
) -> Iterator[dict[str, list[Any]]]:
    """The frames of each rollout that failed, of one block of environments side by side."""
    tapes = [_Taped(make_environment(evaluation.task, horizon=evaluation.horizon)) for _ in numbers]
    environments = cast(list[Environment], tapes)
    starts = np.stack([states.at(environments[0], number) for number in numbers])
    rollouts = roll_out(
        run.agent(device),
        environments,
        starts,
        arm="own",
        seed=run.seed,
        config=controller_of(evaluation, run, steering),
        drawn_from=str(states),
    )
    for rollout, tape in zip(rollouts, tapes, strict=True):
        if not rollout.success:
            yield tape.frames


def _recording(frames: Mapping[str, list[Any]], task: str, longest: int) -> Recording:
    features = {name: np.array(values[:longest]) for name, values in frames.items()}
    return Recording(features, task=task, metadata={"made_by": "policy"})


def _demonstrated(demo: Demo, task: str) -> Recording:
    """A demonstration as it was recorded, but for its pictures."""
    vectors = {
        "observation.state": demo.state,
        "observation.environment_state": demo.environment_state,
        "action": demo.action,
    }
    ended_well = np.zeros(len(demo), dtype=bool)
    ended_well[-1] = demo.outcome is Outcome.SUCCESS
    features = {name: np.array(v) for name, v in vectors.items() if v.shape[1]}
    return Recording(
        {**features, "next.success": ended_well},
        task=task,
        metadata={"made_by": "demonstrator"},
    )


def runs_of(lab: Lab, arm: str) -> dict[int, Path]:
    """Training seed -> run folder of an arm."""
    return {seed: run_folder(lab.out, arm, seed) for seed in lab.recipe.seeds}
