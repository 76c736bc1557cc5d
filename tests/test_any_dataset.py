"""Any LeRobot dataset goes in, with settings chosen by themselves; none of it over the network."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outtakes.evaluation.recommendation import Recommendation
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.scores import Scores
from outtakes.selection.select import Selection
from tests.commands import done, fingerprint, in_own_process, refused
from tests.data.lerobot.test_skip_bad import spoil_action
from tests.data.lerobot.varied import LENGTHS, Camera, Robot, record

SHORT = ("--recipe", "smoke", "--steps", "2", "--seeds", "0")

ROBOTS = {
    "arms at 50 Hz, three cameras": Robot(
        fps=50,
        cameras={
            "observation.images.top": Camera(48, 64),
            "observation.images.left_wrist": Camera(96, 72, "image"),
            "observation.image": Camera(40, 120),
        },
        state=14,
        state_names=[f"joint_{i}" for i in range(14)],
        action=14,
        tasks=("fold", "unfold", "put away"),
    ),
    "a gripper at 10 Hz, pictures": Robot(
        fps=10, cameras={"observation.images.front": Camera(64, 64, "image")}, state=2, action=3
    ),
    "no camera, a reward": Robot(fps=30, state=5, outcome="next.reward", outcome_type="float32"),
    "no state, one action": Robot(
        fps=15, cameras={"observation.images.eye": Camera(80, 60)}, state=0, action=1
    ),
}
CHUNKS = {50: 24, 10: 8, 30: 24, 15: 12}
"""Steps that last as long as 16 do at 20 Hz, or as the shortest episode allows."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTTAKES_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuses every connection and look-up of a name, and tells which were tried."""
    tried: list[str] = []

    def refuse(*arguments: Any, **more: Any) -> Any:
        tried.append(repr(arguments))
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture
def blind(made_datasets: Path, tmp_path: Path) -> Path:
    """A dataset without cameras, free to be broken."""
    return Path(shutil.copytree(made_datasets / "blind", tmp_path / "blind"))


