"""Run folders are rolled out as they were in the experiment that left them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from outtakes.errors import ConfigError
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.folder import COMPARISON, SIGNALS
from outtakes.experiments.lab import Lab
from outtakes.experiments.run_folders import evaluate_runs
from outtakes.experiments.runs import ROLLOUTS, run_folder
from tests.commands import fingerprint
from tests.experiments.conftest import Finished
from tests.experiments.small import SMALL


def runs_of(finished: Finished, *arms: str) -> list[Path]:
    return [run_folder(finished.lab.out, arm, seed) for arm in arms for seed in (0, 1)]


def test_run_folders_are_rolled_out_as_the_demo_did_and_compared(
    finished: Finished, tmp_path: Path
) -> None:
    lab, runs = replace(finished.lab, out=tmp_path), runs_of(finished, "act-s", "act-best")
    found = evaluate_runs(lab, runs, signals=["revision"])
    assert found.comparison is not None
    compared = Comparison.load(tmp_path / COMPARISON)
    assert found.comparison == compared
    assert (compared.baseline, compared.treatment) == tuple(found.rates)
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
    found = evaluate_runs(lab, runs_of(finished, "act-s")[:1], videos=1)
    assert found.comparison is None and not (tmp_path / COMPARISON).exists()
    assert [video.name for video in found.videos] == ["act-s-0-0.mp4"]
    assert found.videos[0].is_file()


def test_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one run folder"):
        evaluate_runs(Lab(SMALL, tmp_path), [])
    assert fingerprint(tmp_path) == {}
