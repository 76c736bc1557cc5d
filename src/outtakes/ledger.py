"""What an experiment leaves in writing: its set-up and its tables."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from outtakes import version
from outtakes.arms import (
    Arm,
)
from outtakes.evaluation.comparison import Comparison
from outtakes.files import read_json, write_json
from outtakes.stages import Lab, cores


def write_setup(
    lab: Lab,
    *,
    title: str,
    dataset: Path,
    labels: Mapping[str, str],
    paper: Mapping[str, str],
    retrained: str,
    next_commands: Sequence[str],
) -> None:
    """Write `setup.json`: what the report needs to know that no other artifact says.

    Args:
        lab: the experiment.
        title: what was done, for people.
        dataset: folder of the dataset, relative to `lab.out` when inside it.
        labels: arm -> name for people.
        paper: arm -> the paper's success rate, in %.
        retrained: the arm retrained on the selection; "" when there is none.
        next_commands: shell commands that would settle or extend the result.
    """
    content = {
        "title": title,
        "dataset": str(dataset),
        "reading": lab.reading.as_json(),
        "labels": dict(labels),
        "paper": dict(paper),
        "retrained": retrained,
        "next_commands": list(next_commands),
        "recipe": _plain(asdict(lab.recipe)),
        "machine": machine(lab.device),
        "commit": version.commit(),
        "release": version.release(),
        "finished": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": read_json(lab.out / "durations.json", "durations", 1)["seconds"],
    }
    write_json(lab.out / "setup.json", "setup", 1, content)


def write_simulated_setup(lab: Lab, title: str, retrained: str, arms: Sequence[Arm]) -> None:
    """Write `setup.json` of an experiment on the recipe's own simulated task."""
    task = lab.recipe.collect.environment
    write_setup(
        lab,
        title=f"{title} on {task.replace('-', ' ').capitalize()}",
        dataset=Path("dataset"),
        labels={name: label for arm in arms for name, label in arm.labels.items()},
        paper=_paper(lab, arms),
        retrained=retrained,
        next_commands=[
            f"outtakes study paper --task {task} --recipe {lab.recipe.name} --out outtakes-study",
            "outtakes triage YOUR_DATASET --out outtakes-triage",
        ],
    )


def write_tables(
    lab: Lab, comparisons: Mapping[str, Comparison], arms: Mapping[str, Sequence[Arm]]
) -> None:
    """Write `tables.md`: every experiment, the paper's numbers beside ours."""
    text = "\n\n".join(
        table(name, comparison, arms[name], _paper(lab, arms[name]))
        for name, comparison in comparisons.items()
    )
    (lab.out / "tables.md").write_text(text + "\n", encoding="utf-8")


def _paper(lab: Lab, arms: Sequence[Arm]) -> dict[str, str]:
    """Arm -> the paper's success rate, in %, which it has for Lift alone."""
    on_lift = lab.recipe.collect.environment == "lift"
    return {arm.name: arm.paper for arm in arms if on_lift}


def table(title: str, comparison: Comparison, arms: Sequence[Arm], paper: Mapping[str, str]) -> str:
    """One experiment as a Markdown table, in percent and points."""
    lines = [
        f"### {title}",
        "",
        "| Arm | Success rate, % (95 % interval) | SD over seeds | Difference, points "
        "(95 % interval) | p (Holm) | Paper, % |",
        "|---|---|---|---|---|---|",
    ]
    labels = {name: label for arm in arms for name, label in arm.labels.items()}
    for name, label in labels.items():
        rate = comparison.rates[name]
        spread = "" if rate.sd is None else f"{100 * rate.sd:.1f}"
        cells = [
            label,
            f"{100 * rate.rate:.1f} ({100 * rate.low:.1f} to {100 * rate.high:.1f})",
            f"{spread}, {rate.n_seeds} seeds",
            *_difference_cells(comparison, name),
            paper.get(name, ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", comparison.verdict])


def _difference_cells(comparison: Comparison, arm: str) -> tuple[str, str]:
    if arm == comparison.baseline:
        return "baseline", ""
    d = comparison.differences[arm]
    interval = f"({100 * d.low:+.1f} to {100 * d.high:+.1f})"
    return f"{100 * d.difference:+.1f} {interval}", f"{comparison.adjusted_p[arm]:.3f}"


def machine(device: str) -> str:
    """The machine in a few words."""
    described = f"{cores()} CPU cores, {platform.system()} {platform.machine()}"
    if device == "cpu":
        return described
    return f"{torch.cuda.get_device_name(device)}, {described}"


def _plain(value: object) -> object:
    """JSON's view of a nested settings dictionary."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
