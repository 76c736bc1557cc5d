"""Gradient influence: whether a step on a failure is a step for the successes.

TracIn (Pruthi, Liu, Sundararajan and Kale 2020, NeurIPS) at the last checkpoint: to first order, a
gradient step on the failure f lowers the loss on the held-out successes H by the learning rate
times ⟨∇L(f), ∇L(H)⟩.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from outtakes.data.batches import DeviceDemos, Samples
from outtakes.data.demo import DemoSet
from outtakes.errors import CheckpointError
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.policy import Policy
from outtakes.progress import Progress
from outtakes.ranking.measure import End, Measure, Needs
from outtakes.ranking.ranker import (
    RunRanker,
    RunScores,
    apart,
    check_same_data,
    check_saw_successes_alone,
)
from outtakes.shapes import Float


class InfluenceRanker(RunRanker):
    """Alignment of a failure's gradient with that of the successes that a run has not seen.

    i(f) = ⟨∇L(f), ∇L(H)⟩ / ‖∇L(H)‖, L the policy's own loss over frames spread evenly over a
    demonstration, without dropout, and H every success that is held out.

    Args:
        frames: of each demonstration.
    """

    measure = Measure(
        key="influence",
        name="influence on held-out successes",
        symbol="i",
        unit="of loss a step",
        meaning="Whether a training step on one failure would also lower the error on successes "
        "that the policy has not seen: its gradient, measured along theirs. Large means that it "
        "teaches what they would, below 0 that it teaches the opposite.",
        needs=Needs.HELD_OUT,
        useful=End.HIGH,
    )

    def __init__(self, frames: int = 32) -> None:
        self.frames = frames

    def score(
        self,
        run: Checkpoint,
        demos: DemoSet,
        *,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> RunScores:
        """Score every failure of the dataset; the run must have seen some of the successes alone.

        Raises:
            CheckpointError: when the run is of other data, saw a failure or every success, or
                keeps something for each demonstration, as a parametric bias does.
            DatasetError: when there is no success or no failure.
        """
        check_same_data(run, demos)
        check_saw_successes_alone(run)
        successes, failures = apart(demos)
        unseen = np.flatnonzero(demos.successes & ~np.isin(demos.episode_indices, run.episodes))
        if not len(unseen):
            raise CheckpointError(
                f"seed {run.seed} has seen every success",
                where=run.dataset,
                remedy="hold some out: train with --select on a part of the successes",
            )
        gradient = _Gradient(_policy(run, device), run, demos, self.frames)
        direction = torch.stack([gradient.of(demo) for demo in unseen.tolist()]).mean(dim=0)
        direction /= direction.norm().clamp(min=torch.finfo(direction.dtype).tiny)
        values = []
        for demo in np.flatnonzero(~demos.successes).tolist():
            values.append(float(gradient.of(demo) @ direction))
            if progress:
                progress(len(values), len(failures), "rank")
        return RunScores(
            seed=run.seed,
            failures=tuple(failures.episode_indices.tolist()),
            successes=tuple(successes.episode_indices.tolist()),
            values=np.array(values),
        )


class _Gradient:
    """Gradients of the loss of single demonstrations."""

    def __init__(self, policy: Policy, run: Checkpoint, demos: DemoSet, frames: int) -> None:
        self.policy, self.seed, self.frames = policy, run.seed, frames
        self.lengths = demos.lengths
        self.data = DeviceDemos(
            demos, run.normalizer(), policy.config.cameras, policy.device, tasks=run.tasks
        )
        self.parameters = [p for p in policy.parameters() if p.requires_grad]

    def of(self, demo: int) -> Float[Tensor, "parameters"]:
        """∇L of the demonstration at this place; what is random in L is the same for all."""
        times = evenly(int(self.lengths[demo]), self.frames)
        own = np.full(len(times), demo)
        batch = self.data.batch(Samples(own, times, own), self.policy.config.chunk)
        noise = torch.Generator(self.policy.device).manual_seed(self.seed)
        loss = self.policy.losses(batch, noise).total
        found = torch.autograd.grad(loss, self.parameters, materialize_grads=True)
        return torch.cat([gradient.flatten() for gradient in found])


def evenly(length: int, count: int) -> np.ndarray:
    """(count,) int64, at most so many of the frames of a demonstration, spread evenly."""
    count = min(count, length)
    return ((np.arange(count) + 0.5) * length / count).astype(np.int64)


def _policy(run: Checkpoint, device: torch.device | str) -> Policy:
    """The policy, without dropout.

    Raises:
        CheckpointError: when it keeps something for each demonstration.
    """
    policy = run.policy(device).eval()
    tables = [name for group in policy.groups() if group.rowwise for name in group.names]
    if tables:
        raise CheckpointError(
            f"seed {run.seed} has learnt something for each demonstration ({tables[0]}), and "
            "nothing for the failures",
            where=run.dataset,
            remedy="rank by runs of --policy act",
        )
    return policy
