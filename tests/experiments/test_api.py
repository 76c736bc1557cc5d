"""The steps from Python: what each hands on, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from outtakes import api
from outtakes.errors import ArtifactError, ConfigError, MachineError, UnknownName
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.folder import COMPARISON, SIGNALS
from outtakes.experiments.runs import ROLLOUTS, run_folder
from outtakes.ranking.attention.scoring import AttentionRanker
from tests.commands import fingerprint
from tests.demos import make_demos
from tests.experiments.conftest import Finished
from tests.experiments.small import SMALL


def runs_of(finished: Finished, *arms: str) -> list[Path]:
    return [run_folder(finished.lab.out, arm, seed) for arm in arms for seed in (0, 1)]


def test_run_folders_are_rolled_out_as_the_demo_did_and_compared(
    finished: Finished, tmp_path: Path
) -> None:
    lab, runs = replace(finished.lab, out=tmp_path), runs_of(finished, "act-s", "act-best")
    found = api.evaluate_runs(lab, runs, signals=["revision"])
    assert found.comparison is not None
    assert found.comparison == Comparison.load(tmp_path / COMPARISON)
    assert (found.comparison.baseline, found.comparison.treatment) == tuple(found.rates)
    assert [rate.n_rollouts for rate in found.rates.values()] == [4, 4]
    own, there = finished.folder.rollouts.outcomes(), RolloutLog.load(tmp_path / ROLLOUTS)
    for arm, by_seed in there.outcomes().items():
        for seed, outcomes in by_seed.items():
            assert np.array_equal(outcomes, own[arm][seed]), (arm, seed)
    signals = pq.read_table(tmp_path / SIGNALS)
    assert set(signals["arm"].to_pylist()) == {"act-s", "act-best"}
    assert found.videos == []


def test_one_arm_is_compared_with_nothing_and_filmed_when_asked(
    finished: Finished, tmp_path: Path
) -> None:
    lab = replace(finished.lab, out=tmp_path)
    found = api.evaluate_runs(lab, runs_of(finished, "act-s")[:1], videos=1)
    assert found.comparison is None and not (tmp_path / COMPARISON).exists()
    assert [video.name for video in found.videos] == ["act-s-0-0.mp4"]
    assert found.videos[0].is_file()


def test_nothing_to_evaluate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one run folder"):
        api.evaluate_runs(api.laboratory(tmp_path, recipe=SMALL), [])
    with pytest.raises(ConfigError, match="at least one checkpoint of each arm"):
        api.evaluate({"act": []}, recipe=SMALL)
    assert fingerprint(tmp_path) == {}


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


def test_what_was_made_of_other_data_is_refused_before_anything_is_written(
    finished: Finished, tmp_path: Path
) -> None:
    folder, other = finished.folder, make_demos()
    compared = folder.comparison
    assert compared is not None
    with pytest.raises(ArtifactError, match="the selection was made for other data"):
        api.train(other, tmp_path / "x", selection=folder.selection, recipe=SMALL)
    with pytest.raises(ArtifactError, match="the ranking was made for other data"):
        api.write_report(
            tmp_path / "y", other, scores=folder.scores, selection=folder.selection,
            rollouts=folder.rollouts, compared=compared, recipe=SMALL,
        )  # fmt: skip
    assert fingerprint(tmp_path) == {}


def test_rankers_are_found_by_name_with_their_weights_and_sample_when_they_can() -> None:
    sampling, other = api.chosen_rankers("attention=2,length", 70)
    assert isinstance(sampling.ranker, AttentionRanker) and sampling.ranker.pairs == 70
    assert (sampling.weight, other.weight, other.ranker.measure.key) == (2, 1, "length")
    own = AttentionRanker(30)
    assert [part.ranker for part in api.chosen_rankers(own)] == [own]
    with pytest.raises(ConfigError, match="pairs to rank by action-error"):
        api.chosen_rankers("action-error", 70)
    with pytest.raises(UnknownName, match="did you mean 'attention'"):
        api.chosen_rankers("atention")


def test_an_experiment_has_its_task_and_a_device_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.laboratory(tmp_path, recipe="smoke").recipe.collect.environment == "lift"
    stack = api.laboratory(tmp_path, recipe="smoke", task="stack")
    assert stack.recipe.collect.environment == "stack"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert api.laboratory(tmp_path).device == "cpu"
    with pytest.raises(MachineError, match="no CUDA device here"):
        api.laboratory(tmp_path, device="cuda")
