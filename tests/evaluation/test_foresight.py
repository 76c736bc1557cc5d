"""How far held-out error tells success: where it tells all, nothing, and the contrary."""

from __future__ import annotations

import numpy as np
import pytest

from outtakes.evaluation.foresight import Foresight, Foretold

WAYS = ("act-s", "act-all", "pb-all (mean)")


def foresight(error_of, *, replicates: int = 3) -> Foresight:
    """Ways of success rates 0.1, 0.3 and 0.5 after 600 steps and 0.1 more after 1,500."""
    return Foresight(
        tuple(
            Foretold(r, way, steps, error_of(rate, r), rate)
            for r in range(replicates)
            for i, way in enumerate(WAYS)
            for steps, rate in ((600, 0.1 + 0.2 * i), (1_500, 0.2 + 0.2 * i))
        )
    )


def test_an_error_that_falls_as_success_rises_tells_everything():
    found = foresight(lambda rate, r: 1 - rate + r)
    for agreement in (found.among_ways(), found.among_lengths(), found.of_all()):
        assert agreement is not None and agreement.mean == pytest.approx(1)
    assert found.regret().mean == pytest.approx(0)
    assert found.gain("act-s").mean == pytest.approx(0.6 - 0.2)
    assert found.harmed("act-s") == 0


def test_an_error_that_rises_with_success_leads_astray():
    found = foresight(lambda rate, r: rate)
    ways = found.among_ways()
    assert ways is not None and ways.mean == pytest.approx(-1)
    # It points at the shortest training of the baseline, which is worse than its best length.
    assert found.gain("act-s").mean == pytest.approx(0.1 - 0.2)
    assert found.regret().mean == pytest.approx(0.6 - 0.1)
    assert found.harmed("act-s") == 3


def test_an_error_of_chance_tells_nothing():
    rng = np.random.default_rng(0)
    ways = foresight(lambda rate, r: rng.random(), replicates=200).among_ways()
    assert ways is not None and ways.low is not None and ways.high is not None
    assert ways.low < 0 < ways.high


def test_a_single_length_says_nothing_of_lengths():
    once = Foresight(tuple(Foretold(0, way, 600, 0.1, 0.5) for way in WAYS[:1]))
    assert once.among_ways() is None and once.among_lengths() is None


def test_it_is_kept(tmp_path):
    found = foresight(lambda rate, r: 1 - rate)
    found.save(tmp_path / "foresight.json")
    assert Foresight.load(tmp_path / "foresight.json") == found
    assert "| More than 3 points worse than act-s | 0 of 3 |" in found.table("act-s")
