from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from outtakes.errors import ArtifactError
from outtakes.evaluation.crossed import crossed_mean, resampled_means
from outtakes.evaluation.statistics import (
    holm,
    mcnemar_exact,
    mean_difference,
    spearman,
    success_difference,
    success_rate,
    wilson_interval,
)
from tests.evaluation.simulated_experiments import Setting, coverage, differences

SETTING = Setting(n_seeds=5, baseline=0.7, arm=0.78, seed_sd=0.04)


def one_experiment(seed: int = 3, **changes) -> tuple[np.ndarray, np.ndarray]:
    setting = replace(SETTING, **changes)
    return next(setting.experiments(1, np.random.default_rng(seed)))


def difference_of(arm, baseline, **options):
    return success_difference(arm, baseline, rng=np.random.default_rng(0), **options)


class TestWilson:
    def test_textbook_values(self):
        # Newcombe 1998, Statistics in Medicine 17, Table I, method 3.
        assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
        assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
        assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)

    @given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_holds_the_rate_and_mirrors(self, counts):
        successes, trials = counts
        low, high = wilson_interval(successes, trials)
        assert 0 <= low <= successes / trials <= high <= 1
        mirrored = wilson_interval(trials - successes, trials)
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)

    @pytest.mark.parametrize("counts", [(0, 0), (3, 2), (-1, 5)])
    def test_refuses_counts_without_a_rate(self, counts):
        with pytest.raises(ArtifactError, match="have no rate"):
            wilson_interval(*counts)


class TestMcNemar:
    def test_is_the_binomial_test_on_the_discordant_pairs(self):
        a = np.array([1] * 9 + [0] * 2 + [1] * 40, dtype=bool)
        b = np.array([0] * 9 + [1] * 2 + [1] * 40, dtype=bool)
        assert mcnemar_exact(a, b) == pytest.approx(stats.binomtest(9, 11).pvalue)
        assert mcnemar_exact(a, b) == mcnemar_exact(b, a)

    def test_runs_that_never_disagree_do_not_differ(self):
        runs = np.array([True, False, True])
        assert mcnemar_exact(runs, runs) == 1.0


class TestHolm:
    def test_known_example(self):
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_never_above_one_and_nothing_to_adjust(self):
        assert holm([0.9, 0.8]) == [1.0, 1.0]
        assert holm([0.04]) == [0.04]
        assert holm([]) == []


class TestCrossedMean:
    def test_components_of_a_known_layout(self):
        # Rows 0 and 3 apart, columns 0 and 1 apart, nothing else: no cell variance is left.
        values = np.array([[0.0, 1.0], [3.0, 4.0]])
        found = crossed_mean(values)
        assert found.mean == 2.0
        assert found.variance == pytest.approx(4.5 / 2 + 0.5 / 2)

    def test_variance_is_the_true_one_on_average(self):
        rng = np.random.default_rng(0)
        i, j, seed, state, cell = 6, 20, 1.0, 2.0, 3.0
        draws = [
            seed * rng.standard_normal((i, 1))
            + state * rng.standard_normal(j)
            + cell * rng.standard_normal((i, j))
            for _ in range(4000)
        ]
        found = [crossed_mean(values) for values in draws]
        truth = seed**2 / i + state**2 / j + cell**2 / (i * j)
        assert np.var([f.mean for f in found]) == pytest.approx(truth, rel=0.08)
        assert np.mean([f.variance for f in found]) == pytest.approx(truth, rel=0.08)

    def test_seeds_that_happen_to_agree_do_not_make_the_mean_certain(self):
        values = np.kron(np.eye(4), np.ones((1, 5)))  # every seed has the same rate
        assert crossed_mean(values).variance > 0

    def test_one_seed_is_the_usual_standard_error(self):
        values = np.random.default_rng(0).standard_normal((1, 30))
        found = crossed_mean(values)
        assert found.standard_error == pytest.approx(stats.sem(values[0]))
        assert found.degrees_of_freedom == 29

    def test_resampling_has_the_variance_owen_derives(self):
        arm, baseline = one_experiment()
        d = arm.astype(float) - baseline
        i, j = d.shape
        centred = d - d.mean()
        seeds, states = centred.mean(axis=1), centred.mean(axis=0)
        cells = centred - seeds[:, None] - states
        expected = (seeds**2).mean() / i + (states**2).mean() / j + (cells**2).mean() / (i * j)
        found = resampled_means(d, 40_000, np.random.default_rng(0))
        assert found.mean() == pytest.approx(d.mean(), abs=0.001)
        assert found.var() == pytest.approx(expected, rel=0.04)


