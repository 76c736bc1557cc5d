"""Collecting: quotas, order, purity, and pictures that belong to their frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from outtakes.errors import ConfigError, UnknownName
from outtakes.sim import collect as collecting
from outtakes.sim.collect import STEPS_AFTER_SUCCESS, CollectConfig, collect
from outtakes.sim.initial_states import InitialStates, Stream
from outtakes.sim.robosuite.lift import Lift

CONFIG = CollectConfig(successes=2, failures=2, seed=1, cameras=("overhead",), image_size=16)


@pytest.fixture(scope="module")
def recordings():
    return list(collect(CONFIG))


def test_keeps_as_many_of_each_as_asked_in_order_of_attempts(recordings):
    assert sum(recording.success for recording in recordings) == 2
    assert len(recordings) == 4
    attempts = [recording.metadata["attempt"] for recording in recordings]
    assert attempts == sorted(set(attempts))


def test_features_have_the_documented_names_shapes_and_types(recordings):
    for recording in recordings:
        found = {name: (a.shape[1:], a.dtype.name) for name, a in recording.features.items()}
        assert found == {
            "observation.state": ((14,), "float32"),
            "observation.environment_state": ((7,), "float32"),
            "observation.images.overhead": ((16, 16, 3), "uint8"),
            "action": ((7,), "float32"),
            "next.success": ((), "bool"),
        }


def test_two_workers_give_the_same_bits_as_one(recordings):
    for mine, theirs in zip(recordings, collect(CONFIG, workers=2), strict=True):
        assert mine.metadata == theirs.metadata
        for name, array in mine.features.items():
            assert np.array_equal(array, theirs.features[name]), name


def test_fewer_demonstrations_are_a_subset_of_more(recordings):
    fewer = replace(CONFIG, successes=1, failures=1, cameras=())
    attempts = {recording.metadata["attempt"] for recording in recordings}
    assert {recording.metadata["attempt"] for recording in collect(fewer)} < attempts


def test_success_is_the_environments_word_and_the_episode_ends_soon_after(recordings):
    lift = Lift()
    for recording in recordings:
        rng = InitialStates(Stream.COLLECT, CONFIG.seed).rng(recording.metadata["attempt"])
        lift.reset(lift.sample_initial_state(rng))
        solved = []
        for frame, action in enumerate(recording.features["action"]):
            observed = lift.observe()["observation.state"]
            assert np.array_equal(recording.features["observation.state"][frame], observed)
            solved.append(lift.step(action))
        assert np.array_equal(recording.features["next.success"], solved)
        if recording.success:
            assert len(recording) == np.argmax(solved) + 1 + STEPS_AFTER_SUCCESS


def test_each_picture_shows_the_state_of_its_frame(recordings):
    recording, lift = recordings[0], Lift()
    rng = InitialStates(Stream.COLLECT, CONFIG.seed).rng(recording.metadata["attempt"])
    lift.reset(lift.sample_initial_state(rng))
    film = recording.features["observation.images.overhead"]
    assert np.array_equal(film[0], lift.render("overhead", 16, 16))
    for action in recording.features["action"][:20]:
        lift.step(action)
    assert np.array_equal(film[20], lift.render("overhead", 16, 16))
    assert not np.array_equal(film[0], film[20])


def test_metadata_tell_what_happened(recordings):
    for recording in recordings:
        facts = recording.metadata
        cube = recording.features["observation.environment_state"][:, :3]
        assert facts["seed"] == CONFIG.seed
        assert (facts["mistake"] == "none") == (facts["mistake_size"] == 0)
        assert (facts["cube_x"], facts["cube_y"]) == tuple(cube[0, :2].tolist())
        assert facts["height_lifted"] == pytest.approx(cube[:, 2].max() - cube[0, 2])
        assert {type(fact) for fact in facts.values()} <= {str, int, float}


def test_progress_counts_up_to_the_total():
    seen = []

    def progress(done: int, total: int, what: str) -> None:
        seen.append((done, total, what))

    list(collect(replace(CONFIG, failures=0, cameras=()), progress=progress))
    assert seen == [(1, 2, "simulate"), (2, 2, "simulate"), (1, 2, "render"), (2, 2, "render")]


def test_outcomes_that_never_come_are_the_users_to_mend(monkeypatch):
    monkeypatch.setattr(collecting, "_FEWEST_ATTEMPTS", 8)
    monkeypatch.setattr(collecting, "_ATTEMPTS_PER_DEMONSTRATION", 1)
    config = replace(CONFIG, successes=1, failures=5, mistake_rate=0.0)
    with pytest.raises(ConfigError, match=r"5 failures at mistake rate 0\.0"):
        list(collect(config))


def test_impossible_settings_are_named():
    with pytest.raises(ConfigError, match="0 successes and 0 failures"):
        CollectConfig(successes=0, failures=0)
    with pytest.raises(ConfigError, match=r"mistake rate 1\.5"):
        CollectConfig(mistake_rate=1.5)
    with pytest.raises(ConfigError, match="seed -1"):
        CollectConfig(seed=-1)
    with pytest.raises(ConfigError, match="image size 0"):
        CollectConfig(image_size=0)
    with pytest.raises(ConfigError, match="0 workers"):
        list(collect(CONFIG, workers=0))
    with pytest.raises(UnknownName, match="overhead, wrist"):
        list(collect(replace(CONFIG, cameras=("front",))))
