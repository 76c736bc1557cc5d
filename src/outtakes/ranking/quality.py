"""Quality by a classifier of outcomes: how much of a failure looks like success.

The idea of Demo-SCORE (Chen, Lessing, Liu and Finn 2025, arXiv 2503.03707), which trains its
classifier on rollouts of a policy; here the demonstrations themselves have outcomes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.errors import DatasetError
from outtakes.progress import Progress
from outtakes.ranking.measure import End, Measure, Needs
from outtakes.ranking.ranker import DatasetRanker, RunScores, apart
from outtakes.ranking.vectors import observed, resampled
from outtakes.shapes import Bool, Float, Int

_STEPS = 25
"""Moments of each demonstration that are classified, so that long ones do not count for more."""

TREES: dict[str, Any] = {
    "max_iter": 50,
    "max_leaf_nodes": 15,
    "l2_regularization": 1.0,
    "early_stopping": False,
    "class_weight": "balanced",
    "random_state": 0,
}
"""Settings of the classifier; balanced, so that both outcomes weigh the same."""


class QualityRanker(DatasetRanker):
    """Mean probability of success over a failure's moments, by classifiers that never saw it.

    q(f) = mean over t of p(success | z(o_t)); p is gradient boosting of trees on the moments of
    the other folds, both outcomes weighing the same.

    Args:
        folds: parts the demonstrations are cut into; each is classified by what the others teach.
        seed: of the cut.
    """

    measure = Measure(
        key="quality",
        name="resemblance to success",
        symbol="q",
        unit="of 1",
        meaning="How probable success looks to a classifier that is shown single moments of one "
        "failure, averaged over its moments; it was trained on other demonstrations. 1 means that "
        "it could be a success, 0 that nothing in it looks like one.",
        needs=Needs.DATASET,
        useful=End.HIGH,
    )

    def __init__(self, folds: int = 5, seed: int = 0) -> None:
        self.folds, self.seed = folds, seed

    def score(self, demos: DemoSet, *, progress: Progress | None = None) -> RunScores:
        """Score every failure.

        Raises:
            DatasetError: when there are fewer than two successes or failures, or no state.
        """
        successes, failures = apart(demos)
        if min(len(successes), len(failures)) < 2:
            raise DatasetError(
                f"{len(successes)} successes and {len(failures)} failures are too few to hold "
                "some of each out",
                where=demos.name,
                remedy="record at least 2 of each, or rank by another measure",
            )
        moments = resampled(observed(demos, successes), demos, _STEPS)
        fold = folds_of(demos.successes, self.folds, self.seed)
        probability = np.empty(moments.shape[:2])
        for held_out in np.unique(fold):
            out = fold == held_out
            probability[out] = _probabilities(moments[~out], demos.successes[~out], moments[out])
            if progress:
                progress(int(held_out) + 1, int(fold.max()) + 1, "rank")
        return RunScores.of(failures, successes, probability[~demos.successes].mean(axis=1))


def folds_of(successes: Bool[np.ndarray, "N"], folds: int, seed: int) -> Int[np.ndarray, "N"]:
    """Fold of each demonstration: shuffled, and each outcome spread evenly over all folds."""
    folds = min(folds, int(successes.sum()), int((~successes).sum()))
    rng, fold = np.random.default_rng(seed), np.empty(len(successes), np.int64)
    for outcome in (True, False):
        own = rng.permutation(np.flatnonzero(successes == outcome))
        fold[own] = np.arange(len(own)) % folds
    return fold


def _probabilities(
    known: Float[np.ndarray, "N n D"],
    successes: Bool[np.ndarray, "N"],
    asked: Float[np.ndarray, "M n D"],
) -> Float[np.ndarray, "M n"]:
    """Probability of success at each moment."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    classifier = HistGradientBoostingClassifier(**TREES)
    steps = known.shape[1]
    classifier.fit(known.reshape(-1, known.shape[2]), np.repeat(successes, steps))
    found = classifier.predict_proba(asked.reshape(-1, asked.shape[2]))[:, 1]
    return found.reshape(len(asked), steps)
