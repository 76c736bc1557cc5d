"""Ranking failures by the distance of their attention to that of the successes (Eq. 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from outtakes.data.demo import Demo, DemoSet
from outtakes.errors import ArtifactError, CheckpointError, DatasetError
from outtakes.policy.act import ActPolicy, Memory
from outtakes.policy.agent import Agent
from outtakes.policy.divergence import symmetric_kl
from outtakes.selection.scores import FailureScore, Scores
from outtakes.shapes import Float
from outtakes.training.checkpoint import Checkpoint

_DECODED_AT_ONCE = 1024
"""Decoder samples in memory at a time; changes speed and memory, never the result."""

Progress = Callable[[int, int], None]
"""Called with (failures scored, failures in all)."""


@dataclass(frozen=True)
class SeedScores:
    """What one trained run says about every failure."""

    seed: int
    failures: tuple[int, ...]
    """Episode index of each failure."""
    successes: tuple[int, ...]
    """Episode index of each success."""
    distances: np.ndarray
    """(F, S) float64 nats: the summand of Eq. 5, D_sym averaged over time."""
    over_time: Sequence[np.ndarray]
    """For each failure (T,) float64 nats: D_sym averaged over successes."""
    biases: np.ndarray
    """(N, L · P) float32: the PB table, in the order of `episodes`."""
    episodes: tuple[int, ...]
    """Episode index of every row of the table."""


def score_run(
    checkpoint: Checkpoint,
    demos: DemoSet,
    *,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> SeedScores:
    """Score every failure a run was trained on.

    Args:
        checkpoint: of a policy with PB, trained on successes and failures.
        demos: the dataset it was trained on.
        device: where to compute.
        progress: told how far it is.

    Raises:
        CheckpointError: when the run has no PB or was trained on other data.
        DatasetError: when there is no success or no failure.
    """
    _check(checkpoint, demos)
    agent = checkpoint.agent(device)
    bias = agent.policy.bias
    assert bias is not None
    row = {episode: i for i, episode in enumerate(checkpoint.episodes)}
    members = demos.subset(checkpoint.episodes)
    failures = [demo for demo in members if not checkpoint.successes[row[demo.episode_index]]]
    successes = [e for e, s in zip(checkpoint.episodes, checkpoint.successes, strict=True) if s]
    success_biases = bias.table[[row[e] for e in successes]]
    divergences = []
    for done, failure in enumerate(failures):
        own = bias.table[row[failure.episode_index]]
        divergences.append(_divergences(agent, failure, own, success_biases).cpu().double().numpy())
        if progress:
            progress(done + 1, len(failures))
    return SeedScores(
        seed=checkpoint.seed,
        failures=tuple(demo.episode_index for demo in failures),
        successes=tuple(successes),
        distances=np.stack([d.mean(axis=0) for d in divergences]),
        over_time=[d.mean(axis=1) for d in divergences],
        biases=bias.table.detach().flatten(1).cpu().numpy(),
        episodes=checkpoint.episodes,
    )


def _check(checkpoint: Checkpoint, demos: DemoSet) -> None:
    if checkpoint.act.condition != "pb":
        raise CheckpointError(
            f"seed {checkpoint.seed} was trained without parametric bias",
            where=checkpoint.dataset,
            remedy="rank runs trained with --policy act-pb",
        )
    if checkpoint.content_hash != demos.content_hash:
        raise CheckpointError(
            f"seed {checkpoint.seed} was trained on other data ({checkpoint.dataset})",
            where=demos.name,
            remedy="give the dataset, the labels and the flags that the runs were trained with, "
            "--recipe included",
        )
    for outcome, present in (("success", True), ("failure", False)):
        if present not in checkpoint.successes:
            raise DatasetError(
                f"no {outcome} among the {len(checkpoint.successes)} training episodes",
                where=checkpoint.dataset,
                remedy="ranking compares failures with successes; train on both",
            )


@torch.no_grad()
def _divergences(agent: Agent, failure: Demo, own: Tensor, others: Tensor) -> Float[Tensor, "T S"]:
    """D_sym(A(o_t; own), A(o_t; other)) of every time step t and every other PB, in nats."""
    memory = _encode(agent, failure)
    steps = len(memory.tokens)
    own_logits = _attention(agent.policy, memory, own.expand(steps, -1, -1))
    at_once = max(1, _DECODED_AT_ONCE // steps)
    columns = []
    for group in others.split(at_once):
        biases = group.repeat_interleave(steps, dim=0)
        logits = _attention(agent.policy, memory.repeated(len(group)), biases)
        mean = torch.stack(
            [
                symmetric_kl(mine.repeat(len(group), 1, 1, 1), theirs).mean(dim=(1, 2))
                for mine, theirs in zip(own_logits, logits, strict=True)
            ]
        ).mean(dim=0)
        columns.append(mean.view(len(group), steps))
    return torch.cat(columns).transpose(0, 1)


def _attention(policy: ActPolicy, memory: Memory, bias: Tensor) -> tuple[Tensor, ...]:
    return policy.decode(memory, bias).logits


def _encode(agent: Agent, demo: Demo) -> Memory:
    """The encoder's memory of every time step, computed once whatever the PB."""
    raw = {
        "observation.state": demo.state,
        "observation.environment_state": demo.environment_state,
        **{f"observation.images.{camera}": demo.images[camera] for camera in agent.cameras},
    }
    parts = []
    for first in range(0, len(demo), _DECODED_AT_ONCE):
        part = slice(first, first + _DECODED_AT_ONCE)
        rows = {name: np.array(array[part]) for name, array in raw.items()}
        parts.append(agent.policy.encode(agent.observation(rows)))
    return Memory(torch.cat([part.tokens for part in parts]), parts[0].positions)


