"""Several tasks in one dataset: each failure is held to the successes of its own task alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from outtakes.data.demo import DemoSet
from outtakes.errors import DatasetError
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.action_error import ActionErrorRanker
from outtakes.ranking.attention.attention_rank import AttentionRankRanker
from outtakes.ranking.attention.scoring import AttentionRanker
from outtakes.ranking.combination import combine
from outtakes.ranking.ranker import DatasetRanker, ranker, rankers
from outtakes.ranking.scores import Scores, rank
from outtakes.selection.select import select
from tests.demos import TASKS, small_act, train_small, two_tasks

BY_DATASET = [found for found in map(ranker, rankers()) if isinstance(found, DatasetRanker)]


@pytest.fixture(scope="module")
def demos() -> DemoSet:
    return two_tasks()


@pytest.fixture(scope="module")
def run(demos: DemoSet, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A run with parametric bias on everything."""
    return train_small(tmp_path_factory.mktemp("run"), demos, steps=20, batch_size=12)


def by_episode(scores: Scores) -> dict[int, float]:
    return {failure.episode: failure.mean for failure in scores.failures}


@pytest.mark.parametrize("found", BY_DATASET, ids=[found.measure.key for found in BY_DATASET])
def test_scores_are_those_of_each_task_alone(found: DatasetRanker, demos: DemoSet):
    apart = [by_episode(rank(found, [], own)) for own in demos.by_task().values()]
    together = rank(found, [], demos)
    assert by_episode(together) == apart[0] | apart[1]
    assert [f.episode for f in together.failures] == sorted(apart[0] | apart[1])


def test_by_attention_only_successes_of_the_task_count(run: Checkpoint, demos: DemoSet):
    """The sum over the task's own columns of the divergences from all successes."""
    whole = AttentionRanker().score(run, demos)
    scores = rank(AttentionRanker(), [run], demos)
    task = demos.task_of()
    assert whole.distances is not None
    for failure, distances in zip(whole.failures, whole.distances, strict=True):
        own = np.array([task[success] == task[failure] for success in whole.successes])
        found = next(f for f in scores.failures if f.episode == failure)
        assert found.task == task[failure]
        assert found.mean == pytest.approx(
            whole.values[whole.failures.index(failure)] * distances[own].sum() / distances.sum(),
            rel=1e-4,
        )
        nearest = np.array(whole.successes)[own][distances[own].argmin()]
        assert found.nearest_success == nearest
        assert task[int(nearest)] == task[failure]


def test_ranks_are_places_in_the_task(run: Checkpoint, demos: DemoSet):
    scores = rank(AttentionRankRanker(), [run], demos)
    for own in scores.by_task().values():
        assert [failure.mean for failure in own] == [1, 2, 3]


def test_action_error_takes_one_run_for_all_tasks(demos: DemoSet, tmp_path):
    successes = demos.subset([int(e) for e in demos.episode_indices[demos.successes]])
    alone = train_small(tmp_path, successes, policy=small_act(condition="none"))
    scores = rank(ActionErrorRanker(), [alone], demos)
    assert len(scores.failures) == 6
    assert set(scores.successes) == set(successes.episode_indices.tolist())


def test_the_first_of_the_ranking_are_the_first_of_each_task(demos: DemoSet):
    scores = rank(ranker("length"), [], demos)
    first, second = scores.by_task().values()
    expected = [
        f.episode
        for pair in zip(first, second, strict=True)
        for f in sorted(pair, key=lambda f: f.episode)
    ]
    assert [f.episode for f in scores.ranked()] == expected
    selection = select(scores, scores.successes, count=2)
    assert set(selection.kept) - set(scores.successes) == {first[0].episode, second[0].episode}
    (reason,) = [c.reason for c in selection.choices if c.episode == second[0].episode]
    assert reason.startswith("failure, rank 1 of 3 by length") and repr(TASKS[1]) in reason


def test_several_rankings_are_combined_within_tasks(demos: DemoSet):
    one, two = (rank(ranker(name), [], demos) for name in ("length", "smoothness"))
    both = combine([one, two], [1, 1])
    for task, own in both.by_task().items():
        places = [[f.episode for f in scores.by_task()[task]] for scores in (one, two)]
        for failure in own:
            mean = np.mean([order.index(failure.episode) + 1 for order in places])
            assert failure.mean == pytest.approx(mean)


def test_agreement_is_within_tasks(demos: DemoSet, run: Checkpoint, tmp_path):
    other = train_small(tmp_path, demos, steps=20, batch_size=12, seed=1)
    scores = rank(AttentionRanker(), [run, other], demos)
    parts = [
        rank(
            AttentionRanker(),
            [r.of_demonstrations(own.episode_indices.tolist()) for r in (run, other)],
            own,
        ).kendall_tau
        for own in demos.by_task().values()
    ]
    assert scores.kendall_tau == pytest.approx(np.mean([tau for tau in parts if tau is not None]))


def test_failures_of_a_task_without_success_are_told_and_left_out(demos: DemoSet, tmp_path):
    failed = [int(e) for e in demos.episode_indices[:6][~demos.successes[:6]]]
    second = demos.episode_indices[6:].tolist()
    scores = rank(ranker("length"), [], demos.subset([*failed, *second]))
    assert scores.unranked == tuple(failed)
    assert {f.task for f in scores.failures} == {TASKS[1]}
    scores.save(tmp_path / "scores.json")
    again = Scores.load(tmp_path / "scores.json")
    assert (again.unranked, again.failures) == (scores.unranked, scores.failures)
    selection = select(again, again.successes, count=1)
    assert not set(failed) & set(selection.kept) and set(failed) <= set(selection.dropped)
    assert not any(selection.outcomes[e] for e in failed)


def test_tasks_of_one_outcome_each_cannot_be_ranked(demos: DemoSet):
    won = [int(e) for e in demos.episode_indices[:6][demos.successes[:6]]]
    lost = [int(e) for e in demos.episode_indices[6:][~demos.successes[6:]]]
    apart = demos.subset([*won, *lost])
    with pytest.raises(DatasetError, match=r"none of its 2 tasks has both .*--one-task"):
        rank(ranker("length"), [], apart)
    assert len(rank(ranker("length"), [], apart.as_one_task()).failures) == 3


def test_one_task_is_ranked_as_it_was(demos: DemoSet, run: Checkpoint):
    one = replace(demos, tasks=["the same"] * len(demos))
    silent = replace(demos, tasks=())
    for found in BY_DATASET:
        assert by_episode(rank(found, [], one)) == by_episode(rank(found, [], silent))
