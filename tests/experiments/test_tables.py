"""The tables of a study, cell by cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from outtakes.evaluation.comparison import Comparison, compare
from outtakes.experiments.arm import Arm, act_arm, bias_arm
from outtakes.experiments.lab import Lab
from outtakes.experiments.recipes import SMOKE, on_task
from outtakes.experiments.tables import write_tables


def arms() -> list[Arm]:
    return [
        act_arm(SMOKE, "act", "ACT", [0], paper="71.0 ± 3.4"),
        bias_arm(SMOKE, "pb", "PB", [0], paper="74.2 ± 3.6"),
    ]


def comparison() -> Comparison:
    """ACT wins 40 of 100, PB 60 and 50 under its two steerings, in each of two seeds."""
    won = {"act": 40, "pb (nearest)": 60, "pb (mean)": 50}
    outcomes = {arm: {s: np.arange(100) < n for s in range(2)} for arm, n in won.items()}
    return compare(outcomes, baseline="act", treatment="pb (mean)")


def written(lab: Lab) -> list[list[str]]:
    """Cells of every row of `tables.md` but the headings'."""
    write_tables(lab, {"one": comparison(), "two": comparison()}, {"one": arms(), "two": arms()})
    lines = (lab.out / "tables.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("#")] == ["### one", "### two"]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in lines
        if line.startswith(("| ACT", "| PB"))
    ]
    verdict = comparison().verdict({"act": "ACT", "pb (mean)": "PB, mean PB"})
    assert lines.count(verdict) == 2
    return rows


def test_a_row_for_each_steering_with_its_interval_and_the_papers_number(tmp_path: Path) -> None:
    rows, found = written(Lab(SMOKE, tmp_path)), comparison()
    assert rows[:3] == rows[3:]
    act, nearest, mean = rows[:3]
    rate, difference = found.rates["act"], found.differences["pb (nearest)"]
    assert act[0] == "ACT" and act[2:5] == ["0.0, 2 seeds", "baseline", ""]
    assert act[1] == f"40.0 ({100 * rate.low:.1f} to {100 * rate.high:.1f})"
    assert nearest[3] == f"+20.0 ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
    assert nearest[4] == f"{found.adjusted_p['pb (nearest)']:.3f}"
    assert [row[0] for row in (nearest, mean)] == ["PB, nearest PB", "PB, mean PB"]
    # The paper steers by the nearest alone.
    assert [row[-1] for row in (act, nearest, mean)] == ["71.0 ± 3.4", "74.2 ± 3.6", ""]


def test_on_another_task_the_paper_has_no_number(tmp_path: Path) -> None:
    assert {row[-1] for row in written(Lab(on_task(SMOKE, "stack"), tmp_path))} == {""}
