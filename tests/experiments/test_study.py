"""The whole pipeline in miniature: the demo, its verbs one by one, and a study that is killed."""

from __future__ import annotations

import html
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.recommendation import Recommendation
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.experiments.runs import run_folder
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.ranking.scores import Scores
from outtakes.selection.select import Selection
from tests.commands import SCRIPT, Called, done

ARMS = ("act-s", "act-all", "pb-kl-all", "act-best", "act-random")
TREATMENTS = {
    *("act-s", "act-all", "act-best", "act-random"),
    *(f"pb-kl-all ({steering})" for steering in ("nearest", "mean")),
}
SMOKE = ("--recipe", "smoke", "--seeds", "1")
KILLED = ("pb-kl-all", 1)
"""The run that the study is killed in; the demo has it, too."""


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    """A finished demo, which no test may change, and what it said."""
    out = tmp_path_factory.mktemp("smoke") / "demo"
    return out, done("demo", *SMOKE, "--out", out)


@pytest.fixture(scope="module")
def out(smoke: tuple[Path, Called]) -> Path:
    """Folder of the demo."""
    return smoke[0]


def mtimes(folder: Path) -> dict[str, int]:
    """What training and rolling out left, and when."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in (folder / "runs").rglob("*")
        if path.is_file()
    }


def by_state(log: RolloutLog, treatment: str, seed: int) -> list[Rollout]:
    return [r for r in log.rollouts if (r.treatment, r.seed) == (treatment, seed)]


# The demo


def test_the_demo_leaves_every_artifact(smoke: tuple[Path, Called]) -> None:
    out, called = smoke
    assert f"Report: {out / 'report.html'}" in called.out
    for arm in ARMS:
        checkpoint = Checkpoint.load(run_folder(out, arm, 1))
        assert (checkpoint.step, checkpoint.seed) == (60, 1)
    log = RolloutLog.load(out / "rollouts.parquet")
    assert {len(by_state(log, name, 1)) for name in TREATMENTS} == {4}
    comparison = Comparison.load(out / "comparison.json")
    advice = Recommendation.load(out / "recommendation.json")
    assert called.out.startswith("Cannot tell yet whether the 2 failures ranked first")
    assert called.out.rindex(advice.commands[-1].line) < called.out.rindex("Report: ")
    assert set(comparison.rates) == TREATMENTS
    assert len(Scores.load(out / "scores.json").failures) == 4
    selection = Selection.load(out / "selection.json")
    assert (len(selection.kept), len(selection.dropped)) == (6, 2)
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    assert all(command.line in page for command in advice.commands)
    assert len(list((out / "media" / "rollouts").glob("*.mp4"))) == 3
    assert len(list((out / "media" / "episodes").glob("*.mp4"))) >= 4


def test_the_selected_failures_are_those_retrained_on(out: Path) -> None:
    nearest = [f.episode for f in Scores.load(out / "scores.json").ranked()][:2]
    trained = Checkpoint.load(run_folder(out, "act-best", 1))
    failures = [e for e, s in zip(trained.episodes, trained.successes, strict=True) if not s]
    assert sorted(nearest) == failures
    assert tuple(Selection.load(out / "selection.json").kept) == trained.episodes


def test_a_second_call_does_nothing_twice(smoke: tuple[Path, Called]) -> None:
    out, first = smoke
    before, started = mtimes(out), time.process_time()
    again = done("demo", *SMOKE, "--out", out, "--json")
    assert mtimes(out) == before
    assert time.process_time() - started < 10
    assert len(again.out.splitlines()) == 1
    content = json.loads(again.out)
    assert content["recommendation"]["commands"][0]["line"] in first.out
    assert content["report"] == str(out / "report.html")


# The verbs one by one


def test_the_verbs_one_by_one(out: Path, tmp_path: Path) -> None:
    dataset, runs = out / "dataset", tmp_path / "runs"
    small = ("--recipe", "smoke", "--steps", "4")
    called = done("train", dataset, *small, "--seeds", "0", "1", "--out", tmp_path, "--json")
    first, second = map(Path, json.loads(called.out)["runs"])
    assert (first, second) == (runs / "act-pb" / "seed-0", runs / "act-pb" / "seed-1")
    assert list((first / "tensorboard").iterdir())

    scores = tmp_path / "scores.json"
    called = done("rank", first, second, "--recipe", "smoke", "--out", scores, "--json")
    ranked = json.loads(called.out)["ranked"]
    assert sorted(ranked) == [f.episode for f in Scores.load(scores).failures]

    selection = tmp_path / "selection.json"
    called = done("select", scores, "--keep", "low", "--count", "1", "--out", selection)
    kept = Selection.load(selection).kept
    assert called.out == f"--dataset.episodes=[{','.join(map(str, kept))}]\n"
    assert ranked[0] in kept and not set(ranked[1:]) & set(kept)

    again = ("--select", selection, "--policy", "act", "--seeds", "0")
    done("train", dataset, *small, *again, "--out", tmp_path)
    retrained = runs / "act" / "seed-0"
    assert list(Checkpoint.load(retrained).episodes) == kept

    options = ("--rollouts", "2", "--videos", "1", "--ensemble", "0.01", "--steering", "nearest")
    called = done("evaluate", retrained, first, *small[:2], *options, "--out", tmp_path, "--json")
    videos = json.loads(called.out)["videos"]
    assert [Path(video).name for video in videos] == ["act-0-0.mp4", "act-pb-nearest-0-0.mp4"]
    assert all(Path(video).stat().st_size > 1_000 for video in videos)
    log = RolloutLog.load(tmp_path / "rollouts.parquet")
    assert [(r.arm, r.initial_state) for r in log.rollouts] == [
        (arm, state) for arm in ("act", "act-pb") for state in (0, 1)
    ]
    assert Comparison.load(tmp_path / "comparison.json").baseline == "act"


def test_the_report_is_written_again(out: Path) -> None:
    page = out / "report.html"
    before = page.read_bytes()
    page.unlink()
    called = done("report", out)
    assert called.out == f"Report: {page}\n"
    assert page.read_bytes() == before


# A study


def test_a_killed_study_goes_on_where_it_was(out: Path, tmp_path: Path) -> None:
    """Finished runs stay as they are, and the killed one ends as if it had never been."""
    study, unbroken = tmp_path / "study", RolloutLog.load(out / "rollouts.parquet")
    shutil.copytree(out / "dataset", study / "dataset")
    for arm in ("act-s", "act-all"):
        shutil.copytree(run_folder(out, arm, 1), run_folder(study, arm, 1))
    command = (
        "study", "paper", "--recipe", "smoke", "--seeds", "1", "--selection-seeds", "1",
        "--few-successes", "2", "10", "--out", str(study),
    )  # fmt: skip
    finished = kill_during(command, run_folder(study, *KILLED))
    assert not (run_folder(study, *KILLED) / "evaluation.json").exists()
    assert not (study / "rollouts.parquet").exists()

    done(*command)
    after = mtimes(study)
    assert {name: after[name] for name in finished} == finished
    log = RolloutLog.load(study / "rollouts.parquet")
    for name in ("act-s", "act-all", "pb-kl-all (nearest)", "pb-kl-all (mean)"):
        assert by_state(log, name, 1) == by_state(unbroken, name, 1)
    ends = [Checkpoint.load(run_folder(root, *KILLED)).tensors for root in (study, out)]
    assert ends[0].keys() == ends[1].keys()
    assert all(bool((ends[0][name] == tensor).all()) for name, tensor in ends[1].items())
    assert (study / "tables.md").read_text(encoding="utf-8").count("### ") == 3
    assert (study / "report.html").exists()


def kill_during(command: tuple[str, ...], run: Path) -> dict[str, int]:
    """Start the command and kill it, with all its processes, once `run` has a checkpoint.

    Returns:
        What other runs had left by then, and when.
    """
    study = run.parents[2]
    said = study.with_name("said.txt")
    with said.open("w") as stream:
        started = subprocess.Popen(
            [SCRIPT, *command], stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 300
        while not (run / FILE).exists():
            assert started.poll() is None, said.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
    own = str(run.relative_to(study))
    return {name: when for name, when in mtimes(study).items() if not name.startswith(own)}
