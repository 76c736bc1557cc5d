from dataclasses import replace

import numpy as np
import pytest
import torch

from outtakes.data.batches import Batch, DeviceDemos, Sampler, Samples
from outtakes.data.demo import DemoSet
from outtakes.data.frames import load_cache, save_cache
from outtakes.data.normalize import Normalizer
from tests.demos import make_demos

CPU = torch.device("cpu")


def cut(demos: DemoSet, samples: Samples, chunk: int) -> Batch:
    cameras = tuple(demos.images)
    return DeviceDemos(demos, Normalizer.of(demos), cameras, CPU).batch(samples, chunk)


def same(a: Samples, b: Samples) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("demo", "time", "other_demo"))


@pytest.mark.parametrize("balanced", [False, True])
def test_samples_are_a_function_of_seed_and_step_alone(balanced):
    demos = make_demos()

    def sampler(seed: int = 3) -> Sampler:
        return Sampler(demos, seed=seed, batch_size=4, balanced=balanced)

    forward = [sampler().draw(step) for step in range(20)]
    one = sampler()
    backward = [one.draw(step) for step in reversed(range(20))][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))
    assert not same(forward[0], forward[1])
    assert not any(same(sampler(4).draw(step), forward[step]) for step in range(20))


@pytest.mark.parametrize("batch_size", [1, 4, 6, 7, 15])
def test_each_epoch_visits_every_demonstration_once(batch_size):
    demos = make_demos()
    sampler = Sampler(demos, seed=0, batch_size=batch_size)
    sequence = np.concatenate([sampler.draw(step).demo for step in range(6 * 4)])
    assert all(len(sampler.draw(step).demo) == batch_size for step in range(3))
    epochs = sequence[: len(sequence) // 6 * 6].reshape(-1, 6)
    assert (np.sort(epochs, axis=1) == np.arange(6)).all()
    assert len(np.unique(epochs, axis=0)) > 1


@pytest.mark.parametrize("balanced", [False, True])
def test_successes_alone_are_drawn_from_a_step_on(balanced):
    demos = make_demos()
    settings = {"seed": 0, "batch_size": 6, "balanced": balanced}
    whole, finish = Sampler(demos, **settings), Sampler(demos, **settings, successes_from=40)
    assert all(same(whole.draw(step), finish.draw(step)) for step in range(40))
    late = np.concatenate([finish.draw(step).demo for step in range(40, 100)])
    assert set(late) == set(np.flatnonzero(demos.successes))


def test_times_are_uniform_within_each_episode():
    demos = make_demos()
    sampler = Sampler(demos, seed=0, batch_size=6)
    drawn = [sampler.draw(step) for step in range(3000)]
    demo = np.concatenate([samples.demo for samples in drawn])
    time = np.concatenate([samples.time for samples in drawn])
    for i, length in enumerate(demos.lengths):
        counts = np.bincount(time[demo == i], minlength=length)
        assert len(counts) == length
        expected = 3000 / length
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("chunk", [1, 5, 40])
def test_a_chunk_holds_the_rows_from_its_step_to_the_end_of_the_episode(chunk):
    demos = make_demos()
    demo = np.repeat(np.arange(len(demos)), demos.lengths)
    time = np.concatenate([np.arange(length) for length in demos.lengths])
    batch = cut(demos, Samples(demo, time, demo), chunk)
    action = Normalizer.of(demos).action.restore(batch.action).numpy()
    for sample, (i, t) in enumerate(zip(demo, time, strict=True)):
        rest = demos[i].action[t : t + chunk]
        assert batch.valid[sample].tolist() == [step < len(rest) for step in range(chunk)]
        assert np.allclose(action[sample, : len(rest)], rest, atol=1e-5)
        assert np.allclose(action[sample, len(rest) :], demos[i].action[-1], atol=1e-5)


def test_the_observation_is_that_of_the_sampled_step():
    demos = make_demos(camera=True)
    samples = Sampler(demos, seed=1, batch_size=8).draw(0)
    batch = cut(demos, samples, 3)
    normalizer = Normalizer.of(demos)
    seen = batch.observation
    state = normalizer.state.restore(seen.state).numpy()
    environment_state = normalizer.environment_state.restore(seen.environment_state).numpy()
    for b, (i, t) in enumerate(zip(samples.demo, samples.time, strict=True)):
        assert np.allclose(state[b], demos[i].state[t], atol=1e-5)
        assert np.allclose(environment_state[b], demos[i].environment_state[t], atol=1e-5)
        assert np.array_equal(seen.images["overhead"][b], demos[i].images["overhead"][t])
        assert batch.success[b] == demos.successes[i]


def test_the_other_demonstration_has_the_other_outcome_and_all_of_them_come_up():
    demos = make_demos(successes=2, failures=5)
    sampler = Sampler(demos, seed=0, batch_size=7)
    pairs = set()
    for step in range(60):
        samples = sampler.draw(step)
        assert (demos.successes[samples.demo] != demos.successes[samples.other_demo]).all()
        pairs |= set(zip(samples.demo.tolist(), samples.other_demo.tolist(), strict=True))
    assert len(pairs) == 2 * 2 * 5


@pytest.mark.parametrize(("successes", "failures"), [(4, 0), (0, 4)])
@pytest.mark.parametrize("balanced", [False, True])
def test_with_one_outcome_the_other_demonstration_is_the_own(successes, failures, balanced):
    demos = make_demos(successes, failures)
    samples = Sampler(demos, seed=0, batch_size=4, balanced=balanced).draw(0)
    assert np.array_equal(samples.other_demo, samples.demo)
    assert sorted(samples.demo) == [0, 1, 2, 3]


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_balanced_draws_are_half_successes(batch_size):
    demos = make_demos(successes=2, failures=6)
    sampler = Sampler(demos, seed=0, batch_size=batch_size, balanced=True)
    drawn = np.concatenate([sampler.draw(step).demo for step in range(1200)])
    assert demos.successes[drawn].mean() == 0.5
    counts = np.bincount(drawn)
    expected = len(drawn) / 2 / np.where(demos.successes, 2, 6)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_demonstrations_on_disk_give_the_same_batch_as_in_memory(tmp_path):
    demos = make_demos(camera=True)
    save_cache(tmp_path / "cache", demos)
    samples = Sampler(demos, seed=0, batch_size=5).draw(0)
    memory, disk = cut(demos, samples, 4), cut(load_cache(tmp_path / "cache"), samples, 4)
    assert torch.equal(memory.action, disk.action)
    seen, from_disk = memory.observation.images, disk.observation.images
    assert torch.equal(seen["overhead"], from_disk["overhead"])


def copied(demos: DemoSet) -> DemoSet:
    """The same demonstrations in arrays of their own, which hold nothing else."""
    rows = demos.rows()
    vectors = ("state", "environment_state", "action")
    return replace(
        demos,
        starts=demos.packed_starts(),
        images={camera: frames[rows] for camera, frames in demos.images.items()},
        **{name: getattr(demos, name)[rows] for name in vectors},
    )


def test_a_subset_gives_the_same_batches_as_a_copy_of_its_rows():
    subset = make_demos(camera=True).subset([2, 4, 10])
    assert len(copied(subset).action) < len(subset.action)
    for step in range(5):
        samples = Sampler(subset, seed=0, batch_size=5).draw(step)
        shared, alone = cut(subset, samples, 4), cut(copied(subset), samples, 4)
        for name in ("demo", "other_demo", "success", "action", "valid"):
            assert torch.equal(getattr(shared, name), getattr(alone, name))
        seen, seen_alone = shared.observation, alone.observation
        assert torch.equal(seen.state, seen_alone.state)
        assert torch.equal(seen.environment_state, seen_alone.environment_state)
        assert torch.equal(seen.images["overhead"], seen_alone.images["overhead"])


def test_only_rows_of_the_demonstrations_are_moved_to_a_device():
    demos, device = make_demos(camera=True).subset([2, 10]), torch.device("meta")
    moved = DeviceDemos(demos, Normalizer.of(demos), ("overhead",), device)
    frames = moved.images["overhead"]
    assert isinstance(frames, torch.Tensor) and frames.device == moved.state.device == device
    assert len(frames) == len(moved.state) == len(moved.action) == demos.lengths.sum()


def test_on_the_cpu_frames_stay_where_they_are(tmp_path):
    save_cache(tmp_path / "cache", make_demos(camera=True))
    demos = load_cache(tmp_path / "cache").subset([2, 10])
    held = DeviceDemos(demos, Normalizer.of(demos), ("overhead",), CPU).images["overhead"]
    assert not isinstance(held, torch.Tensor) and held.frames is demos.images["overhead"]


def test_read_only_arrays_are_taken_without_complaint():
    demos = make_demos()
    frozen = {
        name: getattr(demos, name).copy() for name in ("state", "action", "starts", "lengths")
    }
    for array in frozen.values():
        array.flags.writeable = False
    samples = Sampler(demos, seed=0, batch_size=5).draw(0)
    batch = cut(replace(demos, **frozen), samples, 4)
    assert torch.equal(batch.action, cut(demos, samples, 4).action)
