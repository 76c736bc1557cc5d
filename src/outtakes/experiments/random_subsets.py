"""What each failure is worth, by retraining on random subsets of the failures.

The truth that rankers are judged by: ACT is trained on a cell's successes and a random subset of
its failures, over and over, and `evaluation.usefulness` tells from the rates who in the subsets
made the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from outtakes.evaluation.usefulness import Usefulness, balanced_subsets, usefulness
from outtakes.experiments.cell import Cell
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.study_log import run_recorded
from outtakes.files import load_json, write_json

USEFULNESS = "usefulness.json"


@dataclass(frozen=True)
class SubsetPlan:
    """How many random subsets to retrain on."""

    size: int = 15
    """Failures in a subset."""
    subsets: int = 200
    steps: int = 1_000
    """Training length, tuned for so many failures at random."""


def measure_usefulness(cell: Cell, plan: SubsetPlan) -> Usefulness:
    """Retrain on every subset and estimate what each failure is worth; leaves `usefulness.json`.

    More subsets go on from fewer: the first of a longer plan are those of the shorter.
    """
    taken = subsets_of(cell, plan)
    arms = [cell.act(f"subset-{i:03d}", subset, steps=plan.steps) for i, subset in enumerate(taken)]
    lab = cell.lab
    jobs = jobs_of(lab, arms, lab.recipe.seeds, cell.demos, lab.recipe.evaluation)
    outcomes = run_recorded(lab, jobs).outcomes()
    rates = np.array([np.mean(list(outcomes[arm.name].values())) for arm in arms])
    chosen = np.array([[failure in subset for failure in cell.failures] for subset in taken])
    found = usefulness(cell.failures, chosen, rates)
    save_usefulness(found, rates, lab.out / USEFULNESS)
    return found


def subsets_of(cell: Cell, plan: SubsetPlan) -> list[tuple[int, ...]]:
    """The subsets of a plan, the same whenever it is asked for."""
    return balanced_subsets(cell.failures, plan.size, plan.subsets, np.random.default_rng(0))


def save_usefulness(found: Usefulness, rates: np.ndarray, path: Path) -> None:
    """Write `usefulness.json`."""
    content = {
        "episodes": list(found.episodes),
        "effects": found.effects.tolist(),
        "standard_errors": found.standard_errors.tolist(),
        "reliability": found.reliability,
        "subsets": found.subsets,
        "rates": rates.tolist(),
    }
    write_json(path, "usefulness", 1, content)


def load_usefulness(path: Path) -> Usefulness:
    """Read `usefulness.json`.

    Raises:
        ArtifactError: when it is missing, damaged or of another version.
    """
    return load_json(
        path,
        "usefulness",
        1,
        lambda content: Usefulness(
            tuple(content["episodes"]),
            np.array(content["effects"]),
            np.array(content["standard_errors"]),
            float(content["reliability"]),
            int(content["subsets"]),
        ),
        remedy="measure it again",
    )
