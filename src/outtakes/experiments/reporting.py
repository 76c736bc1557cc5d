"""The last stage of every experiment: its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from outtakes.data.demo import DemoSet
from outtakes.evaluation.recommendation import Command, Recommendation, recommend
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.advice import evidence_in
from outtakes.experiments.arm import policy_arm
from outtakes.experiments.commands import demo_commands, training_commands
from outtakes.experiments.filming import Actor, film, map_retrieval
from outtakes.experiments.folder import ADVICE, FILMS, Folder
from outtakes.experiments.lab import Lab
from outtakes.experiments.present import present
from outtakes.experiments.runs import ROLLOUTS, run_folder
from outtakes.experiments.setting_up import write_setup
from outtakes.experiments.triage import arms_of
from outtakes.report.html import PAGE, write_report
from outtakes.selection.select import Selection


def report_simulated(
    lab: Lab, *, shown: Sequence[tuple[str, str]], retrieving: str
) -> tuple[Recommendation, Path]:
    """Film rollouts of the demo's or study's arms and write its report: what it says, and where.

    Args:
        lab: the experiment.
        shown: arms and their steering, whose rollouts are filmed side by side.
        retrieving: the arm with parametric bias of which it is shown which success steered it.
    """
    log, seed = RolloutLog.load(lab.out / ROLLOUTS), lab.recipe.seeds[0]
    if not (lab.out / FILMS).exists():
        actors = [Actor(arm, run_folder(lab.out, arm, seed), how) for arm, how in shown]
        with lab.timed("film"):
            film(lab, log, actors, count=lab.recipe.filmed)
    map_retrieval(lab, log, retrieving, "nearest")
    with lab.timed("report"):
        folder = Folder(lab.out)
        recommended = write_advice(
            lab, folder.demos, folder.dataset, folder.selection, more=demo_commands(lab)
        )
        return recommended, lab.out / PAGE


def report_triage(lab: Lab, demos: DemoSet, dataset: Path, name: str) -> Recommendation:
    """Write the report of a triage; `name` is what the user calls the dataset."""
    folder = Folder(lab.out)
    selection = folder.selection
    arms = arms_of(demos, folder.scores_of(demos), selection)
    errors = folder.action_errors
    tried = None if errors is None else policy_arm(lab.recipe, errors.policy, "", "", ()).policy
    write_setup(
        lab,
        demos,
        title=f"which failures of {Path(name).name} to keep",
        dataset=dataset.absolute(),
        labels={arm: label for arm, (label, _) in arms.items()},
        policy=tried,
    )
    return write_advice(lab, demos, dataset, selection)


def write_advice(
    lab: Lab,
    demos: DemoSet,
    dataset: Path,
    selection: Selection,
    *,
    more: Sequence[Command] = (),
) -> Recommendation:
    """Write `recommendation.json` of a folder that is otherwise complete, and its report.

    Args:
        lab: the experiment.
        demos: the dataset.
        dataset: its folder.
        selection: the failures that were chosen before anything was measured.
        more: commands to end with.
    """
    recommended = recommend(evidence_in(Folder(lab.out), lab.recipe))
    commands = training_commands(
        lab,
        demos,
        dataset,
        selection,
        recommended,
        simulated=bool(more),
    )
    recommended = replace(recommended, commands=(*commands, *more))
    recommended.save(lab.out / ADVICE)
    write_report(present(Folder(lab.out)), lab.out)
    return recommended
