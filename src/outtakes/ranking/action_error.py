"""Ranking failures by how badly a policy that knows only successes predicts their actions.

What such a policy would have done, too, is nearly a success; what surprises it is either a mistake
or something no success shows.
"""

from __future__ import annotations

import numpy as np
import torch

from outtakes.data.demo import Demo, DemoSet, Outcome
from outtakes.data.normalize import Moments
from outtakes.policy.agent import Agent
from outtakes.policy.checkpoint import Checkpoint
from outtakes.progress import Progress
from outtakes.ranking.measure import Measure, Needs
from outtakes.ranking.ranker import (
    RunRanker,
    RunScores,
    check_same_data,
    check_saw_successes_alone,
)

_FRAMES_AT_ONCE = 64


class ActionErrorRanker(RunRanker):
    """Mean absolute error of the chunks that a successes-only policy predicts along a failure."""

    measure = Measure(
        key="action-error",
        name="action error",
        symbol="ē",
        unit="σ",
        meaning="How far a policy that was trained on the successes alone is from the actions of "
        "one failure: the mean absolute error of the action chunks it predicts at every frame, in "
        "standard deviations of the successes' actions (σ), averaged over training seeds; of a "
        "policy that samples chunks, the root mean square error of the velocities it does so by. "
        "Small means that it would have done much the same.",
        needs=Needs.SUCCESSES,
        over_time="error of the chunk predicted at each frame",
    )

    def score(
        self,
        run: Checkpoint,
        demos: DemoSet,
        *,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> RunScores:
        """Score every failure of the dataset; the run must have seen none of them."""
        check_same_data(run, demos)
        check_saw_successes_alone(run)
        scale = action_scale(demos.subset(run.episodes))
        agent, failures = run.agent(device), demos.episodes(Outcome.FAILURE)
        values, over_time = [], []
        for done, demo in enumerate(demos.subset(failures)):
            errors = errors_along(agent, demo, scale)
            values.append(float(errors.mean()))
            over_time.append(errors.mean(axis=1).filled(np.nan))
            if progress:
                progress(done + 1, len(failures), "rank")
        return RunScores(
            seed=run.seed,
            failures=tuple(failures),
            successes=run.episodes,
            values=np.array(values),
            over_time=over_time,
        )


def action_scale(demos: DemoSet) -> np.ndarray:
    """(A,) what one unit of error is in each action dimension: its standard deviation.

    With the same floor as in training, so that a constant action dimension counts for nothing.
    """
    return Moments.of(demos.action[demos.rows()]).deviation.numpy()


def errors_along(
    agent: Agent, demo: Demo, scale: np.ndarray, steering: str = ""
) -> np.ma.MaskedArray:
    """(T, L) error of every step of the chunks along a demonstration, averaged over action
    dimensions; steps past its end are masked. What an error is, the policy says (`Policy.errors`).

    Steered, if at all, by what its first observation would be steered by at run time.

    Args:
        agent: the trained policy.
        demo: a demonstration.
        scale: (A,) what one unit of error is in each action dimension.
        steering: of the policy; its default when "".
    """
    steps = np.arange(len(demo))[:, None] + np.arange(agent.chunk)
    target = demo.action[np.minimum(steps, len(demo) - 1)]
    error = (_errors_along(agent, demo, target, steering) / scale).mean(axis=2)
    return np.ma.masked_array(error, mask=steps >= len(demo))


def _errors_along(agent: Agent, demo: Demo, target: np.ndarray, steering: str) -> np.ndarray:
    """(T, L, A) how far off the policy is the chunk from every frame on."""
    seen, errors = demo.observations(agent.cameras), []
    for start in range(0, len(demo), _FRAMES_AT_ONCE):
        raw = {n: np.array(array[start : start + _FRAMES_AT_ONCE]) for n, array in seen.items()}
        frames = len(raw["observation.state"])
        first = {n: np.repeat(np.array(array[:1]), frames, axis=0) for n, array in seen.items()}
        own = target[start : start + _FRAMES_AT_ONCE]
        errors.append(agent.errors(raw, own, agent.begin(first, steering)))
    return np.concatenate(errors)