@pytest.mark.parametrize("name", ROBOTS)
def test_a_dataset_of_others_is_trained_on(
    name: str, tmp_path: Path, no_network: list[str]
) -> None:
    robot = ROBOTS[name]
    root = record(tmp_path / "theirs", robot)
    before = fingerprint(root)
    flags = ("--policy", "act", "--out", tmp_path / "out", "--json")
    called = done("train", root, *SHORT, *flags)
    assert fingerprint(root) == before
    assert no_network == []
    content = json.loads(called.out)
    chunk = CHUNKS[robot.fps]
    assert content["settings"].pop("eyes").startswith("frozen ") == bool(robot.cameras)
    assert list(content["settings"].pop("by_task")) == list(robot.tasks)
    assert content["settings"] == {
        "cameras": {
            feature.removeprefix("observation.").removeprefix("images."): {
                "stored": [camera.height, camera.width],
                "used": [64, 64],
                "seen_by_policy": True,
            }
            for feature, camera in robot.cameras.items()
        },
        "state_size": robot.state,
        "state_names": list(robot.state_names or ()),
        "environment_state_size": 0,
        "action_size": robot.action,
        "scaling": "mean and standard deviation of the training episodes",
        "fps": robot.fps,
        "chunk": chunk,
        "chunk_seconds": pytest.approx(chunk / robot.fps),
        "replan": round(8 * robot.fps / 20),
        "tasks": len(robot.tasks),
        "episodes": len(LENGTHS),
        "successes": 3,
        "failures": 3,
        "outcomes_from": {robot.outcome: 6},
        "not_used": [],
        "skipped": {},
    }
    act = Checkpoint.load(Path(content["runs"][0])).config
    assert (act.chunk, len(act.views)) == (chunk, len(robot.cameras))


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of the first robot, which no test may change."""
    return record(tmp_path_factory.mktemp("arms") / "arms", next(iter(ROBOTS.values())))


def test_the_settings_are_shown_to_people(arms: Path, tmp_path: Path) -> None:
    called = done("train", arms, *SHORT, "--policy", "act", "--out", tmp_path / "out")
    shown = [line.strip() for line in called.err.splitlines() if line.startswith("  ")]
    joints = ", ".join(f"joint_{i}" for i in range(8))
    assert shown == [
        "Camera    top: 48 × 64 → 64 × 64",
        "Camera    left_wrist: 96 × 72 → 64 × 64",
        "Camera    image: 40 × 120 → 64 × 64",
        "Eyes      frozen tf_efficientnet_lite0 (weights ec70883d), map 3 at 64 pixels, "
        "64 components of each camera",
        f"State     14: {joints}, …",
        "Objects   none",
        "Actions   14",
        "Scaling   mean and standard deviation of the training episodes",
        "Rate      50 frames a second",
        "Chunk     24 steps, 0.48 s",
        "Episodes  6: 3 successes, 3 failures, 3 tasks",
        *(f"Task      {task}: 1 successes, 1 failures" for task in ("fold", "unfold", "put away")),
        "Outcomes  next.success (6)",
    ]


def test_every_choice_can_be_overruled(arms: Path, tmp_path: Path) -> None:
    called = done(
        "train", arms, *SHORT, "--policy", "act", "--cameras", "top", "--image-size", "40",
        "--no-state", "--chunk", "7", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    content = json.loads(called.out)
    settings = content["settings"]
    assert settings["cameras"] == {
        "top": {"stored": [48, 64], "used": [40, 40], "seen_by_policy": True}
    }
    assert (settings["state_size"], settings["state_names"]) == (0, [])
    assert (settings["chunk"], settings["replan"]) == (7, 7)
    checkpoint = Checkpoint.load(Path(content["runs"][0]))
    assert (checkpoint.config.views, checkpoint.sizes.state) == (("top",), 0)


def test_the_report_and_the_command_it_gives_read_the_same_data(arms: Path, tmp_path: Path) -> None:
    flags = ("--cameras", "--image-size", "40", "--outcome-from", "next.success:0.5", "--one-task")
    called = done("triage", arms, *SHORT, "--count", "1", *flags, "--out", tmp_path, "--json")
    assert set(json.loads(called.out)["kept"]) > {0, 2, 4}
    done("report", tmp_path)
    *_, train = Recommendation.load(tmp_path / "recommendation.json").commands
    _, *words = shlex.split(train.line)
    assert words[0] == "train"
    done(*words)


def test_each_task_is_looked_at_by_itself(tmp_path: Path) -> None:
    robot = Robot(tasks=("fold", "fold", "put away", "put away"), lengths=(24, 25, 26) * 4)
    root, out = record(tmp_path / "theirs", robot), tmp_path / "out"
    called = done("triage", root, *SHORT, "--count", "2", "--out", out)
    for task in ("fold", "put away"):
        assert f"Task      {task}: 3 successes, 3 failures" in called.err
    of_task = {episode: episode // 2 % 2 for episode in range(12)}
    scores = Scores.load(out / "scores.json")
    for failure in scores.failures:
        assert failure.nearest_success is not None
        assert of_task[failure.nearest_success] == of_task[failure.episode]
    kept = Selection.load(out / "selection.json").kept
    assert sorted(of_task[e] for e in kept if e % 2) == [0, 1]
    page = (out / "report.html").read_text(encoding="utf-8")
    section = page[page.index('id="tasks"') :]
    assert section.index("3 successes, 3 failures") < section.index('id="ranking"')
    assert section.index("<h3>fold</h3>") < section.index("<h3>put away</h3>")
    told = done("rank", root, "--by", "length", "--out", out / "length.json").out.splitlines()
    assert [line for line in told if line.endswith(":")] == ["fold:", "put away:"]
    *_, train = Recommendation.load(out / "recommendation.json").commands
    done(*shlex.split(train.line)[1:])


def test_a_task_with_a_single_success_is_not_held_out(arms: Path, tmp_path: Path) -> None:
    told = refused("triage", arms, *SHORT, "--cameras", "--out", tmp_path / "out")
    assert "0 successes are too few to hold some out" in told and "--one-task" in told


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--cameras", "topp"), "did you mean 'top'"),
        (("--cameras", "--no-state"), "nothing observed"),
        (("--image-size", "0"), "image size 0"),
        (("--chunk", "31"), "24 frames are fewer than an action chunk of 31"),
    ],
)
def test_choices_that_cannot_be(
    flags: tuple[str, ...], words: str, arms: Path, tmp_path: Path
) -> None:
    assert words in refused("triage", arms, *SHORT, *flags, "--out", tmp_path / "out")


def test_corrupt_episodes_are_left_out_and_told(blind: Path, tmp_path: Path) -> None:
    spoil_action(blind)
    flags = ("triage", blind, *SHORT, "--count", "1", "--out", tmp_path / "out")
    assert "--skip-bad" in refused(*flags)
    called = done(*flags, "--skip-bad")
    assert "  Skipped   episode 1: action is not finite at frame 4" in called.err
    assert "Left out as corrupt: 1, 3\n" in called.out
    content = json.loads(done(*flags, "--skip-bad", "--json").out)
    assert list(content["settings"]["skipped"]) == ["1", "3"]
    assert content["kept"] == [0, 2, 4, 5] and content["dropped"] == []
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Left out as corrupt" in page and "--skip-bad" in page


# The hub


def test_a_dataset_that_the_hub_does_not_give(tmp_path: Path) -> None:
    """Nothing listens at the hub's address, as on a machine without a network."""
    called = in_own_process(
        "triage", "nobody/nothing", "--out", tmp_path / "out",
        HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path / "hf"),
    )  # fmt: skip
    assert (called.code, called.out) == (2, "")
    assert "no such folder, and the hub does not give the dataset" in called.error
    assert "Connection refused" in called.error and "nobody/nothing" in called.error


@pytest.mark.parametrize("name", ["./nobody/nothing", "/nobody/nothing", "nothing", "a/b/c"])
def test_a_path_is_never_looked_up_on_the_hub(
    name: str, tmp_path: Path, no_network: list[str]
) -> None:
    line = refused("triage", name, "--out", tmp_path / "out")
    assert "no such dataset folder" in line
    assert no_network == []


def test_a_folder_that_looks_like_an_id_is_a_folder(
    arms: Path, tmp_path: Path, no_network: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "name").symlink_to(arms)
    monkeypatch.chdir(tmp_path)
    assert "6 episodes" in done("label", "owner/name", "--show").out
    assert no_network == []
