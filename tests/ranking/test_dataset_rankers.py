"""Rankers that need the dataset alone, each against a plain form and a toy with a known answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from outtakes.data.normalize import Moments
from outtakes.errors import DatasetError
from outtakes.ranking.chance import RandomRanker
from outtakes.ranking.coverage import CoverageRanker, GreedyCoverageRanker
from outtakes.ranking.length import LengthRanker
from outtakes.ranking.measure import Needs
from outtakes.ranking.neighbours import NeighboursRanker
from outtakes.ranking.ranker import DatasetRanker, ranker, rankers
from outtakes.ranking.smoothness import SmoothnessRanker, spectral_arc_length
from tests.demos import make_demos
from tests.ranking.toy import moved, of_paths, score, slowed

ALL = [
    found
    for found in map(ranker, rankers())
    if isinstance(found, DatasetRanker) and found.measure.needs is Needs.DATASET
]
KEYS = [found.measure.key for found in ALL]
LENGTH_FREE = [found for found in ALL if found.measure.key not in ("length", "smoothness")]


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
    if found.measure.key != "random":  # which goes by the index
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
