from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from outtakes.data.demo import Demo, DemoSet, Outcome
from outtakes.errors import DatasetError
from tests.demos import make_demos


@pytest.fixture
def demos() -> DemoSet:
    return make_demos(camera=True)


def assert_equal(one: Demo, other: Demo) -> None:
    assert (one.episode_index, one.outcome) == (other.episode_index, other.outcome)
    for name in ("state", "environment_state", "action"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for camera, frames in one.images.items():
        np.testing.assert_array_equal(frames, other.images[camera])


def test_demonstrations_tile_the_rows(demos: DemoSet) -> None:
    np.testing.assert_array_equal(np.concatenate([d.state for d in demos]), demos.state)
    np.testing.assert_array_equal(
        np.concatenate([d.images["overhead"] for d in demos]), demos.images["overhead"]
    )
    assert [len(d) for d in demos] == demos.lengths.tolist()


def test_indexing_copies_nothing(demos: DemoSet) -> None:
    assert np.shares_memory(demos[1].images["overhead"], demos.images["overhead"])


def test_outcomes_part_the_episodes(demos: DemoSet) -> None:
    successes, failures = demos.episodes(Outcome.SUCCESS), demos.episodes(Outcome.FAILURE)
    assert sorted(successes + failures) == demos.episode_indices.tolist()
    assert all(d.outcome is Outcome.SUCCESS for d in demos.subset(successes))


@pytest.mark.parametrize("chosen", [[0], [10], [4, 0, 8], [6, 6, 2]])
def test_a_subset_holds_the_same_demonstrations(demos: DemoSet, chosen: list[int]) -> None:
    subset = demos.subset(chosen)
    assert subset.episode_indices.tolist() == sorted(set(chosen))
    whole = {d.episode_index: d for d in demos}
    for demo in subset:
        assert_equal(demo, whole[demo.episode_index])


def test_a_subset_of_all_is_the_set_itself(demos: DemoSet) -> None:
    assert demos.subset(demos.episode_indices.tolist()) is demos


def test_a_subset_carries_its_tasks(demos: DemoSet) -> None:
    demos = replace(demos, tasks=[f"task {e}" for e in demos.episode_indices])
    assert demos.subset([4, 0]).tasks == ["task 0", "task 4"]


def test_an_absent_episode_is_named(demos: DemoSet) -> None:
    with pytest.raises(DatasetError, match="episode 3 is not in the dataset"):
        demos.subset([0, 3])


def test_nothing_is_no_subset(demos: DemoSet) -> None:
    with pytest.raises(DatasetError, match="no episodes"):
        demos.subset([])


@pytest.mark.parametrize("name", ["state", "environment_state", "action"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_values_are_named_by_episode_and_frame(demos: DemoSet, name: str, value: float) -> None:
    array = getattr(demos, name).copy()
    array[demos.starts[2] + 3, 1] = value
    with pytest.raises(DatasetError, match=rf"{name} .* frame 3 .*episode 4\b"):
        replace(demos, **{name: array})


def test_ragged_features_are_refused(demos: DemoSet) -> None:
    with pytest.raises(DatasetError, match=r"overhead has .* rows"):
        replace(demos, images={"overhead": demos.images["overhead"][1:]})
    with pytest.raises(DatasetError, match="do not cover"):
        replace(demos, starts=demos.starts[:-1])
    with pytest.raises(DatasetError, match="outcomes for 6 episodes"):
        replace(demos, successes=demos.successes[1:])
