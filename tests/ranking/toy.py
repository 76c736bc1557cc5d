"""Demonstrations whose ranking is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.ranking.ranker import DatasetRanker


def of_paths(
    successes: Sequence[np.ndarray], failures: Sequence[np.ndarray], fps: float = 20.0
) -> DemoSet:
    """Demonstrations whose state follows these paths, (T, S) each; actions are the steps taken.

    Successes have episode indices from 0 on, failures follow.
    """
    paths = [np.asarray(path, dtype=np.float32) for path in (*successes, *failures)]
    lengths = np.array([len(path) for path in paths])
    state = np.concatenate(paths)
    action = np.concatenate([np.diff(path, axis=0, append=path[-1:]) for path in paths])
    return DemoSet(
        name="made up",
        content_hash="made-up",
        fps=fps,
        episode_indices=np.arange(len(paths)),
        successes=np.arange(len(paths)) < len(successes),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        state=state,
        environment_state=np.zeros((len(state), 0), np.float32),
        action=action,
    )


def slowed(demos: DemoSet, times: int = 2) -> DemoSet:
    """The same demonstrations with every frame shown so many times."""
    arrays = {n: np.repeat(getattr(demos, n), times, axis=0) for n in ("state", "action")}
    return replace(
        demos,
        **arrays,
        environment_state=np.repeat(demos.environment_state, times, axis=0),
        starts=demos.starts * times,
        lengths=demos.lengths * times,
    )


def moved(demos: DemoSet, order: np.ndarray) -> DemoSet:
    """The demonstrations in another order, under the same episode indices."""
    of_episodes = ("successes", "starts", "lengths")
    return replace(demos, **{name: getattr(demos, name)[order] for name in of_episodes})


def score(ranker: DatasetRanker, demos: DemoSet) -> dict[int, float]:
    """Episode index of each failure -> its score."""
    found = ranker.score(demos)
    return dict(zip(found.failures, found.values.tolist(), strict=True))
