import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.normalize import Normalizer
from outtakes.errors import ArtifactError, CheckpointError, DatasetError
from outtakes.policy.checkpoint import Checkpoint
from outtakes.progress import Progress
from outtakes.ranking.attention.footprint import Budget
from outtakes.ranking.attention.scoring import AttentionRanker, principal_components
from outtakes.ranking.measure import ATTENTION
from outtakes.ranking.ranker import RunScores
from outtakes.ranking.scores import Scores, kendall_tau
from outtakes.selection.select import select
from tests import naive
from tests.demos import bias_of, make_demos, small_act, train_small
from tests.slow_ranking import divergences


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Checkpoint:
    return train_small(tmp_path_factory.mktemp("run"), steps=2)


def with_table(checkpoint: Checkpoint, table: torch.Tensor, **changes) -> Checkpoint:
    tensors = {**checkpoint.tensors, "policy.bias.table": table}
    return replace(checkpoint, tensors=tensors, **changes)


def with_biases(checkpoint: Checkpoint, scale: float = 1.0, seed: int = 0) -> Checkpoint:
    shape = checkpoint.tensors["policy.bias.table"].shape
    generator = torch.Generator().manual_seed(seed)
    return with_table(checkpoint, scale * torch.randn(shape, generator=generator))


def score_run(
    run: Checkpoint, demos: DemoSet, progress: Progress | None = None, **settings
) -> RunScores:
    return AttentionRanker(**settings).score(run, demos, progress=progress)


def combine(runs: Sequence[RunScores]) -> Scores:
    return Scores.of(ATTENTION, runs, "toy", "hash")


def k(scores: RunScores) -> np.ndarray:
    return scores.values


def distances_of(scores: RunScores) -> np.ndarray:
    assert scores.distances is not None
    return scores.distances


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_the_score_is_equation_5(trained, scale):
    checkpoint, demos = with_biases(trained, scale), make_demos()
    scores = score_run(checkpoint, demos)
    parameters = naive.parameters_of(checkpoint.policy())
    table = parameters["bias.table"]
    normalizer = Normalizer.of(demos)
    for i, episode in enumerate(scores.failures):
        row = list(demos.episode_indices).index(episode)
        expected = naive.k_metric(
            parameters,
            checkpoint.config,
            normalizer.state.standardise(torch.from_numpy(demos[row].state)).numpy(),
            normalizer.environment_state.standardise(
                torch.from_numpy(demos[row].environment_state)
            ).numpy(),
            table[row],
            table[demos.successes],
        )
        assert k(scores)[i] == pytest.approx(expected, abs=1e-5, rel=1e-4)


@pytest.mark.parametrize("cameras", [(), ("overhead",)])
@pytest.mark.parametrize("layers", [2, 4])
def test_it_is_what_the_whole_policy_says_of_every_pair(tmp_path, cameras, layers):
    demos = make_demos(3, 2, camera=True)
    act = small_act(decoder_layers=layers, cameras=cameras)
    checkpoint = with_biases(train_small(tmp_path, demos, policy=act, steps=1))
    found = score_run(checkpoint, demos)
    agent = checkpoint.agent()
    table = bias_of(agent.policy).table
    failures = np.flatnonzero(~demos.successes)
    for i, row in enumerate(failures):
        expected = divergences(agent, demos[row], table[row], table[demos.successes])
        assert np.allclose(distances_of(found)[i], expected.mean(axis=0), rtol=1e-5, atol=0)
        assert np.allclose(found.over_time[i], expected.mean(axis=1), rtol=1e-5, atol=0)
        assert found.values[i] == pytest.approx(expected.mean(axis=0).sum(), rel=1e-5)


