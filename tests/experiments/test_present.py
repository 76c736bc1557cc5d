"""What a report shows is what the artifacts of its folder say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from outtakes.data.labels import write_labels
from outtakes.errors import ArtifactError
from outtakes.evaluation.exhibits import RetrievalPlane
from outtakes.evaluation.recommendation import Decision, Yardstick
from outtakes.experiments.folder import (
    ACTION_ERRORS,
    ADVICE,
    COMPARISON,
    FILMS,
    RETRIEVAL,
    Folder,
)
from outtakes.experiments.held_out import ActionErrors
from outtakes.experiments.present import present
from outtakes.report.content import ReportContent
from tests.data.episodes import LENGTHS
from tests.experiments.conftest import Finished

SUCCESSES, FAILURES = [0, 2, 4], [1, 3, 5]


@pytest.fixture(scope="module")
def content(finished: Finished) -> ReportContent:
    return present(finished.folder)


def frames_of(video: Path | None) -> int:
    assert video is not None
    container = av.open(str(video))
    count = sum(1 for _ in container.decode(video=0))
    container.close()
    return count


def test_a_card_for_each_failure_the_nearest_first_with_its_own_pictures(
    finished: Finished, content: ReportContent
) -> None:
    scores, selection = finished.folder.scores, finished.folder.selection
    assert [card.episode for card in content.cards] == [f.episode for f in scores.ranked()]
    assert [card.rank for card in content.cards] == [1, 2, 3]
    reasons = {choice.episode: choice.reason for choice in selection.choices}
    for card, failure in zip(content.cards, scores.ranked(), strict=True):
        assert (card.score, card.per_seed) == (failure.mean, failure.per_seed)
        assert card.kept == (card.episode in selection.kept) == (card.rank <= 2)
        assert card.reason == reasons[card.episode]
        assert len(card.over_time) == frames_of(card.video) == LENGTHS[card.episode]
        assert card.nearest_success in SUCCESSES
        assert frames_of(card.nearest_video) == LENGTHS[card.nearest_success]
        assert len(card.thumbnails) == 6


def test_a_row_for_each_treatment_under_its_name_for_people(
    finished: Finished, content: ReportContent
) -> None:
    compared, labels = finished.folder.comparison, finished.folder.setup.labels
    assert compared is not None
    assert content.recommendation == finished.triaged.recommendation
    assert "from the same 2 initial states" in content.measure_note
    rows = {row.arm: row for row in content.arms}
    assert list(rows) == [labels[name] for name in compared.rates]
    for name, rate in compared.rates.items():
        row, difference = rows[labels[name]], compared.differences.get(name)
        assert (row.mean, row.low, row.high) == (rate.rate, rate.low, rate.high)
        assert tuple(row.per_seed) == rate.per_seed
        assert row.difference == (difference.difference if difference else None)
        assert row.p == compared.adjusted_p.get(name)
    assert {row.paper for row in content.arms} == {""}
    assert "PB + KL, 3 successes + all 3 failures, nearest PB" in rows


def test_the_map_shows_what_the_ranking_run_was_trained_on(
    finished: Finished, content: ReportContent
) -> None:
    (ranked,) = content.maps
    assert [p.episode for p in ranked.points] == list(range(6))
    scores = {failure.episode: failure.mean for failure in finished.folder.scores.failures}
    for point in ranked.points:
        assert point.success == (point.episode in SUCCESSES)
        assert point.score == scores.get(point.episode)


def test_every_rollout_is_matched_with_the_success_that_steered_it(
    finished: Finished, content: ReportContent
) -> None:
    plane, found = RetrievalPlane.load(finished.lab.out / RETRIEVAL), content.retrieval
    assert plane is not None and found is not None
    assert [point.episode for point in found.bank] == SUCCESSES
    assert set(found.thumbnails) == set(SUCCESSES)
    steered = {
        r.initial_state: r.retrieved_episode
        for r in finished.folder.rollouts.rollouts
        if (r.treatment, r.seed) == ("pb-kl-all (nearest)", 0)
    }
    assert {state: episode for state, _, _, episode, _ in plane.queries} == steered
    assert len(found.queries) == len(steered) == 2


def test_what_was_not_made_is_not_shown(copied: Callable[..., Folder]) -> None:
    content = present(copied(FILMS, RETRIEVAL))
    assert content.rollout_videos == [] and content.retrieval is None
    assert content.correlation is None  # nobody noted a mistake in these episodes


def test_a_dataset_that_was_labelled_anew_is_not_shown_under_the_old_ranking(
    copied: Callable[..., Folder],
) -> None:
    folder = copied()
    write_labels(folder.dataset / "episode_labels.json", {0: False}, range(6))
    with pytest.raises(ArtifactError, match="changed since it was ranked"):
        present(folder)


@pytest.mark.parametrize(
    ("seeds", "decision"), [(5, Decision.USE), (1, Decision.UNCLEAR)], ids=["5", "1"]
)
def test_without_rollouts_the_held_out_error_speaks_and_one_seed_settles_nothing(
    seeds: int, decision: Decision, copied: Callable[..., Folder]
) -> None:
    folder = copied(COMPARISON, ADVICE)
    base = np.random.default_rng(0).normal(1.0, 0.01, (seeds, 12))
    worse = base + 0.1
    arms = {"successes": base, "selected": 0.8 * base, "random": worse, "all": worse}
    ActionErrors.of(arms).save(folder.out / ACTION_ERRORS)
    content = present(folder)
    assert content.recommendation.decision is decision
    assert content.recommendation.yardstick is Yardstick.HELD_OUT
    assert not content.higher_is_better
    means = {row.arm: row.mean for row in content.arms}
    assert means == {name: pytest.approx(values.mean()) for name, values in arms.items()}
    assert [row.difference is None for row in content.arms] == [True] + [False] * 3


def test_without_any_measurement_there_is_no_row_and_nothing_is_settled(
    copied: Callable[..., Folder],
) -> None:
    content = present(copied(COMPARISON, ADVICE))
    assert content.arms == []
    assert content.recommendation.decision is Decision.UNCLEAR
