"""The last stage of every experiment: its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from outtakes.data.demo import DemoSet
from outtakes.data.lerobot.location import is_pair
from outtakes.data.outcomes import FOLDERS
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.filming import Actor, film, map_retrieval
from outtakes.experiments.folder import FILMS, SELECTION, Folder
from outtakes.experiments.lab import Lab
from outtakes.experiments.present import present
from outtakes.experiments.runs import ROLLOUTS, run_folder
from outtakes.experiments.setting_up import write_setup
from outtakes.experiments.triage import arms_of
from outtakes.experiments.ways import BASELINE, RANKED, SELECTED
from outtakes.report.content import ReportContent
from outtakes.report.html import write_report


def report_folder(out: Path) -> Path:
    """Write the report of an experiment's folder; returns the page.

    Raises:
        ArtifactError: when `out` holds no experiment, or an artifact is damaged.
    """
    return write_report(present(Folder(out)), out)


def labels(out: Path) -> Mapping[str, str]:
    """Name in comparisons -> name for people, of an experiment's folder."""
    return Folder(out).setup.labels


def report_simulated(lab: Lab) -> Path:
    """Film rollouts of the demo's or study's arms and write its report."""
    log, seed = RolloutLog.load(lab.out / ROLLOUTS), lab.recipe.seeds[0]
    if not (lab.out / FILMS).exists():
        shown = ((BASELINE, ""), (RANKED, "nearest"), (SELECTED, "mean"))
        actors = [Actor(arm, run_folder(lab.out, arm, seed), how) for arm, how in shown]
        with lab.timed("film"):
            film(lab, log, actors, count=lab.recipe.filmed)
    map_retrieval(lab, log, SELECTED, "nearest")
    with lab.timed("report"):
        return report_folder(lab.out)


def report_triage(lab: Lab, demos: DemoSet, dataset: Path, name: str) -> ReportContent:
    """Write the report of a triage; `name` is what the user calls the dataset."""
    folder = Folder(lab.out)
    selection = folder.selection
    arms = arms_of(demos, folder.scores_of(demos), selection)
    write_setup(
        lab,
        demos,
        title=f"which failures of {Path(name).name} to keep",
        dataset=dataset.absolute(),
        labels={arm: label for arm, (label, _) in arms.items()},
        next_commands=[
            *_lerobot_commands(lab, dataset, selection.as_lerobot_argument()),
            f"outtakes train {dataset} --recipe {lab.recipe.name} --image-size "
            f"{lab.recipe.image_size} {lab.reading.flags()} --select {lab.out / SELECTION} "
            f"--out {lab.out}",
        ],
    )
    content = present(folder)
    write_report(content, lab.out)
    return content


def _lerobot_commands(lab: Lab, dataset: Path, argument: str) -> Sequence[str]:
    """How LeRobot trains on the selection; it first merges a dataset that is two folders."""
    root, merge = dataset, []
    if is_pair(dataset):
        root = lab.out / "merged"
        merge = [
            f"lerobot-edit-dataset --new_repo_id local/merged --new_root {root} "
            f'--operation.type merge --operation.repo_ids "{list(FOLDERS)}" '
            f'--operation.roots "{[str(dataset / name) for name in FOLDERS]}"'
        ]
    return [*merge, f"lerobot-train --policy.type=act --dataset.root={root} {argument}"]
