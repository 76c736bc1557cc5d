"""Rolling a trained run out as an experiment is evaluated: task, initial states, controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from outtakes.errors import ConfigError
from outtakes.evaluation.controller import ControllerConfig
from outtakes.evaluation.rolling_out import Decide, roll_out
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.evaluation.sequential import Evidence, evidence
from outtakes.policy.checkpoint import Checkpoint
from outtakes.progress import Progress
from outtakes.sim.environment import make_environment
from outtakes.sim.initial_states import InitialStates

PARALLEL_ENVIRONMENTS = 25
"""Environments stepped together in one process; outcomes do not depend on it."""
_BETWEEN_LOOKS = 5
"""Initial states that both arms are rolled out from before the evidence is looked at again."""


@dataclass(frozen=True)
class Evaluation:
    """Where and how trained policies are rolled out: the same for every arm."""

    task: str
    """Name of the simulated task."""
    states: InitialStates
    rollouts: int
    """Initial states, from the first."""
    horizon: int | None
    """Control steps after which a rollout counts as failed; the task's own when None."""
    controller: ControllerConfig
    image_size: int
    """Pixels on a side of the square images the policy is given."""

    def as_json(self) -> dict[str, object]:
        """What decides the outcomes, but for the steering."""
        controller = asdict(self.controller)
        del controller["steering"]
        return {
            "environment": self.task,
            "rollouts": self.rollouts,
            "drawn_from": str(self.states),
            "horizon": self.horizon,
            "controller": controller,
        }


def evaluate(
    checkpoint: Checkpoint,
    evaluation: Evaluation,
    *,
    arm: str,
    steerings: Sequence[str],
    device: str,
    watched_by: Callable[[str], Decide] | None = None,
) -> list[Rollout]:
    """Roll one trained policy out from the initial states, once for each steering.

    Args:
        checkpoint: the policy.
        evaluation: task, initial states and controller; its own steering is not looked at.
        arm: name for the log.
        steerings: see `Arm.steerings`.
        device: where to compute actions.
        watched_by: steering -> what is told every query of the policy under it.
    """
    environments = [
        make_environment(evaluation.task, horizon=evaluation.horizon)
        for _ in range(min(PARALLEL_ENVIRONMENTS, evaluation.rollouts))
    ]
    states = evaluation.states.first(environments[0], evaluation.rollouts)
    agent = checkpoint.agent(device)
    return [
        rollout
        for steering in steerings
        for rollout in roll_out(
            agent,
            environments,
            states,
            arm=arm,
            seed=checkpoint.seed,
            config=controller_of(evaluation, checkpoint, steering),
            image_size=evaluation.image_size,
            drawn_from=str(evaluation.states),
            decide=None if watched_by is None else watched_by(steering),
        )
    ]


def controller_of(evaluation: Evaluation, run: Checkpoint, steering: str) -> ControllerConfig:
    """The controller under a steering; it asks again at the latest when a chunk is at its end."""
    replan = min(evaluation.controller.replan, run.config.chunk)
    return replace(evaluation.controller, steering=steering, replan=replan)


def evaluate_until_clear(
    runs: Sequence[tuple[str, Checkpoint]],
    evaluation: Evaluation,
    *,
    margin: float,
    device: str,
    progress: Progress | None = None,
) -> tuple[RolloutLog, Evidence]:
    """Roll two arms out, some initial states at a time, until it is clear which is better.

    Several runs of an arm count as one policy that is each of them equally often.

    Args:
        runs: arm and checkpoint of each; the first arm is the baseline.
        evaluation: task, controller, and the most initial states there will be.
        margin: a difference that is surely smaller counts as none.
        device: where to compute actions.
        progress: told of every block of initial states.

    Raises:
        ConfigError: when there are not two arms, or no rollout.
    """
    arms = list(dict.fromkeys(arm for arm, _ in runs))
    if len(arms) != 2:
        raise ConfigError(
            f"{len(arms)} arms to compare until clear",
            remedy="give runs of two arms, .../<arm>/seed-<n>, the baseline first",
        )
    environments = [
        make_environment(evaluation.task, horizon=evaluation.horizon)
        for _ in range(min(_BETWEEN_LOOKS, evaluation.rollouts))
    ]
    states = evaluation.states.first(environments[0], evaluation.rollouts)
    agents = [(arm, run, run.agent(device)) for arm, run in runs]
    rollouts: list[Rollout] = []
    done = 0
    while True:
        block = range(done, min(done + _BETWEEN_LOOKS, evaluation.rollouts))
        done = block.stop
        for arm, run, agent in agents:
            steering = run.config.steering(evaluation.controller.steering)
            rollouts += roll_out(
                agent,
                environments,
                states,
                arm=arm,
                seed=run.seed,
                config=controller_of(evaluation, run, steering),
                indices=block,
                image_size=evaluation.image_size,
                drawn_from=str(evaluation.states),
            )
        found = evidence(_rounds(rollouts, arms))
        if progress:
            progress(done, evaluation.rollouts, "evaluate until clear")
        if found.clear(margin) or done == evaluation.rollouts:
            return RolloutLog(rollouts), found


def _rounds(rollouts: Sequence[Rollout], arms: Sequence[str]) -> np.ndarray:
    """(states,) success rate of the second arm minus that of the first from each initial state."""
    states = max(r.initial_state for r in rollouts) + 1
    successes, counts = np.zeros((2, states)), np.zeros((2, states))
    for r in rollouts:
        place = arms.index(r.arm), r.initial_state
        successes[place] += r.success
        counts[place] += 1
    baseline, arm = successes / counts
    return arm - baseline
