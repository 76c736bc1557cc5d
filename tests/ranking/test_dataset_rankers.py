"""Rankers that need the dataset alone, each against a plain form and a toy with a known answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import digamma
from sklearn.ensemble import HistGradientBoostingClassifier

from outtakes.data.normalize import Moments
from outtakes.errors import DatasetError
from outtakes.ranking.chance import RandomRanker
from outtakes.ranking.coverage import CoverageRanker, GreedyCoverageRanker
from outtakes.ranking.information import InformationRanker, information
from outtakes.ranking.length import LengthRanker
from outtakes.ranking.measure import Needs
from outtakes.ranking.neighbours import NeighboursRanker
from outtakes.ranking.quality import TREES, QualityRanker, folds_of
from outtakes.ranking.ranker import DatasetRanker, ranker, rankers
from outtakes.ranking.ranks import ranks
from outtakes.ranking.smoothness import SmoothnessRanker, spectral_arc_length
from outtakes.ranking.warping import WarpingRanker, warped_distances
from tests.demos import make_demos
from tests.ranking.toy import moved, of_paths, score, slowed

ALL = [
    found
    for found in map(ranker, rankers())
    if isinstance(found, DatasetRanker) and found.measure.needs is Needs.DATASET
]
KEYS = [found.measure.key for found in ALL]
LENGTH_FREE = [
    found
    for found in ALL
    if found.measure.key in ("coverage", "coverage-greedy", "neighbours", "random")
]
BY_PLACE = ("random", "quality", "information")
"""They draw by place or by index."""


def line(start: float, steps: int = 20, aside: float = 0.0) -> np.ndarray:
    """A straight path in the plane from (start, aside) to (start + 1, aside)."""
    along = start + np.linspace(0, 1, steps)
    return np.stack([along, np.full(steps, aside)], axis=1)


def standardised(demos) -> list[np.ndarray]:
    """(T, D) of each demonstration, in standard deviations of the successes."""
    seen = [np.hstack([demo.state, demo.environment_state]) for demo in demos]
    known = np.concatenate([x for x, s in zip(seen, demos.successes, strict=True) if s])
    moments = Moments.of(known)
    return [moments.standardise(torch.from_numpy(x)).double().numpy() for x in seen]


@pytest.mark.parametrize("found", ALL, ids=KEYS)
def test_every_failure_is_scored_whatever_the_order(found):
    demos = make_demos(4, 5, length=(12, 20))
    here = score(found, demos)
    assert list(here) == demos.episode_indices[~demos.successes].tolist()
    if found.measure.key not in BY_PLACE:
        order = np.random.default_rng(0).permutation(9)
        there = score(found, moved(demos, order))
        back = {int(demos.episode_indices[order[e // 2]]): value for e, value in there.items()}
        assert back == pytest.approx(here)


@pytest.mark.parametrize("found", LENGTH_FREE, ids=lambda found: found.measure.key)
def test_half_the_speed_is_the_same_score(found):
    demos = make_demos(3, 4, length=(12, 20))
    assert score(found, slowed(demos)) == pytest.approx(score(found, demos), rel=1e-4)


@pytest.mark.parametrize("found", ALL, ids=KEYS)
@pytest.mark.parametrize("success", [True, False])
def test_one_outcome_alone_is_refused(found, success):
    demos = make_demos()
    alone = demos.subset(demos.episode_indices[demos.successes == success].tolist())
    with pytest.raises(DatasetError, match=f"no {'failure' if success else 'success'} among 3"):
        found.score(alone)


def test_coverage_is_the_distance_to_the_nearest_start():
    demos = make_demos(4, 5)
    seen = standardised(demos)
    starts = [x[0] for x, success in zip(seen, demos.successes, strict=True) if success]
    expected = {
        demo.episode_index: min(np.linalg.norm(x[0] - start) for start in starts)
        for demo, x in zip(demos, seen, strict=True)
        if demo.outcome == "failure"
    }
    assert score(CoverageRanker(), demos) == pytest.approx(expected)


def test_greedy_coverage_takes_no_second_failure_from_one_start():
    demos = of_paths([line(0), line(0.1)], [line(3), line(3.01), line(-2), line(0.05)])
    plain, greedy = score(CoverageRanker(), demos), score(GreedyCoverageRanker(), demos)
    assert sorted(plain, key=plain.__getitem__, reverse=True) == [3, 2, 4, 5]
    assert sorted(greedy, key=greedy.__getitem__, reverse=True)[:2] == [3, 4]
    scale = plain[3] / 2.91
    assert greedy == pytest.approx(
        {3: 2.91 * scale, 4: 2 * scale, 5: 0.05 * scale, 2: 0.01 * scale}, rel=1e-3
    )


def test_starts_that_only_pictures_tell_apart():
    demos = make_demos(3, 3, camera=True)
    images = demos.images["overhead"].copy()
    first = images[demos.starts] = 100
    images[demos.starts[demos.episode_indices == 6], 10:30, 20:40] = 250
    blind = np.zeros((len(images), 0), np.float32)
    seen = replace(demos, environment_state=blind, images={"overhead": images})
    found = score(CoverageRanker(), seen)
    assert first and max(found, key=found.__getitem__) == 6
    assert [v for e, v in found.items() if e != 6] == [0.0, 0.0]
    given = CoverageRanker(embed=lambda frames: frames[:, :1, 0, 0].astype(np.float32))
    assert set(score(given, seen).values()) == {0.0}


def test_neighbours_are_those_of_a_plain_search():
    demos = make_demos(3, 3)
    seen = standardised(demos)
    paths = [x for x, success in zip(seen, demos.successes, strict=True) if success]
    expected = {}
    for demo, x in zip(demos, seen, strict=True):
        if demo.outcome == "failure":
            to_each = [[np.linalg.norm(path - o, axis=1).min() for path in paths] for o in x]
            expected[demo.episode_index] = np.mean([sorted(row)[:2] for row in to_each])
    assert score(NeighboursRanker(k=2), demos) == pytest.approx(expected, rel=1e-4)


def test_a_failure_that_stays_where_successes_were_is_near():
    demos = of_paths([line(0), line(0, aside=0.1)], [line(0, 9, aside=0.05), line(0, 40, aside=2)])
    found = NeighboursRanker().score(demos)
    assert found.values[0] < found.values[1] / 10
    assert [len(curve) for curve in found.over_time] == [9, 40]
    assert found.over_time[1].mean() == pytest.approx(found.values[1])


def stroke(steps: int, seconds: float = 1.0) -> np.ndarray:
    """Speed of a minimum-jerk movement."""
    t = np.linspace(0, 1, steps)
    return 30 * t**2 * (1 - t) ** 2 / seconds


def test_spectral_arc_length_is_the_length_of_the_curve():
    speed, fps = stroke(40) + 0.2 * np.abs(np.sin(np.arange(40))), 20.0
    frequencies = np.linspace(0, 10, 20001)
    times = np.arange(40) / fps
    spectrum = np.abs(np.exp(-2j * np.pi * np.outer(frequencies, times)) @ speed) / speed.sum()
    last = np.flatnonzero(spectrum >= 0.05)[-1]
    curve = spectrum[: last + 1]
    expected = -np.hypot(1 / last, np.diff(curve)).sum()
    assert spectral_arc_length(speed, fps) == pytest.approx(expected, rel=0.02)


def test_smoothness_knows_neither_size_nor_duration_but_trembling():
    smooth = spectral_arc_length(stroke(60), 20)
    assert spectral_arc_length(7 * stroke(60), 20) == pytest.approx(smooth)
    assert spectral_arc_length(stroke(120, 2.0), 20) == pytest.approx(smooth, rel=0.05)
    assert spectral_arc_length(np.concatenate([stroke(30), stroke(30)]), 20) < smooth - 0.2
    assert spectral_arc_length(np.zeros(9), 20) == 0
    path = np.cumsum(stroke(60))[:, None] / 60
    trembling = path + 0.05 * np.sin(np.arange(60))[:, None]
    found = score(SmoothnessRanker(), of_paths([path], [trembling, path]))
    assert found[2] > found[1] + 0.5


def test_length_is_the_number_of_frames():
    assert score(LengthRanker(), of_paths([line(0)], [line(0, 7), line(0, 9)])) == {1: 7, 2: 9}


def test_a_random_number_depends_on_seed_and_episode_alone():
    demos = make_demos(3, 3)
    found = score(RandomRanker(), demos)
    assert len(set(found.values())) == 3
    fewer = demos.subset([*demos.episode_indices[demos.successes].tolist(), 6])
    assert score(RandomRanker(), fewer) == {6: found[6]}
    assert score(RandomRanker(1), demos) != found


def plain_warping(a: np.ndarray, b: np.ndarray) -> float:
    """Dynamic time warping by its recursion."""
    cost = np.full((len(a) + 1, len(b) + 1), np.inf)
    cost[0, 0] = 0
    for i, x in enumerate(a, start=1):
        for j, y in enumerate(b, start=1):
            before = min(cost[i - 1, j], cost[i, j - 1], cost[i - 1, j - 1])
            cost[i, j] = before + np.square(x - y).sum()
    return float(np.sqrt(cost[-1, -1]))


def test_warped_distances_are_those_of_the_recursion():
    rng = np.random.default_rng(0)
    some, others = rng.normal(size=(3, 7, 2)), rng.normal(size=(2, 7, 2))
    expected = [[plain_warping(a, b) for b in others] for a in some]
    assert np.allclose(warped_distances(some, others), expected)


def test_warping_knows_order_and_not_pace():
    there, pace = line(0, 50), np.linspace(0, 1, 80) ** 2
    slow = np.stack([pace, np.zeros(80)], axis=1)
    back = there[::-1]
    demos = of_paths([there, line(0, 30)], [slow, back])
    warped, near = score(WarpingRanker(), demos), score(NeighboursRanker(), demos)
    assert warped[2] < 0.1 * warped[3]
    assert near[2] == pytest.approx(near[3], abs=0.02)
    found = WarpingRanker(k=1).score(demos)
    assert found.distances is not None
    assert np.allclose(found.distances.min(axis=1), found.values)


def test_half_the_speed_hardly_moves_what_is_resampled():
    demos = make_demos(6, 6, length=(30, 40))
    smooth = replace(
        demos, state=np.cumsum(demos.state, axis=0) / 3, environment_state=demos.state[:, :0]
    )
    for found in (WarpingRanker(), QualityRanker(folds=3)):
        both = [score(found, demos) for demos in (smooth, slowed(smooth))]
        places = [ranks(np.array(list(own.values()))) for own in both]
        assert np.corrcoef(places)[0, 1] > 0.8


def test_quality_is_the_probability_of_what_was_held_out():
    demos = make_demos(4, 4, length=(25, 26))
    seen, fold = standardised(demos), folds_of(demos.successes, 2, 0)
    assert sorted(zip(fold, demos.successes, strict=True)) == [
        (f, s) for f in (0, 1) for s in (False, False, True, True)
    ]
    expected = {}
    for i in np.flatnonzero(~demos.successes):
        known = [j for j in range(8) if fold[j] != fold[i]]
        tree = HistGradientBoostingClassifier(**TREES)
        tree.fit(np.concatenate([seen[j] for j in known]), np.repeat(demos.successes[known], 25))
        expected[int(demos.episode_indices[i])] = tree.predict_proba(seen[i])[:, 1].mean()
    assert score(QualityRanker(folds=2), demos) == pytest.approx(expected, abs=1e-6)


def test_a_failure_that_looks_like_success_has_quality():
    sides = [line(0, 25, aside=side) for side in (0.0, 0.02, 0.04, 0.06)]
    failures = [line(0, 25, aside=side) for side in (1.0, 1.02, 1.04)]
    half = np.concatenate([line(0, 25, aside=0.03)[:13], line(0, 25, aside=1.03)[13:]])
    found = score(QualityRanker(folds=2), of_paths(sides, [*failures, half]))
    assert max(found, key=found.__getitem__) == 7
    assert max(found[e] for e in (4, 5, 6)) < 0.2 < found[7] < 0.9


def plain_information(x: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """Kraskov's first estimator, sample by sample."""
    found = []
    for i in range(len(x)):
        to_x = np.abs(np.delete(x, i, axis=0) - x[i]).max(axis=1)
        to_y = np.abs(np.delete(y, i, axis=0) - y[i]).max(axis=1)
        radius = np.sort(np.maximum(to_x, to_y))[k - 1]
        near = [np.count_nonzero(to < radius) for to in (to_x, to_y)]
        found.append(digamma(k) + digamma(len(x)) - digamma(near[0] + 1) - digamma(near[1] + 1))
    return np.array(found)