class TestDifference:
    def test_swapping_the_arms_turns_the_sign_and_nothing_else(self):
        arm, baseline = one_experiment()
        there, back = difference_of(arm, baseline), difference_of(baseline, arm)
        assert (back.difference, back.low, back.high) == pytest.approx(
            (-there.difference, -there.high, -there.low)
        )
        assert back.p == there.p

    def test_order_of_seeds_and_states_does_not_matter(self):
        arm, baseline = one_experiment()
        rng = np.random.default_rng(1)
        seeds, states = rng.permutation(5), rng.permutation(100)
        one = difference_of(arm, baseline)
        other = difference_of(arm[seeds][:, states], baseline[seeds][:, states])
        assert other.difference == pytest.approx(one.difference)
        # Other draws of the resampling: equal up to its noise.
        assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=0.004)
        assert other.p == pytest.approx(one.p, abs=0.01)

    def test_equal_generators_give_equal_results(self):
        arm, baseline = one_experiment()
        assert difference_of(arm, baseline) == difference_of(arm, baseline)

    def test_pairing_by_initial_state_counts(self):
        arm, baseline = one_experiment(state_sd=4.0, seed_sd=0.02)
        shuffled = baseline[:, np.random.default_rng(0).permutation(100)]
        paired, unpaired = difference_of(arm, baseline), difference_of(arm, shuffled)
        assert paired.high - paired.low < 0.8 * (unpaired.high - unpaired.low)

    def test_copies_of_one_seed_are_no_new_rollouts(self):
        arm, baseline = one_experiment(n_seeds=1)
        copies = difference_of(np.repeat(arm, 10, axis=0), np.repeat(baseline, 10, axis=0))
        single = difference_of(arm, baseline)
        assert copies.high - copies.low == pytest.approx(single.high - single.low, rel=0.1)

    @pytest.mark.parametrize(("level", "alpha"), [(0.9, 0.1), (0.95, 0.05), (0.99, 0.01)])
    @pytest.mark.parametrize("n_seeds", [1, 2, 5, 10])
    def test_p_and_interval_agree(self, n_seeds, level, alpha):
        setting = replace(SETTING, n_seeds=n_seeds)
        rng = np.random.default_rng(n_seeds)
        for arm, baseline in setting.experiments(150, rng):
            found = success_difference(arm, baseline, rng=rng, resamples=499, level=level)
            assert found.excludes_zero == (found.p < alpha)
            assert -1 <= found.low <= found.difference <= found.high <= 1

    def test_real_values_scale_and_shift(self):
        rng = np.random.default_rng(0)
        a, b = rng.gamma(2.0, size=(5, 40)), rng.gamma(2.5, size=(5, 40))
        one = mean_difference(a, b, rng=np.random.default_rng(0))
        other = mean_difference(7 + 100 * a, 7 + 100 * b, rng=np.random.default_rng(0))
        assert (other.low, other.high) == pytest.approx((100 * one.low, 100 * one.high))
        assert other.p == pytest.approx(one.p)

    def test_booleans_are_a_special_case_of_real_values(self):
        arm, baseline = one_experiment()
        real = mean_difference(
            arm.astype(float), baseline.astype(float), rng=np.random.default_rng(0)
        )
        assert real == difference_of(arm, baseline)

    def test_real_values_of_one_seed_are_a_paired_t_test(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(0.3, 1, (1, 50)), rng.normal(0, 1, (1, 50))
        found = mean_difference(a, b, rng=np.random.default_rng(0))
        known = stats.ttest_rel(a[0], b[0])
        assert found.p == pytest.approx(known.pvalue, abs=0.01)
        assert (found.low, found.high) == pytest.approx(
            tuple(known.confidence_interval()), abs=0.015
        )
        assert "one seed" in found.method


class TestDegenerateDifferences:
    def test_equal_arms(self):
        arm, _ = one_experiment()
        found = difference_of(arm, arm)
        # No disagreement at 100 states: Tango's interval is ± z² / (n + z²).
        assert (found.difference, found.p) == (0.0, 1.0)
        assert (found.low, found.high) == pytest.approx((-0.0370, 0.0370), abs=5e-5)

    def test_equal_real_values(self):
        values = np.random.default_rng(0).standard_normal((3, 9))
        found = mean_difference(values, values, rng=np.random.default_rng(0))
        assert (found.low, found.difference, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)

    def test_always_against_never(self):
        always = np.ones((5, 100), dtype=bool)
        found = difference_of(always, ~always)
        assert found.difference == found.high == 1.0
        assert 0.9 < found.low < 1.0
        assert found.p < 1e-6

    def test_one_arm_that_always_succeeds(self):
        _, baseline = one_experiment()
        found = difference_of(np.ones_like(baseline), baseline)
        assert found.difference == pytest.approx(1 - baseline.mean())
        assert 0 < found.low < found.difference < found.high
        assert found.p < 0.01

    def test_a_single_lucky_rollout_proves_nothing(self):
        baseline = np.ones((5, 100), dtype=bool)
        baseline[2, 40] = False
        assert difference_of(np.ones_like(baseline), baseline).p > 0.1

    def test_one_seed_falls_back_to_mcnemar(self):
        arm, baseline = one_experiment(n_seeds=1)
        found = difference_of(arm, baseline)
        assert found.p == mcnemar_exact(arm[0], baseline[0])
        assert "McNemar" in found.method
        assert "one seed" in found.method

    def test_interval_of_one_seed_is_tangos(self):
        gained, lost, pairs = 12, 2, 50
        arm = np.array([[1] * gained + [0] * lost + [1] * (pairs - gained - lost)], dtype=bool)
        baseline = np.array([[0] * gained + [1] * lost + [1] * (pairs - gained - lost)], dtype=bool)
        found = difference_of(arm, baseline)
        for end in (found.low, found.high):
            assert abs(tango_score(end, gained, lost, pairs)) == pytest.approx(1.96, abs=1e-3)


def tango_score(delta: float, gained: int, lost: int, pairs: int) -> float:
    """Score statistic with the constrained estimate found by brute force."""
    q = np.linspace(1e-9, (1 - delta) / 2 - 1e-9, 400_001)
    q = q[q + delta > 0]
    likelihood = (
        gained * np.log(q + delta)
        + lost * np.log(q)
        + (pairs - gained - lost) * np.log(1 - 2 * q - delta)
    )
    best = q[np.argmax(likelihood)]
    variance = pairs * (2 * best + delta - delta**2)
    return (gained - lost - pairs * delta) / np.sqrt(variance)


class TestSuccessRate:
    def test_numbers_of_a_small_arm(self):
        success = np.array([[1, 1, 0, 1], [1, 0, 0, 1]], dtype=bool)
        found = success_rate(success)
        assert found.rate == 0.625
        assert found.per_seed == (0.75, 0.5)
        assert found.sd == pytest.approx(0.25 / np.sqrt(2))
        assert (found.n_seeds, found.n_rollouts) == (2, 8)
        assert 0 <= found.low < 0.625 < found.high <= 1

    def test_one_seed_is_wilsons_interval(self):
        success = np.arange(100)[None] < 71
        found = success_rate(success)
        assert (found.low, found.high) == wilson_interval(71, 100)
        assert found.sd is None

    def test_where_all_succeed_the_seeds_count_as_one(self):
        found = success_rate(np.ones((5, 100), dtype=bool))
        assert (found.low, found.high) == wilson_interval(100, 100)

    def test_copies_of_one_seed_are_no_new_rollouts(self):
        success = np.arange(100)[None] < 71
        copies, single = success_rate(np.repeat(success, 10, axis=0)), success_rate(success)
        assert (copies.low, copies.high) == pytest.approx((single.low, single.high), abs=0.01)

    @pytest.mark.parametrize("n_seeds", [5, 10])
    @pytest.mark.parametrize("rate", [0.7, 0.9, 0.97])
    def test_covers(self, rate, n_seeds):
        setting = Setting(n_seeds, baseline=0.5, arm=rate, seed_sd=0.02)
        found = [success_rate(arm) for arm, _ in setting.experiments(600, np.random.default_rng(0))]
        held = np.mean([f.low <= rate <= f.high for f in found])
        assert 0.93 <= held <= 0.99

    @pytest.mark.parametrize("shape", [(0, 5), (3, 1), (4,)])
    def test_refuses_too_few_outcomes(self, shape):
        with pytest.raises(ArtifactError, match="expected \\(seeds, at least 2 initial states\\)"):
            success_rate(np.ones(shape, dtype=bool))


class TestCoverage:
    """Of the function that `compare` calls, over realistic experiments with known truth."""

    COUNT = 300

    @pytest.fixture(scope="class")
    @classmethod
    def found(cls):
        grid = [
            Setting(n_seeds, baseline, arm, seed_sd)
            for n_seeds in (5, 10)
            for seed_sd in (0.02, 0.06)
            for baseline, arm in ((0.5, 0.5), (0.9, 0.9), (0.6, 0.68), (0.82, 0.9))
        ]
        return {s: differences(s, cls.COUNT, resamples=499, seed=7) for s in grid}

    def test_95_percent_intervals_hold_the_truth_95_times_in_100(self, found):
        held = [coverage(results, setting.difference) for setting, results in found.items()]
        assert 0.93 <= np.mean(held) <= 0.97
        noise = 3 * np.sqrt(0.05 * 0.95 / self.COUNT)
        assert min(held) >= 0.93 - noise
        assert max(held) <= 0.97 + noise

    @pytest.mark.parametrize("n_seeds", [5, 10])
    def test_few_seeds_do_not_undercover(self, found, n_seeds):
        held = [coverage(r, s.difference) for s, r in found.items() if s.n_seeds == n_seeds]
        assert 0.94 <= np.mean(held) <= 0.975

    def test_null_comparisons_are_rarely_significant(self, found):
        rejected = [d.p < 0.05 for s, ds in found.items() if s.difference == 0 for d in ds]
        assert np.mean(rejected) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(rejected))

    def test_true_differences_are_found(self, found):
        for setting, results in found.items():
            if setting.difference > 0 and setting.seed_sd == 0.02:
                assert np.mean([d.p < 0.05 for d in results]) > 0.5


