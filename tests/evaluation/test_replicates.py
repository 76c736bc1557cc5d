"""Intervals over replicates."""

import numpy as np
import pytest

from outtakes.errors import ArtifactError
from outtakes.evaluation.replicates import replicated_mean


@pytest.mark.parametrize("n", [3, 8])
def test_the_interval_holds_the_truth_and_p_is_small_as_often_as_said(n):
    rng = np.random.default_rng(0)
    found = [replicated_mean(rng.normal(5, 3, n)) for _ in range(2_000)]
    held = np.mean([f.low <= 5 <= f.high for f in found])
    assert held == pytest.approx(0.95, abs=0.015)
    assert all(f.excludes_zero == (f.p < 0.05) for f in found)


def test_a_single_replicate_says_nothing_of_others():
    found = replicated_mean([0.25])
    assert (found.mean, found.n) == (0.25, 1)
    assert np.isnan([found.low, found.high, found.p]).all() and not found.excludes_zero
    with pytest.raises(ArtifactError, match="no replicate"):
        replicated_mean([])


def test_replicates_that_agree_leave_no_doubt():
    assert replicated_mean([0.5, 0.5, 0.5]).p == 0
    assert replicated_mean([0.0, 0.0]).p == 1