def test_information_is_kraskovs_estimate():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 2))
    expected = np.mean([plain_information(x, y, k) for k in (2, 5)], axis=0)
    assert np.allclose(information(x, y, (2, 5, 60)), expected)
    assert np.array_equal(information(x[:2], y[:2], (5, 6)), [0, 0])


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_information_of_a_gaussian_is_known(correlation):
    rng = np.random.default_rng(1)
    x, noise = rng.normal(size=(2, 1500, 1))
    y = correlation * x + np.sqrt(1 - correlation**2) * noise
    found = information(x, y, (5, 6, 7)).mean()
    assert found == pytest.approx(-0.5 * np.log(1 - correlation**2), abs=0.07)


def test_failures_whose_actions_follow_from_what_they_see_have_information():
    demos = make_demos(6, 6, length=(30, 40))
    action, failures = demos.action.copy(), np.flatnonzero(~demos.successes)
    rng = np.random.default_rng(0)
    for i in range(len(demos)):
        rows = slice(demos.starts[i], demos.starts[i] + demos.lengths[i])
        wild = i in failures[:3]
        action[rows] = rng.normal(size=action[rows].shape) if wild else demos.state[rows, :2]
    found = score(InformationRanker(), replace(demos, action=action, fps=2.0))
    assert set(sorted(found, key=found.__getitem__)[:3]) == set(
        demos.episode_indices[failures[:3]].tolist()
    )
