import json
import time
from dataclasses import replace

import numpy as np
import pytest

from outtakes.errors import ArtifactError, ConfigError, UnknownName
from outtakes.evaluation.comparison import Comparison, compare
from outtakes.evaluation.statistics import holm
from tests.evaluation.simulated_experiments import Setting


def outcomes(difference: float = 0.2, n_seeds: int = 5) -> dict[str, dict[int, np.ndarray]]:
    setting = Setting(n_seeds, 0.6, 0.6 + difference, seed_sd=0.02)
    arm, baseline = next(setting.experiments(1, np.random.default_rng(0)))
    return {"successes only": dict(enumerate(baseline)), "nearest failures": dict(enumerate(arm))}


def compared(found=None, treatment: str = "nearest failures") -> Comparison:
    outcomes_of_arms = outcomes() if found is None else found
    return compare(outcomes_of_arms, baseline="successes only", treatment=treatment)


def test_the_verdict_says_points_interval_p_and_n():
    comparison = compared()
    d = comparison.differences["nearest failures"]
    assert comparison.conclusive
    assert comparison.verdict() == (
        f"nearest failures changed the success rate by +{100 * d.difference:.1f} points against "
        f"successes only (95 % interval +{100 * d.low:.1f} to +{100 * d.high:.1f}, "
        f"{'p < 0.001' if d.p < 0.001 else f'p = {d.p:.3f}'}, 5 seeds × 100 rollouts)."
    )


def test_the_verdict_is_inconclusive_when_the_interval_includes_zero():
    comparison = compared(outcomes(difference=0.0))
    assert not comparison.conclusive
    assert comparison.verdict().startswith("Inconclusive: nearest failures changed")
    assert "−" in comparison.verdict()


def test_a_single_seed_is_never_conclusive():
    comparison = compared(outcomes(difference=0.3, n_seeds=1))
    assert comparison.differences["nearest failures"].excludes_zero
    assert comparison.verdict().startswith("Inconclusive: ")
    assert "1 seed × 100 rollouts" in comparison.verdict()


def test_several_arms_are_adjusted_and_the_verdict_says_so():
    found = outcomes(difference=0.1)
    found["all failures"] = outcomes(difference=0.0)["nearest failures"]
    comparison = compared(found)
    raw = {arm: difference.p for arm, difference in comparison.differences.items()}
    assert list(comparison.adjusted_p.values()) == holm(list(raw.values()))
    assert comparison.adjusted_p.keys() == raw.keys()
    assert "adjusted for 2 arms" in comparison.verdict()


def test_arms_are_paired_over_shared_seeds_and_rated_over_their_own():
    found = outcomes(n_seeds=6)
    del found["nearest failures"][0]
    del found["successes only"][5]
    comparison = compared(found)
    assert comparison.rates["nearest failures"].n_seeds == 5
    assert comparison.differences["nearest failures"].n_seeds == 4
    shared = range(1, 5)
    assert comparison.differences["nearest failures"].difference == pytest.approx(
        np.mean([found["nearest failures"][s] for s in shared])
        - np.mean([found["successes only"][s] for s in shared])
    )


def test_seeds_are_paired_by_number_whatever_their_order():
    found = outcomes()
    turned = {arm: dict(reversed(seeds.items())) for arm, seeds in found.items()}
    assert compared(turned) == compared(found)


def test_an_arm_does_not_depend_on_the_arms_beside_it():
    found = outcomes()
    beside = {"other": found["nearest failures"], **found}
    assert (
        compared(beside).differences["nearest failures"]
        == compared(found).differences["nearest failures"]
    )


def test_what_is_saved_is_what_is_loaded(tmp_path):
    comparison = compared()
    comparison.save(tmp_path / "comparison.json")
    assert Comparison.load(tmp_path / "comparison.json") == comparison


@pytest.mark.parametrize(
    "change",
    [{"version": 99}, {"kind": "scores"}, {"rates": {}}, {"rates": 3}, {"treatment": "other"}],
)
def test_a_file_of_another_version_or_garbled_is_refused(tmp_path, change):
    path = tmp_path / "comparison.json"
    compared().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ArtifactError):
        Comparison.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no comparison file"):
        Comparison.load(tmp_path / "comparison.json")


def test_unknown_and_equal_arms_are_refused():
    with pytest.raises(UnknownName, match="did you mean 'nearest failures'"):
        compared(treatment="nearest failure")
    with pytest.raises(ConfigError, match="compared with itself"):
        compared(treatment="successes only")


def test_arms_without_a_shared_seed_are_refused():
    found = outcomes()
    found["nearest failures"] = {s + 10: x for s, x in found["nearest failures"].items()}
    with pytest.raises(ArtifactError, match="share no training seed"):
        compared(found)


def test_seeds_with_other_numbers_of_initial_states_are_refused():
    found = outcomes()
    found["nearest failures"][2] = found["nearest failures"][2][:50]
    with pytest.raises(ArtifactError, match=r"from \[50, 100\] initial states"):
        compared(found)


def test_an_incomplete_comparison_is_refused():
    with pytest.raises(ArtifactError, match="do not go with differences"):
        replace(compared(), adjusted_p={})


def test_twelve_arms_are_compared_in_under_two_seconds():
    rng = np.random.default_rng(0)
    found = {f"arm {k}": {s: rng.random(100) < 0.7 for s in range(10)} for k in range(12)}
    start = time.process_time()
    compare(found, baseline="arm 0", treatment="arm 1")
    assert time.process_time() - start < 2