def test_it_covers_every_failure_at_every_step(trained):
    demos = make_demos()
    told = []

    def progress(done: int, total: int, what: str) -> None:
        told.append((done, total, what))

    scores = score_run(with_biases(trained), demos, progress)
    assert list(scores.failures) == demos.episodes(Outcome.FAILURE)
    assert list(scores.successes) == demos.episodes(Outcome.SUCCESS)
    assert told == [(1, 3, "rank"), (2, 3, "rank"), (3, 3, "rank")]
    for over_time, distances, episode in zip(
        scores.over_time, distances_of(scores), scores.failures, strict=True
    ):
        assert len(over_time) == demos.lengths[list(demos.episode_indices).index(episode)]
        assert over_time.mean() == pytest.approx(distances.mean())
        assert (over_time > 0).all()


def test_equal_biases_are_no_distance(trained):
    table = trained.tensors["policy.bias.table"]
    same = with_table(trained, torch.randn(table.shape[1:]).expand_as(table).contiguous())
    assert k(score_run(same, make_demos())) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("scale", [0.03, 1.0])
@pytest.mark.parametrize("held", [1, 60_000])
@pytest.mark.parametrize("working_set", [1, 60_000])
def test_how_much_is_computed_at_once_changes_nothing(trained, held, working_set, scale):
    checkpoint = with_biases(trained, scale)
    expected = score_run(checkpoint, make_demos())
    found = score_run(checkpoint, make_demos(), budget=Budget(held, working_set))
    assert np.allclose(distances_of(found), distances_of(expected), rtol=1e-5, atol=0)
    assert np.allclose(k(found), k(expected), rtol=1e-5, atol=0)


def permuted(demos: DemoSet, order: Sequence[int]) -> DemoSet:
    """The demonstrations in another order, under the same episode indices."""
    of_episodes = ("successes", "starts", "lengths")
    return replace(demos, **{name: getattr(demos, name)[list(order)] for name in of_episodes})


def test_the_order_of_demonstrations_changes_nothing(trained):
    demos, checkpoint = make_demos(), with_biases(trained)
    order = [4, 0, 5, 1, 3, 2]
    moved = permuted(demos, order)
    table = checkpoint.tensors["policy.bias.table"]
    successes = tuple(bool(s) for s in moved.successes)
    there = score_run(with_table(checkpoint, table[order], successes=successes), moved)
    here = score_run(checkpoint, demos)
    episodes = demos.episode_indices.tolist()
    was = {episodes[new]: episodes[old] for new, old in enumerate(order)}
    before = dict(zip(here.failures, k(here), strict=True))
    for episode, value in zip(there.failures, k(there), strict=True):
        assert value == pytest.approx(before[was[episode]], rel=1e-5)


def test_the_order_of_the_bias_table_changes_nothing(trained):
    checkpoint = with_biases(trained)
    order = [3, 5, 0, 2, 1, 4]
    shuffled = with_table(
        checkpoint,
        checkpoint.tensors["policy.bias.table"][order],
        episodes=tuple(checkpoint.episodes[i] for i in order),
        successes=tuple(checkpoint.successes[i] for i in order),
    )
    here, there = score_run(checkpoint, make_demos()), score_run(shuffled, make_demos())
    assert there.failures == here.failures
    assert np.allclose(k(there), k(here), rtol=1e-5)


def test_planted_near_misses_come_out_on_top(tmp_path):
    demos = make_demos(5, 8)
    checkpoint = train_small(tmp_path, demos, steps=2)
    generator = torch.Generator().manual_seed(0)
    shape = checkpoint.tensors["policy.bias.table"].shape
    table = torch.randn(shape, generator=generator)
    planted = [6, 9, 12]
    like_success = torch.tensor([bool(s) or i in planted for i, s in enumerate(demos.successes)])
    table[like_success] = table[0] + 0.2 * table[like_success]
    scores = combine([score_run(with_table(checkpoint, table), demos)])
    near = [int(demos.episode_indices[i]) for i in planted]
    assert sorted(f.episode for f in scores.ranked()[:3]) == near
    kept = select(scores, demos.episodes(Outcome.SUCCESS), keep="low", count=3).kept
    assert kept == sorted([*demos.episodes(Outcome.SUCCESS), *near])