class TestRankCorrelation:
    def test_spearman_is_scipys_with_bonett_and_wrights_interval(self):
        x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        y = [2.0, 1.0, 4.0, 3.0, 7.0, 6.0, 5.0]
        found = spearman(x, y)
        assert found is not None
        assert found.rho == pytest.approx(1 - 6 * 12 / (7 * 48))
        assert found.p == pytest.approx(stats.spearmanr(x, y)[1])
        margin = 1.959964 * np.sqrt((1 + found.rho**2 / 2) / 4)
        assert np.arctanh([found.low, found.high]) == pytest.approx(
            np.arctanh(found.rho) + np.array([-margin, margin])
        )

    @pytest.mark.parametrize("rho", [0.0, 0.6])
    def test_spearman_interval_covers(self, rho):
        rng = np.random.default_rng(0)
        truth = 6 / np.pi * np.arcsin(rho / 2)  # of a bivariate normal
        pairs = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=(600, 40))
        found = [spearman(sample[:, 0].tolist(), sample[:, 1].tolist()) for sample in pairs]
        assert 0.93 <= np.mean([f is not None and f.low <= truth <= f.high for f in found]) <= 0.98

    def test_spearman_of_a_perfect_order(self):
        found = spearman([1, 2, 3, 4, 5], [10, 20, 30, 40, 50])
        assert found is not None
        assert (found.rho, found.high) == pytest.approx((1.0, 1.0))

    def test_spearman_is_none_where_undefined(self):
        assert spearman([1, 2, 3], [1, 2, 3]) is None
        assert spearman([1, 1, 1, 1], [1, 2, 3, 4]) is None

    def test_spearman_refuses_unpaired_values(self):
        with pytest.raises(ArtifactError, match="do not pair"):
            spearman([1, 2, 3, 4], [1, 2, 3])


def test_arms_that_do_not_pair_are_refused():
    with pytest.raises(ArtifactError, match="do not pair"):
        difference_of(np.ones((5, 10), bool), np.ones((5, 9), bool))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_outcomes_give_a_finite_interval_around_the_difference(data):
    shape = (data.draw(st.integers(1, 4)), data.draw(st.integers(2, 6)))
    bits = st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    arm, baseline = (np.array(data.draw(bits)).reshape(shape) for _ in range(2))
    found = difference_of(arm, baseline, resamples=199)
    assert -1 <= found.low <= found.difference <= found.high <= 1
    assert 0 < found.p <= 1
    assert found.excludes_zero == (found.p < 0.05)
