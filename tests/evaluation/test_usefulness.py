"""What failures are worth, from policies trained on random subsets of them."""

import numpy as np
import pytest

from outtakes.errors import ArtifactError, ConfigError
from outtakes.evaluation.usefulness import agreement, balanced_subsets, usefulness

FAILURES, SIZE = tuple(range(100, 120)), 6


def experiment(subsets: int, noise: float, seed: int = 0):
    """True effects, and rates that follow the model."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 0.02, len(FAILURES))
    true -= true.mean()
    taken = balanced_subsets(FAILURES, SIZE, subsets, rng)
    chosen = np.array([[f in subset for f in FAILURES] for subset in taken])
    return true, chosen, 0.4 + chosen @ true + rng.normal(0, noise, subsets)


def test_effects_are_found_exactly_when_there_is_no_noise():
    true, chosen, rates = experiment(60, noise=0.0)
    found = usefulness(FAILURES, chosen, rates)
    np.testing.assert_allclose(found.effects, true, atol=1e-12)
    assert found.reliability == pytest.approx(1)
    assert agreement(found, true).corrected == pytest.approx(1)


def test_standard_errors_and_the_corrected_correlation_are_as_large_as_they_say():
    errors, claimed, observed, corrected = [], [], [], []
    for seed in range(200):
        true, chosen, rates = experiment(150, noise=0.06, seed=seed)
        found = usefulness(FAILURES, chosen, rates)
        errors.append(found.effects - true)
        claimed.append(found.standard_errors**2)
        with_score = agreement(found, true)
        observed.append(with_score.correlation)
        corrected.append(with_score.corrected)
    assert np.var(errors) == pytest.approx(np.mean(claimed), rel=0.05)
    # A score that is the truth: noise hides that, the correction brings it back.
    assert np.mean(observed) < 0.9
    assert np.nanmedian(corrected) == pytest.approx(1, abs=0.06)


def test_subsets_use_every_failure_about_equally_often():
    taken = balanced_subsets(FAILURES, SIZE, 30, np.random.default_rng(0))
    assert {len(set(subset)) for subset in taken} == {SIZE}
    uses = np.bincount(np.ravel(taken) - FAILURES[0])
    assert uses.sum() == 30 * SIZE and uses.min() >= 5
    assert not set(taken[0]) & set(taken[1])


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ArtifactError, match="21 subsets cannot tell 20 failures apart"):
        usefulness(FAILURES, np.zeros((21, 20), bool), np.zeros(21))
    with pytest.raises(ConfigError, match="21 of 20 failures"):
        balanced_subsets(FAILURES, 21, 1, np.random.default_rng(0))


def test_of_failures_that_do_not_matter_nothing_is_said():
    _, chosen, _ = experiment(60, noise=0.0)
    found = usefulness(FAILURES, chosen, np.full(60, 0.5))
    assert found.reliability == 0 and np.isnan(agreement(found, np.arange(20.0)).corrected)
