"""What an experiment is advised by: the evidence that its folder holds, and the doubts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from outtakes.data.demo import Outcome
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.recommendation import (
    Evidence,
    Gain,
    Option,
    Yardstick,
)
from outtakes.evaluation.rollouts import treatment
from outtakes.evaluation.statistics import Difference
from outtakes.experiments.folder import Folder
from outtakes.experiments.held_out import BASELINE, ActionErrors
from outtakes.experiments.recipes import Recipe
from outtakes.experiments.ways import RANKED
from outtakes.ranking.measure import Needs
from outtakes.ranking.scores import Scores
from outtakes.selection.select import RULES, Selection

_LOW_AGREEMENT = 0.4
"""Kendall's τ below which an order is called unstable: 7 of 10 pairs of failures come out alike."""
_LOW_RELIABILITY = 0.5
"""Share of the failures' spread that is not chance, below which distances are called noise."""
_USE_ALL = (treatment(RANKED, "mean"), "act-all")
"""Names, in comparisons of the demo, of the arms that use every failure."""
# --- evidence -------------------------------------------------------------------------------------


def evidence_in(folder: Folder, recipe: Recipe | None = None) -> Evidence:
    """What an experiment's folder holds to recommend something by.

    Args:
        folder: the experiment.
        recipe: that it was run with, to say so when its numbers mean nothing.
    """
    failures = folder.demos.episodes(Outcome.FAILURE)
    chosen, every = chosen_option(folder.selection, failures), everything(failures)
    if folder.comparison is not None:
        measured = _rolled_out(folder, folder.comparison, chosen, every)
    elif folder.action_errors is not None:
        measured = _held_out(folder.action_errors, chosen, every)
    else:
        measured = {"options": [chosen], "yardstick": Yardstick.ROLLOUTS}
    return Evidence(
        successes=len(folder.demos.episodes(Outcome.SUCCESS)),
        too_short="" if recipe is None else too_short(recipe),
        doubts=tuple(ranking_doubts(folder.scores)),
        **measured,
    )


def chosen_option(selection: Selection, failures: Sequence[int]) -> Option:
    """What a selection keeps of the failures, in words."""
    kept = tuple(e for e in selection.kept if e in set(failures))
    if len(kept) == len(failures):
        return everything(failures)
    rule = RULES.get(selection.rule, "that you kept")
    which = f"{len(kept)} failures" if len(kept) > 1 else "failure"
    return Option(f"the {which} {rule}", kept)


def everything(failures: Sequence[int]) -> Option:
    """All failures, in words."""
    what = f"all {len(failures)} failures" if len(failures) > 1 else "the one failure"
    return Option(what, tuple(failures))


def _rolled_out(
    folder: Folder, comparison: Comparison, chosen: Option, every: Option
) -> dict[str, Any]:
    named = comparison.differences[comparison.treatment]
    options = [replace(chosen, gain=_gain(named, named.p), **_trained_as(comparison.treatment))]
    if every.failures != chosen.failures:
        options += [
            replace(
                every,
                **_trained_as(arm),
                what=f"{every.what} ({folder.label(arm)})",
                gain=_gain(comparison.differences[arm], comparison.adjusted_p[arm]),
            )
            for arm in _USE_ALL
            if arm in comparison.differences
        ]
    return {
        "options": options,
        "yardstick": Yardstick.ROLLOUTS,
        "baseline": comparison.rates[comparison.baseline].rate,
        "basis": f"{_seeds(named.n_seeds)} × {named.n_rollouts // named.n_seeds} rollouts",
    }


def _trained_as(treatment: str) -> dict[str, str]:
    """Arm of the demo or the study, and its kind of policy."""
    arm, _, _ = treatment.partition(" ")
    return {"arm": arm, "policy": "act-pb" if arm.startswith("pb") else "act"}


def _held_out(errors: ActionErrors, chosen: Option, every: Option) -> dict[str, Any]:
    base = float(errors.errors[BASELINE].mean())
    named = errors.differences["selected"]
    chosen, every = (replace(option, policy=errors.policy) for option in (chosen, every))
    options = [replace(chosen, gain=_gain(named, named.p, -base))]
    if every.failures != chosen.failures:
        count = len(chosen.failures)
        noun = "failure" if count == 1 else "failures"
        what = f"{count} {noun} drawn at random"
        at_random = Option(what, (), control=True, policy=errors.policy)
        options += [
            replace(option, gain=_gain(errors.differences[arm], errors.adjusted_p[arm], -base))
            for arm, option in (("random", at_random), ("all", every))
        ]
    return {
        "options": options,
        "yardstick": Yardstick.HELD_OUT,
        "baseline": base,
        "basis": f"{_seeds(named.n_seeds)} × {named.n_rollouts // named.n_seeds} successes, each "
        "predicted by policies that were not trained on it",
    }


def _gain(difference: Difference, p: float, scale: float = 1.0) -> Gain:
    """A difference as a share of `scale`; one below 0 when less is better."""
    ends = sorted((difference.low / scale, difference.high / scale))
    return Gain(difference.difference / scale, *ends, p=p, seeds=difference.n_seeds)


def _seeds(count: int) -> str:
    return "1 training seed" if count == 1 else f"{count} training seeds"


# --- doubts ---------------------------------------------------------------------------------------


def too_short(recipe: Recipe) -> str:
    """Why a recipe's numbers mean nothing; "" when they may mean something."""
    if not recipe.too_short:
        return ""
    return (
        f"Each policy was trained for {recipe.train.steps} steps alone, to see that everything "
        "runs: none of the numbers below mean anything."
    )


def ranking_doubts(scores: Scores) -> Iterator[str]:
    """Why the order of the failures is not to be relied on; nothing when it is."""
    values = np.array([list(f.per_seed.values()) for f in scores.failures]).T  # (seeds, failures)
    if values.shape[1] < 2:
        return
    if scores.kendall_tau is None:
        if scores.measure.needs is Needs.DATASET:
            return  # nothing was trained: nothing is left to chance
        yield "The failures were ranked by one training alone: how stable the order is, is unknown."
        return
    if scores.kendall_tau < _LOW_AGREEMENT:
        yield (
            "The ranking is unstable: trained again with other random numbers, the failures come "
            f"out in another order (agreement {scores.kendall_tau:.2f}, where 1 is the same order "
            "and 0 none). Which of them were chosen is partly chance."
        )
    if reliability(values) < _LOW_RELIABILITY:
        yield (
            "The failures' scores differ by no more than chance would make them: none of them is "
            "known to rank before another."
        )


def reliability(values: np.ndarray) -> float:
    """Share of the spread of the failures' means that another set of seeds would find again.

    1 − MS_residual / MS_failures of the two-way layout (Hoyt 1941; Cronbach's alpha), which may
    lie below 0.

    Args:
        values: (seeds, failures) scores.
    """
    seeds, failures = values.shape
    residual = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    noise = (residual**2).sum() / ((seeds - 1) * (failures - 1))
    spread = seeds * values.mean(0).var(ddof=1)
    return 1 - noise / spread if spread > 0 else 0.0
