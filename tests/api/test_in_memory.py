"""The steps from Python: what each hands on, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from outtakes import api
from outtakes.errors import ArtifactError, ConfigError
from tests.commands import fingerprint
from tests.demos import make_demos
from tests.experiments.small import SMALL
from tests.ranking.rankings import make_scores


def test_an_arm_without_runs_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one checkpoint of each arm"):
        api.evaluate({"act": []}, recipe=SMALL)


def test_each_step_takes_what_the_one_before_gives(made_datasets: Path, tmp_path: Path) -> None:
    demos = api.load(made_datasets / "blind", recipe=SMALL)
    by_attention = api.rank(api.train(demos, tmp_path / "all", recipe=SMALL), demos)
    nearest = by_attention.ranked()[0].episode
    selection = api.select(by_attention, count=1)
    assert selection.kept == sorted([0, 2, 4, nearest])
    kept = {"policy": "act", "recipe": SMALL}
    again = api.train(demos, tmp_path / "kept", selection=selection, **kept)
    assert [(run.seed, run.episodes) for run in again] == [
        (seed, tuple(selection.kept)) for seed in SMALL.seeds
    ]
    alone = api.select(by_attention, keep="below", threshold=-1.0)
    runs = api.train(demos, tmp_path / "alone", selection=alone, **kept)
    assert {run.episodes for run in runs} == {(0, 2, 4)}
    by_error = api.rank(runs, demos, by="action-error")
    assert (by_error.measure.key, by_error.seeds) == ("action-error", [0, 1])
    assert sorted(f.episode for f in by_error.failures) == [1, 3, 5]


def test_what_was_made_of_other_data_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    other, scores = make_demos(), make_scores()
    selection = api.select(scores, count=1)
    with pytest.raises(ArtifactError, match="the selection was made for other data"):
        api.train(other, tmp_path / "x", selection=selection, recipe=SMALL)
    with pytest.raises(ArtifactError, match="the ranking was made for other data"):
        api.write_report(tmp_path / "y", other, scores=scores, selection=selection, recipe=SMALL)
    assert fingerprint(tmp_path) == {}