def combine(runs: Sequence[SeedScores], dataset: str, content_hash: str) -> Scores:
    """Average over training seeds: K̄(f) and the agreement between seeds.

    Raises:
        ArtifactError: when runs scored different episodes, or one seed appears twice.
    """
    first = runs[0]
    if any((r.failures, r.successes) != (first.failures, first.successes) for r in runs):
        raise ArtifactError(
            "the runs scored different episodes", where=dataset, remedy="rank runs of one dataset"
        )
    if len({run.seed for run in runs}) != len(runs):
        raise ArtifactError(
            "one seed appears twice", where=dataset, remedy="rank runs of different seeds"
        )
    nearest = np.mean([run.distances for run in runs], axis=0).argmin(axis=1)
    failures = [
        FailureScore(
            episode=episode,
            per_seed={run.seed: float(run.distances[i].sum()) for run in runs},
            over_time=[float(k) for k in np.mean([run.over_time[i] for run in runs], axis=0)],
            nearest_success=first.successes[int(nearest[i])],
        )
        for i, episode in enumerate(first.failures)
    ]
    rankings = np.stack([run.distances.sum(axis=1) for run in runs])
    points = principal_components(first.biases)
    return Scores(
        dataset=dataset,
        content_hash=content_hash,
        n_successes=len(first.successes),
        failures=failures,
        kendall_tau=kendall_tau(rankings) if len(runs) > 1 else None,
        bias_map=[
            (episode, episode in first.successes, float(x), float(y))
            for episode, (x, y) in zip(first.episodes, points, strict=True)
        ],
    )


def kendall_tau(rankings: np.ndarray) -> float:
    """Mean Kendall τ-a over all pairs of rows of an (n, items) array, in [-1, 1]."""
    items = rankings.shape[1]
    if items < 2:
        return 1.0
    upper = np.triu_indices(items, k=1)
    order = np.sign(rankings[:, upper[0]] - rankings[:, upper[1]])
    return float(np.mean([np.mean(a * b) for a, b in combinations(order, 2)]))


def principal_components(rows: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, 2): coordinates on the first two principal components."""
    centred = rows.astype(np.float64) - rows.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    coordinates = np.zeros((len(rows), 2))
    count = min(2, len(singular))
    coordinates[:, :count] = left[:, :count] * singular[:count]
    return coordinates
