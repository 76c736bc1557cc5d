"""Ranking failures by the distance of their attention to that of the successes (Eq. 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from outtakes.data.demo import Demo, DemoSet
from outtakes.errors import ArtifactError, CheckpointError, DatasetError
from outtakes.policy.footprint import Budget
from outtakes.selection.discrepancy import Discrepancy
from outtakes.selection.pairs import Pairs, check_count
from outtakes.selection.scores import FailureScore, Scores
from outtakes.training.checkpoint import Checkpoint

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
    k: np.ndarray
    """(F,) float64 nats: K(f), Eq. 5; an unbiased estimate when pairs were sampled."""
    standard_errors: np.ndarray | None
    """(F,) float64 nats: of `k` over other samples of pairs; None when every pair was compared."""
    distances: np.ndarray
    """(F, S) float32 nats: the summand of Eq. 5, D_sym averaged over time; NaN for a success that
    a sample never compared."""
    over_time: Sequence[np.ndarray]
    """For each failure (T,) float64 nats: D_sym averaged over successes; NaN at a time step that a
    sample left out."""
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
    pairs: int | None = None,
    sample_seed: int = 0,
    budget: Budget | None = None,
) -> SeedScores:
    """Score every failure a run was trained on.

    Args:
        checkpoint: of a policy with PB, trained on successes and failures.
        demos: the dataset it was trained on.
        device: where to compute.
        progress: told how far it is.
        pairs: (time step, success) pairs to compare for each failure, drawn at random; every pair
            when None, or when there are no more.
        sample_seed: of that draw, which also depends on the training seed and the episode.
        budget: bytes to compute in; what suits the device when None.

    Raises:
        CheckpointError: when the run has no PB or was trained on other data.
        ConfigError: when so few pairs are asked for that their spread cannot be seen.
        DatasetError: when there is no success or no failure.
    """
    _check(checkpoint, demos)
    if pairs is not None:
        check_count(pairs)
    agent = checkpoint.agent(device)
    assert agent.policy.bias is not None
    table = agent.policy.bias.table.detach()
    successes = [row for row, success in enumerate(checkpoint.successes) if success]
    failures = _failures(checkpoint, demos)
    discrepancy = Discrepancy(agent, table[successes], budget or Budget.of(agent.device))
    k, errors, over_time = [], [], []
    distances = np.empty((len(failures), len(successes)), dtype=np.float32)
    for done, (row, failure) in enumerate(failures.items()):
        seeds = (sample_seed, checkpoint.seed, failure.episode_index)
        drawn = _draw(pairs, len(failure), len(successes), seeds)
        divergences = discrepancy.of(failure, table[row], drawn)
        k.append(drawn.total(divergences))
        errors.append(drawn.standard_error(divergences))
        over_time.append(drawn.over_time(divergences))
        distances[done] = drawn.by_success(divergences)
        if progress:
            progress(done + 1, len(failures))
    return SeedScores(
        seed=checkpoint.seed,
        failures=tuple(failure.episode_index for failure in failures.values()),
        successes=tuple(checkpoint.episodes[row] for row in successes),
        k=np.array(k),
        standard_errors=None if pairs is None else np.array(errors),
        distances=distances,
        over_time=over_time,
        biases=table.flatten(1).cpu().numpy(),
        episodes=checkpoint.episodes,
    )


def _failures(checkpoint: Checkpoint, demos: DemoSet) -> dict[int, Demo]:
    """Row of the PB table -> failure, in dataset order; a view, as frames may not fit in memory."""
    place = {int(episode): i for i, episode in enumerate(demos.episode_indices)}
    rows = [row for row, success in enumerate(checkpoint.successes) if not success]
    return {
        row: demos[place[checkpoint.episodes[row]]]
        for row in sorted(rows, key=lambda row: checkpoint.episodes[row])
    }


def _draw(pairs: int | None, steps: int, n_successes: int, seeds: Sequence[int]) -> Pairs:
    if pairs is None:
        return Pairs.every(steps, n_successes)
    return Pairs.draw(pairs, steps, n_successes, np.random.default_rng(seeds))


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
    missing = set(checkpoint.episodes) - set(demos.episode_indices.tolist())
    if missing:
        raise DatasetError(
            f"episode {min(missing)} is not in the dataset",
            where=demos.name,
            remedy="give the whole dataset of the run",
        )
    for outcome, present in (("success", True), ("failure", False)):
        if present not in checkpoint.successes:
            raise DatasetError(
                f"no {outcome} among the {len(checkpoint.successes)} training episodes",
                where=checkpoint.dataset,
                remedy="ranking compares failures with successes; train on both",
            )


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
    successes = set(first.successes)
    points = principal_components(first.biases)
    return Scores(
        dataset=dataset,
        content_hash=content_hash,
        n_successes=len(first.successes),
        failures=[_failure_score(runs, i) for i in range(len(first.failures))],
        kendall_tau=kendall_tau(np.stack([run.k for run in runs])) if len(runs) > 1 else None,
        bias_map=[
            (episode, episode in successes, float(x), float(y))
            for episode, (x, y) in zip(first.episodes, points, strict=True)
        ],
    )


def _failure_score(runs: Sequence[SeedScores], i: int) -> FailureScore:
    """Failure i averaged over runs; row by row, so that no second (F, S) array is made."""
    distances = _mean_of_known([run.distances[i] for run in runs])
    nearest = int(np.where(np.isnan(distances), np.inf, distances).argmin())
    over_time = _between_known(_mean_of_known([run.over_time[i] for run in runs]))
    errors = [run.standard_errors[i] for run in runs if run.standard_errors is not None]
    return FailureScore(
        episode=runs[0].failures[i],
        per_seed={run.seed: float(run.k[i]) for run in runs},
        over_time=[float(k) for k in over_time],
        nearest_success=runs[0].successes[nearest],
        # Every seed drew a sample of its own, so their errors are independent.
        standard_error=float(np.linalg.norm(errors)) / len(runs) if errors else None,
    )


def _mean_of_known(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over rows of what is not NaN; NaN where nothing is known."""
    stacked = np.stack(rows).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.nansum(stacked, axis=0) / np.isfinite(stacked).sum(axis=0)


def _between_known(values: np.ndarray) -> np.ndarray:
    """The values, with what is unknown interpolated linearly, or as the nearest at the ends."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return values
    return np.interp(np.arange(len(values)), known, values[known])


def kendall_tau(rankings: np.ndarray) -> float:
    """Mean Kendall τ-a over all pairs of rows of an (n, items) array, in [-1, 1]."""
    n, items = rankings.shape
    if items < 2:
        return 1.0
    concordance = np.zeros((n, n))
    for i in range(items - 1):  # all pairs of items at once would be a gigabyte for thousands
        order = np.sign(rankings[:, i, None] - rankings[:, i + 1 :])
        concordance += order @ order.T
    return float(concordance[np.triu_indices(n, k=1)].mean() * 2 / (items * (items - 1)))


def principal_components(rows: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, 2): coordinates on the first two principal components."""
    centred = rows.astype(np.float64) - rows.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    coordinates = np.zeros((len(rows), 2))
    count = min(2, len(singular))
    coordinates[:, :count] = left[:, :count] * singular[:count]
    return coordinates
