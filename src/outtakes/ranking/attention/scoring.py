"""The paper's ranking: the distance of a failure's attention to that of the successes (Eq. 5)."""

from __future__ import annotations

import numpy as np
import torch

from outtakes.data.demo import Demo, DemoSet
from outtakes.errors import CheckpointError, DatasetError
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.policy import Policy
from outtakes.progress import Progress
from outtakes.ranking.attention.discrepancy import Discrepancy
from outtakes.ranking.attention.footprint import Budget
from outtakes.ranking.attention.pairs import Pairs, check_count
from outtakes.ranking.measure import ATTENTION
from outtakes.ranking.ranker import Plane, RunRanker, RunScores, check_same_data


class AttentionRanker(RunRanker):
    """K(f) of Eq. 5, exact or from a sample of (time step, success) pairs.

    Args:
        pairs: pairs to compare for each failure, drawn at random; every pair when None, or when
            there are no more.
        sample_seed: of that draw, which also depends on the training seed and the episode.
        budget: bytes to compute in; what suits the device when None.

    Raises:
        ConfigError: when so few pairs are asked for that their spread cannot be seen.
    """

    measure = ATTENTION

    def __init__(
        self, pairs: int | None = None, sample_seed: int = 0, budget: Budget | None = None
    ) -> None:
        if pairs is not None:
            check_count(pairs)
        self.pairs, self.sample_seed, self.budget = pairs, sample_seed, budget

    def score(
        self,
        run: Checkpoint,
        demos: DemoSet,
        *,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> RunScores:
        """Score every failure that a run of ACT with parametric bias was trained on."""
        check_same_data(run, demos)
        _check_outcomes(run)
        agent = run.agent(device)
        policy, table = _with_bias(agent.policy, run)
        successes = [row for row, success in enumerate(run.successes) if success]
        failures = _failures(run, demos)
        budget = self.budget or Budget.of(agent.device)
        discrepancy = Discrepancy(agent, policy, table[successes], budget)
        values, errors, over_time = [], [], []
        distances = np.empty((len(failures), len(successes)), dtype=np.float32)
        for done, (row, failure) in enumerate(failures.items()):
            drawn = self._draw(failure, len(successes), run.seed)
            divergences = discrepancy.of(failure, table[row], drawn)
            values.append(drawn.total(divergences))
            errors.append(drawn.standard_error(divergences))
            over_time.append(drawn.over_time(divergences))
            distances[done] = drawn.by_success(divergences)
            if progress:
                progress(done + 1, len(failures), "rank")
        return RunScores(
            seed=run.seed,
            failures=tuple(failure.episode_index for failure in failures.values()),
            successes=tuple(run.episodes[row] for row in successes),
            values=np.array(values),
            standard_errors=None if self.pairs is None else np.array(errors),
            distances=distances,
            over_time=over_time,
            plane=bias_plane(run),
        )

    def _draw(self, failure: Demo, n_successes: int, training_seed: int) -> Pairs:
        if self.pairs is None:
            return Pairs.every(len(failure), n_successes)
        seeds = (self.sample_seed, training_seed, failure.episode_index)
        return Pairs.draw(self.pairs, len(failure), n_successes, np.random.default_rng(seeds))


def _failures(run: Checkpoint, demos: DemoSet) -> dict[int, Demo]:
    """Row of the PB table -> failure, in dataset order; a view, as frames may not fit in memory."""
    place = {int(episode): i for i, episode in enumerate(demos.episode_indices)}
    rows = [row for row, success in enumerate(run.successes) if not success]
    return {
        row: demos[place[run.episodes[row]]]
        for row in sorted(rows, key=lambda row: run.episodes[row])
    }


def _with_bias(policy: Policy, run: Checkpoint) -> tuple[ActPolicy, torch.Tensor]:
    """The policy as what it is, and its PB table, (N, L, P).

    Raises:
        CheckpointError: when the run has none.
    """
    if not isinstance(policy, ActPolicy) or policy.bias is None:
        raise CheckpointError(
            f"seed {run.seed} was trained without parametric bias",
            where=run.dataset,
            remedy="rank runs trained with --policy act-pb, or by another measure",
        )
    return policy, policy.bias.table.detach()


def _check_outcomes(run: Checkpoint) -> None:
    for outcome, present in (("success", True), ("failure", False)):
        if present not in run.successes:
            raise DatasetError(
                f"no {outcome} among the {len(run.successes)} training episodes",
                where=run.dataset,
                remedy="ranking compares failures with successes; train on both",
            )


def bias_plane(run: Checkpoint) -> Plane | None:
    """The PB table on its first two principal components (Figures 5 and 6); None without one."""
    table = run.weights().get("bias.table")
    if table is None:
        return None
    points = principal_components(table.flatten(1).numpy())
    rows = zip(run.episodes, run.successes, points, strict=True)
    return Plane("parametric bias", [(e, s, float(x), float(y)) for e, s, (x, y) in rows])


def principal_components(rows: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, 2): coordinates on the first two principal components."""
    centred = rows.astype(np.float64) - rows.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    coordinates = np.zeros((len(rows), 2))
    count = min(2, len(singular))
    coordinates[:, :count] = left[:, :count] * singular[:count]
    return coordinates
