"""Rolling a trained run out as an experiment is evaluated: task, initial states, controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from outtakes.evaluation.controller import ControllerConfig
from outtakes.evaluation.rolling_out import Decide, roll_out
from outtakes.evaluation.rollouts import Rollout
from outtakes.policy.checkpoint import Checkpoint
from outtakes.sim.environment import make_environment
from outtakes.sim.initial_states import InitialStates

PARALLEL_ENVIRONMENTS = 25
"""Environments stepped together in one process; outcomes do not depend on it."""


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
            config=replace(evaluation.controller, steering=steering),
            image_size=evaluation.image_size,
            drawn_from=str(evaluation.states),
            decide=None if watched_by is None else watched_by(steering),
        )
    ]
