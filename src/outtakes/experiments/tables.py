"""The tables of a study in Markdown, the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outtakes.evaluation.comparison import Comparison
from outtakes.experiments.arm import Arm
from outtakes.experiments.lab import Lab
from outtakes.experiments.setting_up import paper_numbers


def write_tables(
    lab: Lab, comparisons: Mapping[str, Comparison], arms: Mapping[str, Sequence[Arm]]
) -> None:
    """Write `tables.md`: every experiment, the paper's numbers beside ours."""
    text = "\n\n".join(
        table(name, comparison, arms[name], paper_numbers(lab, arms[name]))
        for name, comparison in comparisons.items()
    )
    (lab.out / "tables.md").write_text(text + "\n", encoding="utf-8")


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
    return "\n".join([*lines, "", comparison.verdict(labels)])


def _difference_cells(comparison: Comparison, arm: str) -> tuple[str, str]:
    if arm == comparison.baseline:
        return "baseline", ""
    d = comparison.differences[arm]
    interval = f"({100 * d.low:+.1f} to {100 * d.high:+.1f})"
    return f"{100 * d.difference:+.1f} {interval}", f"{comparison.adjusted_p[arm]:.3f}"
