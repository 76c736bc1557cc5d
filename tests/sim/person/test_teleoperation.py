"""A person collects: real keys, pressed on a screen without a monitor, become a dataset.

The command runs as a user runs it, in a process of its own; only the monitor is missing.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot.metadata import read_metadata
from outtakes.data.lerobot.read import read_dataset
from outtakes.sim.collect import STEPS_AFTER_SUCCESS
from outtakes.sim.initial_states import InitialStates, Stream
from outtakes.sim.robosuite.lift import Lift
from tests.commands import SCRIPT, done, fingerprint, in_own_process, refused
from tests.display import Fingers

SEED = 7
COLLECT = (
    *("collect", "lift", "--operator", "keyboard"),
    *("--recipe", "smoke", "--seed", str(SEED)),
)


class Booth:
    """`outtakes collect lift --operator keyboard` under way, with a hand on its keys."""

    def __init__(self, display: str, out: Path, *arguments: str) -> None:
        self.fingers = Fingers(display)
        self.process = subprocess.Popen(
            [SCRIPT, *COLLECT, "--out", out, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        assert self.process.stdout is not None and self.process.stderr is not None
        self.stdout, self.stderr = self.process.stdout, self.process.stderr
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        for line in self.stderr:
            self._lines.put(line)

    def hear(self, words: str) -> None:
        """Wait until it says this."""
        heard = []
        while not any(words in line for line in heard[-1:]):
            try:
                heard.append(self._lines.get(timeout=120))
            except queue.Empty:
                pytest.fail(f"waiting for {words!r}, heard {heard}")

    def begin(self, words: str) -> None:
        """Wait until it says this and hears the keys."""
        self.hear(words)
        self.fingers.wait_for_window()

    def keep(self, number: int, key: str, seconds: float) -> None:
        """Hold one key for a take, and keep it."""
        self.fingers.hold(key, seconds)
        time.sleep(0.2)
        self.fingers.tap("Return")
        self.hear(f"attempt {number}: kept, a failure")

    def finish(self) -> str:
        """Wait for its end, which must be good; what it says then."""
        assert self.process.wait(timeout=120) == 0
        return self.stdout.read()

    def kill(self) -> None:
        """As a power cut does."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self._listener.join()
        self.stdout.close()
        self.stderr.close()
        self.fingers.close()


