"""What an experiment was, in writing: its `setup.json`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from outtakes import version
from outtakes.data.demo import DemoSet, Outcome
from outtakes.experiments.arm import Arm
from outtakes.experiments.folder import DATASET, SETUP, Setup
from outtakes.experiments.lab import Lab, machine
from outtakes.policy.policy import PolicyConfig


def write_setup(
    lab: Lab,
    demos: DemoSet,
    *,
    title: str,
    dataset: Path,
    labels: Mapping[str, str],
    paper: Mapping[str, str] | None = None,
    retrained: str = "",
    policy: PolicyConfig | None = None,
) -> None:
    """Write `setup.json`.

    Args:
        lab: the experiment.
        demos: the dataset.
        title: what was done, for people.
        dataset: folder of the dataset, relative to `lab.out` when inside it.
        labels: name in comparisons -> name for people.
        paper: name in comparisons -> the paper's success rate, in %.
        retrained: the arm retrained on the selection; "" when there is none.
        policy: what was trained; ACT as in the recipe when None.
    """
    Setup(
        title=title,
        dataset=dataset,
        reading=replace(lab.reading, image_size=lab.recipe.image_size),
        labels=labels,
        paper=paper or {},
        retrained=retrained,
        seed=lab.recipe.seeds[0],
        provenance=_provenance(lab, demos, policy or lab.recipe.policy),
    ).save(lab.out / SETUP)


def write_simulated_setup(
    lab: Lab, demos: DemoSet, title: str, retrained: str, arms: Sequence[Arm]
) -> None:
    """Write `setup.json` of an experiment on the recipe's own simulated task."""
    task = lab.recipe.collect.environment
    write_setup(
        lab,
        demos,
        title=f"{title} on {task.replace('-', ' ').capitalize()}",
        dataset=Path(DATASET),
        labels={name: label for arm in arms for name, label in arm.labels.items()},
        paper=paper_numbers(lab, arms),
        retrained=retrained,
    )


def paper_numbers(lab: Lab, arms: Sequence[Arm]) -> dict[str, str]:
    """Name in comparisons -> the paper's success rate, in %, which it has for Lift alone."""
    if lab.recipe.collect.environment != "lift":
        return {}
    return {arm.treatments[arm.steerings[0]]: arm.paper for arm in arms if arm.paper}


def _provenance(lab: Lab, demos: DemoSet, policy: PolicyConfig) -> dict[str, str]:
    recipe, skipped = lab.recipe, demos.provenance.skipped
    successes = len(demos.episodes(Outcome.SUCCESS))
    left_out = "; ".join(f"episode {e}: {why}" for e, why in skipped.items())
    durations = lab.durations().items()
    return {
        "Dataset": f"{demos.name}: {successes} successes, {len(demos) - successes} failures, "
        f"{int(demos.lengths.sum())} frames at {demos.fps:g} Hz",
        **({"Left out as corrupt": left_out} if skipped else {}),
        "Dataset hash": demos.content_hash,
        "Recipe": f"{recipe.name}: {recipe.train.steps} steps, batch {recipe.train.batch_size}",
        **policy.describe(),
        **({"Eyes": recipe.policy.looks()} if recipe.policy.views else {}),
        "Training seeds": ", ".join(map(str, recipe.seeds)),
        "Code": f"Outtakes {version.release()}, commit {version.commit()}",
        "Machine": machine(lab.device),
        "Time taken": ", ".join(f"{stage} {s / 60:.1f} min" for stage, s in durations),
        "Finished": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
