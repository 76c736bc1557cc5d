"""What was chosen for a dataset, before any work goes into it."""

from __future__ import annotations

from dataclasses import replace

from outtakes.data.demo import DemoSet, Provenance
from outtakes.experiments.overview import Overview
from outtakes.experiments.recipes import SMOKE
from tests.demos import make_demos


def made(**provenance) -> DemoSet:
    sizes = {"overhead": (480, 640)}
    demos = make_demos(2, 1, camera=True)
    told = Provenance(stored_sizes=sizes, outcome_sources={"next.success": 3}, **provenance)
    return replace(demos, tasks=["lift"] * 3, provenance=told)


def seen_through(demos: DemoSet, *cameras: str) -> Overview:
    return Overview(demos, replace(SMOKE, policy=replace(SMOKE.policy, cameras=cameras)))


def test_a_camera_that_no_policy_looks_through_is_for_the_report_alone() -> None:
    line = "  Camera    overhead: 480 × 640 → 64 × 64"
    assert seen_through(made(), "overhead").table().splitlines()[0] == line
    assert seen_through(made()).table().splitlines()[0] == line + ", for the report alone"
    assert not seen_through(made()).facts()["cameras"]["overhead"]["seen_by_policy"]


def test_one_task_is_not_called_tasks_and_few_names_are_all_told() -> None:
    table = seen_through(made(state_names=["x", "y", "z", "w"])).table()
    assert "  Episodes  3: 2 successes, 1 failures, 1 task\n" in table
    assert "  State     4: x, y, z, w\n" in table


def test_what_is_left_out_is_told_with_the_reason() -> None:
    overview = seen_through(made(skipped={3: "no video", 8: "NaN"}))
    assert overview.table().splitlines()[-2:] == [
        "  Skipped   episode 3: no video",
        "  Skipped   episode 8: NaN",
    ]
    assert overview.left_out() == "\nLeft out as corrupt: 3, 8"
    assert overview.facts()["skipped"] == {"3": "no video", "8": "NaN"}
    assert seen_through(made()).left_out() == ""
