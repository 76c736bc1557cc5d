"""`outtakes rank` by what needs no run, and by several rankers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outtakes.ranking.scores import Scores
from outtakes.selection.select import Selection
from tests.commands import done, refused


def test_a_dataset_is_ranked_and_selected_from_without_any_run(
    made_datasets: Path, tmp_path: Path
) -> None:
    scores, selection = tmp_path / "scores.json", tmp_path / "selection.json"
    by = "coverage,length=0.5"
    called = done("rank", made_datasets / "lift", "--by", by, "--out", scores, "--json")
    found = json.loads(called.out)
    assert found["by"] == by and sorted(found["ranked"]) == [1, 3, 5]
    done("select", scores, "--count", "1", "--out", selection)
    assert Selection.load(selection).kept == sorted([0, 2, 4, found["ranked"][0]])
    assert Scores.load(scores).successes == [0, 2, 4]


@pytest.mark.parametrize(
    ("by", "sources", "says"),
    [
        ("coverage", 2, "2 datasets"),
        ("coverage", 0, "at least one dataset"),
        ("coverage,action-error", 1, "no checkpoint"),
        ("coverage,lenght", 1, "lenght"),
        ("coverage=heavy", 1, "no weight"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    by: str, sources: int, says: str, made_datasets: Path, tmp_path: Path
) -> None:
    given = [made_datasets / "lift"] * sources
    assert says in refused("rank", *given, "--by", by, "--out", tmp_path / "scores.json")
