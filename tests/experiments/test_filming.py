"""Films are of the rollouts that were counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from outtakes.evaluation.exhibits import load_films
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.experiments.filming import map_retrieval, telling_states
from outtakes.experiments.folder import FILMS, RETRIEVAL
from tests.experiments.conftest import Finished


def log_of(outcomes: dict[tuple[str, int], str]) -> RolloutLog:
    """(arm, seed) -> a letter for each initial state: `s` for a success."""
    return RolloutLog(
        [
            Rollout(
                arm=arm, seed=seed, initial_state=state, success=letter == "s", steps=1,
                retrieved_episode=-1,
            )
            for (arm, seed), letters in outcomes.items()
            for state, letter in enumerate(letters)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [2]), (2, [2, 4]), (4, [2, 4, 0, 1]), (9, [2, 4, 0, 1, 3])]
)
def test_states_on_which_the_arms_disagree_are_shown_first(count: int, expected: list[int]) -> None:
    log = log_of({("act", 0): "ssfff", ("pb", 0): "sssfs"})
    assert telling_states(log, ["act", "pb"], count) == expected


def test_the_first_seed_of_an_arm_and_the_arms_asked_for_count_alone() -> None:
    log = log_of({("act", 3): "ff", ("act", 4): "fs", ("pb", 5): "sf", ("more", 0): "fs"})
    assert telling_states(log, ["act", "pb"], 1) == [0]


def test_a_film_has_a_picture_of_every_step_of_the_rollout_it_repeats(finished: Finished) -> None:
    counted = {(r.treatment, r.seed, r.initial_state): r for r in finished.folder.rollouts.rollouts}
    films = load_films(finished.lab.out / FILMS)
    assert [film.arm for film in films] == ["act-s", "act-all", "act-best"]
    assert len({film.initial_state for film in films}) == 1
    pictures = []
    for film in films:
        rollout = counted[film.arm, film.seed, film.initial_state]
        container = av.open(str(finished.lab.out / film.video))
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        container.close()
        assert (film.success, len(shown)) == (rollout.success, rollout.steps)
        pictures.append(shown[0].astype(int))
    # All begin in one initial state.
    assert max(np.abs(picture - pictures[0]).mean() for picture in pictures) < 1


def test_a_policy_that_retrieves_nothing_has_no_map(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(finished.lab.out / "runs")
    elsewhere = replace(finished.lab, out=tmp_path)
    map_retrieval(elsewhere, finished.folder.rollouts, "act-s", "")
    assert not (tmp_path / RETRIEVAL).exists()
    map_retrieval(elsewhere, finished.folder.rollouts, "pb-kl-all", "nearest")
    assert (tmp_path / RETRIEVAL).exists()