@pytest.fixture(scope="module")
def collected(display: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of four takes, after a kill, a pause, a discarded take and one done again.

    | attempt | what the person does                                   |
    |---------|--------------------------------------------------------|
    | 0       | holds Right, keeps it                                  |
    | 1       | holds ';', keeps it; the process is killed in the next |
    | 2       | closes the gripper, keeps it                           |
    | 3       | discards, after pressing the same key elsewhere        |
    | 4       | holds Left, does it again holding 'o', keeps it        |
    | 5       | stops, before there are nine; four are enough then     |
    """
    out = tmp_path_factory.mktemp("person") / "dataset"
    with Booth(display, out, "--takes", "9") as booth:
        _kept_two_then_killed(booth)
    assert not out.exists()
    with Booth(display, out, "--takes", "9") as booth:
        _kept_two_more_then_stopped(booth)
    assert not out.exists()
    said = done(*COLLECT, "--out", out, "--takes", "4").out
    assert "Takes: 0 succeeded, 4 failed" in said
    assert f"Dataset: {out}" in said
    return out


def _kept_two_then_killed(booth: Booth) -> None:
    booth.begin("take 1, attempt 0: ready")
    booth.keep(0, "Right", 0.5)
    booth.hear("take 2, attempt 1: ready")
    booth.keep(1, "semicolon", 0.5)
    booth.hear("take 3, attempt 2: ready")
    booth.fingers.hold("Up", 0.3)
    booth.kill()


def _kept_two_more_then_stopped(booth: Booth) -> None:
    booth.begin("take 3, attempt 2: ready")
    booth.keep(2, "space", 0.1)
    booth.hear("take 4, attempt 3: ready")
    booth.fingers.tap_elsewhere("x")
    booth.fingers.tap("x")
    booth.hear("attempt 3: discarded")
    booth.hear("take 4, attempt 4: ready")
    booth.fingers.hold("Left", 0.4)
    booth.fingers.tap("BackSpace")
    booth.hear("attempt 4: again")
    booth.hear("take 4, attempt 4: ready")
    booth.keep(4, "o", 0.5)
    booth.hear("take 5, attempt 5: ready")
    booth.fingers.tap("Escape")
    said = booth.finish()
    assert "The same command goes on" in said and "--takes 4" in said


@pytest.fixture(scope="module")
def demos(collected: Path, tmp_path_factory: pytest.TempPathFactory) -> DemoSet:
    return read_dataset(collected, cache_dir=tmp_path_factory.mktemp("cache"))


def test_every_kept_take_is_an_episode_and_failures_are_kept(collected, demos):
    facts = read_metadata(collected)
    assert [facts[episode]["attempt"] for episode in range(4)] == [0, 1, 2, 4]
    assert demos.episodes(Outcome.FAILURE) == [0, 1, 2, 3]
    assert demos.fps == 20


def test_the_metadata_say_who_how_long_and_how_smoothly(collected, demos):
    for episode, demo in enumerate(demos):
        facts = read_metadata(collected)[episode]
        assert facts["operator"] == "keyboard"
        assert facts["seed"] == SEED
        # No step is shorter than a control step, but for what was made up for.
        assert facts["seconds"] > len(demo) / 20 - 0.1
        assert 0 <= facts["late_steps"] <= len(demo)
        assert (facts["cube_x"], facts["cube_y"]) == tuple(demo.environment_state[0, :2].tolist())


@pytest.mark.parametrize(
    ("episode", "axis", "value"), [(0, 1, 0.4), (1, 2, 0.4), (2, 6, 1.0), (3, 5, 0.15)]
)
def test_actions_are_those_of_the_keys_from_the_first_frame_on(demos, episode, axis, value):
    action = demos[episode].action
    others = np.delete(action, axis, axis=1)
    rest = np.delete([0, 0, 0, 0, 0, 0, -1], axis)
    assert np.allclose(others, rest, atol=1e-6)
    moving = np.isclose(action[:, axis], value, atol=1e-6)
    assert moving[0]
    # Once let go, a key does no more, until the take is ended.
    assert np.array_equal(moving, np.arange(len(action)) < moving.sum())


def test_every_take_replays_from_the_start_of_its_attempt(collected, demos):
    lift = Lift()
    for episode, demo in enumerate(demos):
        attempt = read_metadata(collected)[episode]["attempt"]
        lift.reset(InitialStates(Stream.COLLECT, SEED).at(lift, attempt))
        for state, environment_state, action in zip(
            demo.state, demo.environment_state, demo.action, strict=True
        ):
            seen = lift.observe()
            assert np.array_equal(seen["observation.state"], state)
            assert np.array_equal(seen["observation.environment_state"], environment_state)
            lift.step(action)


def test_pictures_are_rendered_as_the_recipe_says(demos):
    for demo in demos:
        assert demo.images["overhead"].shape == (len(demo), 64, 64, 3)
        assert demo.images["overhead"].std() > 10


def test_nothing_but_the_dataset_is_left(collected):
    assert list(collected.parent.iterdir()) == [collected]


def test_a_cube_lifted_by_keys_is_a_success_and_ends_the_take(display, tmp_path):
    out = tmp_path / "dataset"
    subprocess.run([sys.executable, "-m", "tests.sim.person.person_at_keys", out], check=True)
    (demo,) = read_dataset(out, cache_dir=tmp_path / "cache")
    assert demo.outcome is Outcome.SUCCESS
    height = demo.environment_state[:, 2]
    # Solved in the step after which the cube was seen 4 cm up, and a few more.
    risen = np.argmax(height > height[0] + 0.04)
    assert abs(len(demo) - (risen + STEPS_AFTER_SUCCESS)) <= 2
    assert demo.action[0, 6] == -1
    assert demo.action[-1] == pytest.approx([0, 0, 1, 0, 0, 0, 1])


def test_without_a_display_one_line_says_so_and_nothing_is_left(tmp_path):
    nowhere = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    arguments = ("collect", "lift", "--operator", "keyboard", "--out", tmp_path / "out")
    called = in_own_process(*arguments, **nowhere)
    assert called.code == 2
    assert called.error.endswith("run this in a desktop session, with DISPLAY set")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--operator", "scripted", "--takes", "3"), "--successes and --failures"),
        (("--operator", "keyboard", "--failures", "3"), "--takes"),
        (("--operator", "spacemouse", "--successes", "3"), "--takes"),
        (("--operator", "keyboard", "--takes", "0"), "at least one"),
        (("--operator", "keyboard", "--seconds", "0"), "at least 1 second"),
        (("--operator", "keyboard", "--seed", "-1"), "0 or more"),
        (("--operator", "keyboard", "--speed", "0"), "up to 1"),
        (("--operator", "spacemouse"), "plug it in"),
    ],
)
def test_what_cannot_work_is_refused_before_a_window_opens(display, tmp_path, arguments, words):
    assert words in refused("collect", "lift", *arguments, "--out", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_task_with_other_actions_is_refused_before_a_window_opens(display, tmp_path):
    arguments = ("collect", "metaworld-reach-v3", "--operator", "keyboard")
    assert "choose one of robosuite's tasks" in refused(*arguments, "--out", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_refused_and_left_alone(collected):
    before = fingerprint(collected)
    line = refused("collect", "lift", "--operator", "keyboard", "--out", collected)
    assert "choose a new --out" in line
    assert fingerprint(collected) == before