def test_the_bias_distance_of_the_nearest_success_names_it(trained):
    demos, checkpoint = make_demos(), with_biases(trained)
    table = checkpoint.tensors["policy.bias.table"].clone()
    failure, success = np.flatnonzero(~demos.successes)[1], np.flatnonzero(demos.successes)[2]
    table[failure] = table[success] + 0.01
    scores = combine([score_run(with_table(checkpoint, table), demos)])
    assert scores.failures[1].nearest_success == demos.episode_indices[success]


def test_a_policy_without_bias_is_refused(tmp_path):
    checkpoint = train_small(tmp_path, policy=small_act(condition="label"), steps=1)
    with pytest.raises(CheckpointError, match=r"without parametric bias.*act-pb"):
        score_run(checkpoint, make_demos())


def test_another_dataset_is_refused(trained):
    with pytest.raises(CheckpointError, match="trained on other data"):
        score_run(trained, make_demos(seed=1))


@pytest.mark.parametrize(("counts", "missing"), [((0, 3), "success"), ((3, 0), "failure")])
def test_one_outcome_alone_is_refused(tmp_path, counts, missing):
    demos = make_demos(*counts)
    checkpoint = train_small(tmp_path, demos, steps=1)
    with pytest.raises(DatasetError, match=f"no {missing} among the 3.*train on both"):
        score_run(checkpoint, demos)


def test_seeds_are_averaged(trained):
    demos = make_demos()
    runs = [
        replace(score_run(with_biases(trained, seed=seed), demos), seed=seed) for seed in range(3)
    ]
    scores = combine(runs)
    assert scores.seeds == [0, 1, 2]
    assert len(scores.successes) == 3
    for i, failure in enumerate(scores.failures):
        assert failure.per_seed == {run.seed: pytest.approx(k(run)[i]) for run in runs}
        assert failure.mean == pytest.approx(np.mean([k(run)[i] for run in runs]))
        assert np.mean(failure.over_time) * 3 == pytest.approx(failure.mean)
    rankings = np.stack([k(run) for run in runs])
    assert scores.kendall_tau == pytest.approx(kendall_tau(rankings))
    assert combine(runs[:1]).kendall_tau is None
    assert scores.plane is not None
    assert [(e, s) for e, s, _, _ in scores.plane.points] == list(
        zip(demos.episode_indices, demos.successes, strict=True)
    )


def test_runs_that_cannot_be_averaged_are_refused(trained, tmp_path):
    run = score_run(with_biases(trained), make_demos())
    with pytest.raises(ArtifactError, match="one seed appears twice"):
        combine([run, run])
    fewer = train_small(tmp_path, make_demos().subset([0, 2, 4, 6]), steps=1, seed=1)
    other = score_run(fewer, make_demos())
    with pytest.raises(ArtifactError, match="different episodes"):
        combine([run, other])


def test_rank_agreement_is_kendalls():
    rankings = np.random.default_rng(0).normal(size=(4, 12))
    taus = [kendalltau(a, b)[0] for a, b in combinations(rankings, 2)]
    expected = np.asarray(taus, dtype=float).mean()
    assert kendall_tau(rankings) == pytest.approx(expected)
    assert kendall_tau(np.array([[1.0, 2, 3], [10, 20, 30]])) == 1
    assert kendall_tau(np.array([[1.0, 2, 3], [3, 2, 1]])) == -1


def test_principal_components_keep_the_distances_of_a_plane():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(6, 2)) @ rng.normal(size=(2, 9))
    flat = principal_components(plane)

    def distances(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points[:, None] - points[None], axis=-1)

    assert np.allclose(distances(flat), distances(plane))
    assert flat[:, 0].var() >= flat[:, 1].var()
    assert principal_components(np.ones((3, 4))).tolist() == [[0, 0]] * 3


