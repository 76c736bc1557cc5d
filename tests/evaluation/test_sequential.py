"""Evidence that may be looked at after every round."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from outtakes.errors import ArtifactError
from outtakes.evaluation.sequential import EXPECTED, WEIGHTS, Evidence, evidence, log_wealth


def rounds(count: int, n: int, difference: float, seed: int = 0) -> np.ndarray:
    """(count, n) rounds of which about half differ, with this mean."""
    rng, half = np.random.default_rng(seed), np.array([0.25, 0.5, 0.25])
    chances = half + np.array([-difference, 0, difference]) / 2
    return rng.choice([-1.0, 0.0, 1.0], size=(count, n), p=chances)


def test_wealth_is_what_every_gambler_has_won():
    differences = rounds(1, 30, 0.1)[0]
    expected = 0.0
    for weight, delta in zip(WEIGHTS, EXPECTED, strict=True):
        for side in (1, -1):
            own, squares = 1.0, [0.5] * 5
            for d in differences:
                own *= 1 + side * min(delta / np.mean(squares), 0.9 / 1.2) * (d - 0.2)
                squares.append((d - 0.2) ** 2)
            expected += weight / 2 * own
    assert np.exp(log_wealth(differences, 0.2)[-1]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("chances", "mean"), [((0.2, 0.6, 0.2), 0.0), ((0.5, 0.0, 0.5), 0.0), ((0.1, 0.2, 0.7), 0.6)]
)
def test_nobody_wins_on_average_against_the_truth(chances, mean):
    total = 0.0
    for outcomes in product(zip((-1.0, 0.0, 1.0), chances, strict=True), repeat=5):
        differences, odds = np.array(outcomes).T
        total += odds.prod() * np.exp(log_wealth(differences, mean)[-1])
    assert total == pytest.approx(1)


@pytest.mark.parametrize("truth", [0.0, 0.3])
def test_looking_after_every_round_is_rarely_wrong(truth):
    wealth = log_wealth(rounds(1000, 300, truth), truth)
    assert (wealth.max(axis=1) >= np.log(20)).mean() <= 0.05


def test_a_difference_of_15_points_is_found():
    wealth = log_wealth(rounds(200, 450, 0.15))
    assert (wealth.max(axis=1) >= np.log(20)).mean() >= 0.9


def test_the_confidence_sequence_is_what_was_never_refuted_and_closes_in():
    for differences in rounds(8, 150, 0.3, seed=1):
        few, many = evidence(differences[:50]), evidence(differences)
        refuted = log_wealth(differences, 0.3).max() >= np.log(20)
        assert (many.low <= 0.3 <= many.high) is not bool(refuted)
        assert many.high - many.low < few.high - few.low
        assert few.low <= many.low <= many.high <= few.high
        assert (many.low > 0) == (many.p <= 0.05)


def test_it_is_clear_when_0_is_refuted_or_all_that_matters_is():
    assert Evidence(0.2, 0.01, 0.4, 0.04, 9).clear(0.1)
    assert Evidence(-0.2, -0.4, -0.01, 0.04, 9).clear(0.1)
    assert not Evidence(0.2, -0.01, 0.4, 0.06, 9).clear(0.1)
    assert Evidence(0.0, -0.05, 0.09, 1.0, 9).clear(0.1)
    assert not Evidence(0.0, -0.11, 0.09, 1.0, 9).clear(0.1)


@pytest.mark.parametrize("differences", [[], [0.5, 1.5], [np.nan]])
def test_what_is_no_difference_of_outcomes_is_refused(differences):
    with pytest.raises(ArtifactError, match="outside"):
        evidence(np.array(differences))


def test_evidence_comes_back_as_it_was(tmp_path: Path):
    path = tmp_path / "until_clear.json"
    found = evidence(rounds(1, 20, 0.3)[0])
    found.save(path, {"baseline": "act"})
    assert Evidence.load(path) == found
    path.write_text('{"kind": "until-clear", "version": 1}')
    with pytest.raises(ArtifactError, match="evaluate again"):
        Evidence.load(path)
