"""The two-stage sample of (time step, success) pairs, on planted divergences."""

import numpy as np
import pytest

from outtakes.errors import ConfigError
from outtakes.ranking.attention.pairs import Pairs

STEPS, SUCCESSES = 30, 20


def planted(seed: int = 0) -> np.ndarray:
    """(T, S) with an effect of the time step, one of the success, and noise."""
    rng = np.random.default_rng(seed)
    return rng.gamma(2, 1, (STEPS, 1)) + rng.gamma(2, 1, SUCCESSES) + rng.random((STEPS, SUCCESSES))


def at(values: np.ndarray, pairs: Pairs) -> np.ndarray:
    return values[pairs.times[:, None], pairs.successes]


def many(count: int, steps: int = STEPS, n_successes: int = SUCCESSES, repeats: int = 4000):
    rng = np.random.default_rng(1)
    return [Pairs.draw(count, steps, n_successes, rng) for _ in range(repeats)]


@pytest.mark.parametrize(
    ("count", "shape"),
    [(4, (2, 2)), (40, (5, 8)), (100, (13, 8)), (240, (30, 8)), (480, (30, 16))],
)
def test_the_estimate_and_its_variance_are_unbiased(count, shape):
    values = planted()
    draws = many(count)
    assert {at(values, pairs).shape for pairs in draws} == {shape}
    totals = np.array([pairs.total(at(values, pairs)) for pairs in draws])
    variances = np.array([pairs.standard_error(at(values, pairs)) ** 2 for pairs in draws])
    exact = values.mean(axis=0).sum()
    assert abs(totals.mean() - exact) < 4 * totals.std() / np.sqrt(len(totals))
    assert variances.mean() == pytest.approx(totals.var(ddof=1), rel=0.12)


def test_when_every_success_is_compared_only_time_steps_are_sampled():
    values = planted()[:, :5]
    draws = many(50, n_successes=5)
    assert {pairs.successes.shape for pairs in draws} == {(1, 5)}
    totals = np.array([pairs.total(at(values, pairs)) for pairs in draws])
    variances = np.array([pairs.standard_error(at(values, pairs)) ** 2 for pairs in draws])
    assert variances.mean() == pytest.approx(totals.var(ddof=1), rel=0.12)


@pytest.mark.parametrize("count", [STEPS * SUCCESSES, 10**6])
def test_asking_for_every_pair_or_more_is_exact(count):
    pairs, every = many(count, repeats=1)[0], Pairs.every(STEPS, SUCCESSES)
    assert np.array_equal(pairs.times, every.times)
    assert np.array_equal(pairs.successes, every.successes)
    values = planted()
    assert pairs.total(values) == pytest.approx(values.mean(axis=0).sum())
    assert pairs.standard_error(values) == 0
    assert np.allclose(pairs.over_time(values), values.mean(axis=1))
    assert np.allclose(pairs.by_success(values), values.mean(axis=0))


@pytest.mark.parametrize("steps", [1, 2, 7, 300])
@pytest.mark.parametrize("n_successes", [1, 2, 7, 300])
@pytest.mark.parametrize("count", [4, 5, 100, 3000])
def test_no_pair_comes_twice_and_enough_are_drawn(steps, n_successes, count):
    pairs = many(count, steps, n_successes, repeats=1)[0]
    drawn = np.broadcast_to(pairs.successes, (len(pairs.times), pairs.successes.shape[1]))
    assert all(len(set(row)) == len(row) for row in drawn)
    assert len(set(pairs.times)) == len(pairs.times)
    assert set(pairs.times) <= set(range(steps)) and set(drawn.flat) <= set(range(n_successes))
    assert drawn.size >= min(count, steps * n_successes)
    assert drawn.size <= max(2 * count, 16)
    assert np.isfinite(pairs.standard_error(np.ones(drawn.shape)))


def test_what_was_not_compared_is_not_known():
    values = planted()
    pairs = many(16, repeats=1)[0]
    over_time, by_success = pairs.over_time(at(values, pairs)), pairs.by_success(at(values, pairs))
    assert set(np.flatnonzero(np.isfinite(over_time))) == set(pairs.times)
    assert set(np.flatnonzero(np.isfinite(by_success))) == set(pairs.successes.flat)
    first = pairs.successes[0, 0]
    rows = pairs.times[(pairs.successes == first).any(axis=1)]
    assert by_success[first] == pytest.approx(values[rows, first].mean())


def test_too_few_pairs_are_refused():
    with pytest.raises(ConfigError, match="3 pairs for each failure: ask for 4 or more"):
        Pairs.draw(3, STEPS, SUCCESSES, np.random.default_rng(0))