def test_a_run_read_from_disk_scores_alike(tmp_path: Path):
    checkpoint = train_small(tmp_path, steps=5)
    first = score_run(checkpoint, make_demos())
    again = score_run(Checkpoint.load(tmp_path), make_demos())
    assert np.array_equal(distances_of(first), distances_of(again))


@pytest.fixture(scope="module")
def many_pairs(tmp_path_factory) -> tuple[Checkpoint, DemoSet]:
    """A policy trained until successes and failures differ, and enough pairs to sample from."""
    demos = make_demos(16, 8, length=(20, 30))
    run = tmp_path_factory.mktemp("many")
    return train_small(run, demos, policy=small_act(pb_learning_rate=0.1), steps=60), demos


def test_two_standard_errors_cover_the_exact_score(many_pairs):
    checkpoint, demos = many_pairs
    exact = score_run(checkpoint, demos)
    covered, errors = [], []
    for seed in range(100):
        found = score_run(checkpoint, demos, pairs=80, sample_seed=seed)
        assert found.standard_errors is not None
        errors.append(found.values - exact.values)
        covered.append(np.abs(found.values - exact.values) <= 2 * found.standard_errors)
    assert 0.91 <= np.mean(covered) <= 0.98
    drift, spread = np.mean(errors, axis=0), np.std(errors, axis=0)
    assert (np.abs(drift) < 4 * spread / np.sqrt(len(errors))).all()


def test_a_sample_of_everything_is_exact(many_pairs):
    checkpoint, demos = many_pairs
    exact = score_run(checkpoint, demos)
    sampled = score_run(checkpoint, demos, pairs=30 * 16)
    assert exact.standard_errors is None and sampled.standard_errors is not None
    assert (sampled.standard_errors == 0).all()
    assert np.array_equal(sampled.values, exact.values)
    assert np.array_equal(distances_of(sampled), distances_of(exact))


def test_the_sample_depends_on_its_seed_and_the_episode_alone(many_pairs):
    checkpoint, demos = many_pairs
    first, again, other = (score_run(checkpoint, demos, pairs=40, sample_seed=s) for s in (0, 0, 1))
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)
    run_of_another_seed = score_run(replace(checkpoint, seed=7), demos, pairs=40)
    assert not np.array_equal(run_of_another_seed.values, first.values)


def test_sampled_seeds_are_averaged_with_their_errors(many_pairs):
    checkpoint, demos = many_pairs
    exact = combine([score_run(checkpoint, demos)])
    assert {f.standard_error for f in exact.failures} == {None}
    runs = [score_run(replace(checkpoint, seed=s), demos, pairs=80) for s in range(3)]
    scores = combine(runs)
    errors = np.stack([run.standard_errors for run in runs if run.standard_errors is not None])
    for i, (failure, known) in enumerate(zip(scores.failures, exact.failures, strict=True)):
        assert failure.standard_error == pytest.approx(np.sqrt((errors[:, i] ** 2).sum()) / 3)
        assert len(failure.over_time) == len(known.over_time)
        assert np.isfinite(failure.over_time).all()
        assert failure.nearest_success is not None
        column = runs[0].successes.index(failure.nearest_success)
        assert any(np.isfinite(distances_of(run)[i, column]) for run in runs)


def test_time_steps_between_those_sampled_are_interpolated(many_pairs):
    checkpoint, demos = many_pairs
    run = score_run(checkpoint, demos, pairs=40)
    failure = combine([run]).failures[0]
    known = np.flatnonzero(np.isfinite(run.over_time[0]))
    assert 2 < len(known) < len(failure.over_time)
    assert np.allclose(np.array(failure.over_time)[known], run.over_time[0][known])
    first, second = known[:2]
    between = failure.over_time[first : second + 1]
    assert np.allclose(np.diff(between), np.diff(between)[0])


def test_rank_agreement_of_thousands_stays_small():
    rankings = np.random.default_rng(0).normal(size=(3, 2000))
    tracemalloc.start()
    kendall_tau(rankings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
