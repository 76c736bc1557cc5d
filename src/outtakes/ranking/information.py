"""Mutual information of what is observed and what is done: DemInf (Hejna et al. 2025, arXiv
2502.08623).

A demonstration adds information where its actions follow from what it observes, and where neither
is what all the others have. Theirs embeds observations and actions by variational autoencoders;
here principal components do, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from outtakes.data.demo import DemoSet
from outtakes.data.normalize import Moments
from outtakes.progress import Progress
from outtakes.ranking.measure import End, Measure, Needs
from outtakes.ranking.ranker import DatasetRanker, RunScores, apart
from outtakes.ranking.vectors import mean_over_time, observed
from outtakes.shapes import Float

_COMPONENTS = 8
_SECONDS = 0.5
"""Of the actions that follow what is observed."""
_NEIGHBOURS = (5, 6, 7)
_AT_ONCE = 1024
"""Frames among which neighbours are looked for, drawn at random."""


class InformationRanker(DatasetRanker):
    """Mean share of a failure's frames in the mutual information I(o; a) of the dataset.

    By the estimator of Kraskov, Stögbauer and Grassberger (2004, Phys. Rev. E 69, Eq. 8): frame i
    contributes ψ(k) + ψ(N) − ψ(nₓ + 1) − ψ(n_y + 1), averaged over k = 5, 6, 7 and over random
    batches of about N = 1024 frames.

    Args:
        rounds: batches that every frame is in.
        seed: of the batches.
    """

    measure = Measure(
        key="information",
        name="mutual information",
        symbol="I",
        unit="nats",
        meaning="How much the frames of one failure add to the mutual information between what is "
        "observed and what is done in the whole dataset. Large means that its actions follow from "
        "what it observes, and differ where what it observes does.",
        needs=Needs.DATASET,
        useful=End.HIGH,
    )

    def __init__(self, rounds: int = 4, seed: int = 0) -> None:
        self.rounds, self.seed = rounds, seed

    def score(self, demos: DemoSet, *, progress: Progress | None = None) -> RunScores:
        """Score every failure.

        Raises:
            DatasetError: when there is no success, no failure or no state.
        """
        successes, failures = apart(demos)
        seen = principal_components(observed(demos, successes), _COMPONENTS)
        done = principal_components(_actions_ahead(demos), _COMPONENTS)
        rng, total = np.random.default_rng(self.seed), np.zeros(len(seen))
        for turn in range(self.rounds):
            count = -(-len(seen) // _AT_ONCE)
            for batch in np.array_split(rng.permutation(len(seen)), count):
                total[batch] += information(seen[batch], done[batch], _NEIGHBOURS)
            if progress:
                progress(turn + 1, self.rounds, "rank")
        values = mean_over_time(total / self.rounds, demos)
        return RunScores.of(failures, successes, values[~demos.successes])


def information(
    x: Float[np.ndarray, "N D"], y: Float[np.ndarray, "N E"], neighbours: Sequence[int]
) -> Float[np.ndarray, "N"]:
    """Contribution of each sample to I(x; y), in nats, averaged over these numbers of neighbours.

    Numbers of which there are no more samples are left out; with none left it is 0.
    """
    distances = [_chebyshev(torch.from_numpy(values)) for values in (x, y)]
    nearest = torch.maximum(*distances).fill_diagonal_(torch.inf)
    nearest = nearest.topk(min(max(neighbours), len(x)), largest=False).values
    usable = [k for k in neighbours if k < len(x)]
    found = torch.zeros(len(x), dtype=torch.float64)
    for k in usable:
        radius = nearest[:, k - 1, None]
        # Strictly nearer, and the sample itself: n + 1 of the paper.
        counts = [(own < radius).sum(dim=1).clamp(min=1).double() for own in distances]
        known = torch.tensor([float(k), float(len(x))], dtype=torch.float64).digamma().sum()
        found += known - counts[0].digamma() - counts[1].digamma()
    return (found / max(1, len(usable))).numpy()


def _chebyshev(rows: Tensor) -> Tensor:
    """(N, N) largest difference in any dimension."""
    return torch.cdist(rows, rows, p=float("inf"))


def principal_components(rows: Float[np.ndarray, "N D"], count: int) -> Float[np.ndarray, "N K"]:
    """Coordinates on the directions of largest variance, at most so many."""
    centred = rows - rows.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(centred @ directions[:, ::-1][:, :count])


def _actions_ahead(demos: DemoSet) -> np.ndarray:
    """(frames, L·A) the actions from each frame on, standardised; past the end the last repeats."""
    rows, steps = demos.rows(), max(1, round(_SECONDS * demos.fps))
    action = Moments.of(demos.action[rows]).standardise(torch.from_numpy(demos.action[rows]))
    last = np.repeat(demos.packed_starts() + demos.lengths - 1, demos.lengths)
    ahead = np.minimum(np.arange(len(rows))[:, None] + np.arange(steps), last[:, None])
    return action.numpy()[ahead].reshape(len(rows), -1)
