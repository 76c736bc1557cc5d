"""Intervals over replicates."""

import numpy as np
import pytest

from outtakes.errors import ArtifactError
from outtakes.evaluation.replicates import Replicates, replicated_mean


@pytest.mark.parametrize("n", [3, 8])
def test_the_interval_holds_the_truth_and_p_is_small_as_often_as_said(n):
    rng = np.random.default_rng(0)
    found = [replicated_mean(rng.normal(5, 3, n)) for _ in range(2_000)]
    ends = np.array([(f.low, f.high) for f in found], dtype=float)
    held = (ends[:, 0] <= 5) & (ends[:, 1] >= 5)
    assert held.mean() == pytest.approx(0.95, abs=0.015)
    assert [f.excludes_zero for f in found] == ((ends[:, 0] > 0) | (ends[:, 1] < 0)).tolist()


def test_a_single_replicate_says_nothing_of_others():
    found = replicated_mean([0.25])
    assert (found.mean, found.n) == (0.25, 1)
    assert (found.low, found.high, found.p, found.excludes_zero) == (None, None, None, False)
    with pytest.raises(ArtifactError, match="no replicate"):
        replicated_mean([])


def test_replicates_that_agree_leave_no_doubt():
    assert replicated_mean([0.5, 0.5, 0.5]).p == 0
    assert replicated_mean([0.0, 0.0]).p == 1


def test_the_table_compares_by_replicate_and_the_file_keeps_the_rates(tmp_path):
    found = Replicates.of([{"a": 0.1, "b": 0.3}, {"a": 0.2, "b": 0.4}])
    assert found.gain("b", "a").mean == pytest.approx(0.2)
    assert found.table({"b": "a"}, title="Arm", than="with a").splitlines() == [
        "| Arm | Success, % (95 % interval) | More than with a, points | p (Holm) |",
        "|---|---|---|---|",
        "| b | 35.0 (-28.5 to 98.5) | +20.0 (+20.0 to +20.0) | 0.000 |",
        "| a | 15.0 (-48.5 to 78.5) |  |  |",
    ]
    found.save(tmp_path / "found.json", {"b": "a"})
    assert Replicates.load(tmp_path / "found.json") == found
    with pytest.raises(ArtifactError, match="different numbers of replicates"):
        Replicates({"a": (0.1,), "b": (0.1, 0.2)})
