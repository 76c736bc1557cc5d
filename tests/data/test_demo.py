from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import DatasetError
from tests.data.same import assert_same_demo
from tests.demos import make_demos


@pytest.fixture
def demos() -> DemoSet:
    return make_demos(camera=True)


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
        assert_same_demo(demo, whole[demo.episode_index])


def test_a_subset_shares_every_array_of_its_source(demos: DemoSet) -> None:
    subset = demos.subset([2, 6, 8]).subset([2, 8])
    for name in ("state", "environment_state", "action"):
        assert getattr(subset, name) is getattr(demos, name)
        assert np.shares_memory(subset[1].action, demos.action)
    assert np.shares_memory(subset.images["overhead"], demos.images["overhead"])
    assert np.shares_memory(subset[1].images["overhead"], demos.images["overhead"])


def test_rows_are_those_of_the_demonstrations_one_after_the_other(demos: DemoSet) -> None:
    assert demos.rows().tolist() == list(range(len(demos.action)))
    subset = demos.subset([2, 8])
    np.testing.assert_array_equal(
        demos.action[subset.rows()], np.concatenate([d.action for d in subset])
    )
    firsts = subset.rows()[subset.packed_starts()]
    assert firsts.tolist() == subset.starts.tolist()


def test_the_rows_of_a_subset_are_not_searched_again_for_bad_values(demos: DemoSet) -> None:
    demos.action[0] = np.nan
    subset = demos.subset([2, 8]).seeing(())
    assert subset.action is demos.action
    with pytest.raises(DatasetError, match=r"not finite at row 0 \(made up\)"):
        replace(subset, action=demos.action.copy())


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
    with pytest.raises(DatasetError, match=r"are not among .* rows .*episode 10\b"):
        replace(demos, lengths=demos.lengths + 1)
    with pytest.raises(DatasetError, match=r"0 frames .* are not among .* rows .*episode 0\b"):
        replace(demos, lengths=0 * demos.lengths)
    with pytest.raises(DatasetError, match="outcomes for 6 episodes"):
        replace(demos, successes=demos.successes[1:])
