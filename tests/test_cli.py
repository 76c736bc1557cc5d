"""The command line: help, and one line for every mistake that leaves the disk as it was."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from outtakes import cli
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.ranking.scores import Scores
from tests.commands import SCRIPT, TINY, done, fingerprint, in_own_process, outtakes, refused
from tests.data.episodes import LENGTHS
from tests.data.lerobot.test_damage import cut_in_half, edit_column, edit_info, only
from tests.disk import full_after

VERBS = (
    "demo",
    "triage",
    "label",
    "collect",
    "import",
    "train",
    "rank",
    "select",
    "export",
    "evaluate",
    "convert",
    "study",
    "report",
    "review",
    "rerun",
    "doctor",
)


@pytest.fixture(scope="module")
def trained(made_datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps on `lift`, which no test may change."""
    out = tmp_path_factory.mktemp("trained")
    done("train", made_datasets / "lift", *TINY, "--out", out)
    return out / "runs" / "act-pb" / "seed-0"


# Help


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import resource, sys\n"
        "import tyro\n"
        "bare = resource.getrusage(resource.RUSAGE_SELF)\n"
        "from outtakes.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "heavy = {'torch', 'lerobot', 'robosuite', 'scipy', 'rich.progress', 'mujoco', 'numpy'}\n"
        "seconds = [own.ru_utime + own.ru_stime for own in (used, bare)]\n"
        "print(heavy & set(sys.modules), seconds[0] / seconds[1])\n"
    )
    # Startup files of the environment may cost more than the help itself.
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    *_, last = finished.stdout.splitlines()
    imported, times_as_long = last.rsplit(" ", 1)
    assert imported == "set()"
    # As the library it needs to be there at all: machines differ.
    assert float(times_as_long) < 2.5
    for verb in VERBS:
        assert verb in finished.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_documents_every_flag(verb: str) -> None:
    called = outtakes(verb, "--help")
    assert called.code == 0
    help_text = " ".join(called.out.replace("│", " ").split())
    kind = vars(cli)[verb.capitalize()]
    for field in dataclasses.fields(kind):
        assert _docstring(kind, field.name)
        assert " ".join(_docstring(kind, field.name).split())[:60] in help_text


def _docstring(verb: type, field: str) -> str:
    """The docstring below a field of a verb or of what it extends."""
    for kind in verb.__mro__[:-1]:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        assert isinstance(body, ast.ClassDef)
        for line, following in zip(body.body, body.body[1:], strict=False):
            named = isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == field
            if named and isinstance(following, ast.Expr):
                return str(ast.literal_eval(following.value))
    return ""


def test_an_unknown_verb_exits_with_2() -> None:
    assert outtakes("colect", "lift").code == 2


# Names


def test_an_unknown_recipe_is_corrected(tmp_path: Path) -> None:
    line = refused("demo", "--recipe", "quik", "--out", tmp_path / "out")
    assert "unknown recipe 'quik'" in line and "did you mean 'quick'?" in line
    assert not (tmp_path / "out").exists()


def test_an_unknown_task_is_corrected(tmp_path: Path) -> None:
    line = refused("collect", "lft", "--out", tmp_path / "out")
    assert "unknown environment 'lft'" in line and "did you mean 'lift'?" in line
    assert not (tmp_path / "out").exists()


def test_cuda_without_a_gpu(
    made_datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    flags = ("--device", "cuda", "--out", tmp_path / "out")
    line = refused("train", made_datasets / "lift", *flags)
    assert line == "no CUDA device here: use --device cpu"


@pytest.mark.parametrize(
    "flags",
    [
        ("--steps", "0"),
        ("--chunk", "0"),
        ("--seeds",),
        ("--seeds", "1", "1"),
        ("--seeds", "-1"),
    ],
)
def test_settings_that_cannot_work(flags: tuple[str, ...], made_datasets: Path, tmp_path: Path):
    refused("train", made_datasets / "lift", "--recipe", "smoke", *flags, "--out", tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("--selection-seeds", "0", "0"),
        ("--selection-seeds",),
        ("--few-successes", "0"),
    ],
)
def test_a_study_that_cannot_work(flags: tuple[str, ...], tmp_path: Path) -> None:
    refused("study", "paper", "--recipe", "smoke", *flags, "--out", tmp_path / "out")
    assert fingerprint(tmp_path) == {}


def test_triage_that_keeps_nothing(made_datasets: Path, tmp_path: Path) -> None:
    arguments = (made_datasets / "lift", *TINY, "--count", "0", "--out", tmp_path / "out")
    assert "cannot keep 0 of 3 failures" in refused("triage", *arguments)
    assert fingerprint(tmp_path) == {}


def test_a_run_with_other_settings(trained: Path, made_datasets: Path) -> None:
    out = trained.parents[2]
    before = fingerprint(out)
    line = refused("train", made_datasets / "lift", *TINY, "--steps", "3", "--out", out)
    assert "another length, batch, rate or start of training" in line and str(trained) in line
    assert fingerprint(out) == before


# Datasets


def spoil_actions(root: Path) -> None:
    def spoil(actions: list) -> list:
        actions[LENGTHS[0] + 4][2] = float("nan")
        return actions

    edit_column(only(root, "data/*/*.parquet"), "action", spoil)


def widen_actions(root: Path) -> None:
    start = sum(LENGTHS[:3])
    edit_column(
        only(root, "data/*/*.parquet"),
        "action",
        lambda actions: actions[:start] + [[*a, 0.0] for a in actions[start:]],
    )


DAMAGES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no labels": (
        lambda root: edit_info(root, lambda info: info["features"].pop("next.success")),
        ("no outcome for episode 0", "episode_labels.json"),
    ),
    "NaN actions": (spoil_actions, ("action is not finite at frame 4", "episode 1", "repair")),
    "mismatched shapes": (widen_actions, ("action has 8 values", "episode 3")),
    "truncated parquet": (
        lambda root: cut_in_half(only(root, "data/*/*.parquet")),
        ("truncated or damaged", "file-000.parquet", "restore"),
    ),
    "truncated video": (
        lambda root: cut_in_half(only(root, "videos/*/*/*.mp4")),
        ("file-000.mp4", "restore"),
    ),
    "wrong fps": (
        lambda root: edit_info(root, lambda info: info.update(fps=30)),
        ("20 frames a second, the dataset at 30", "file-000.mp4", "set fps"),
    ),
}


@pytest.mark.parametrize("verb", ["triage", "train"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_dataset(verb: str, damage: str, lift_dataset: Path, tmp_path: Path) -> None:
    break_it, words = DAMAGES[damage]
    break_it(lift_dataset)
    before = fingerprint(tmp_path)
    line = refused(verb, lift_dataset, *TINY, "--out", tmp_path / "out")
    assert str(lift_dataset) in line
    for word in words:
        assert word in line, line
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("successes", "no failure to rank among 3 episodes"),
        ("failures", "no success to learn from among 3 episodes"),
        ("one", "no failure to rank among 1 episode "),
    ],
)
def test_triage_of_one_outcome(name: str, words: str, made_datasets: Path, tmp_path: Path) -> None:
    before = fingerprint(made_datasets)
    line = refused("triage", made_datasets / name, *TINY, "--out", tmp_path / "out")
    assert words in line and str(made_datasets / name) in line and "episode_labels.json" in line
    assert fingerprint(made_datasets) == before
    assert fingerprint(tmp_path) == {}


def test_parametric_bias_without_a_success(made_datasets: Path, tmp_path: Path) -> None:
    line = refused("train", made_datasets / "failures", *TINY, "--out", tmp_path / "out")
    assert "no success" in line and str(made_datasets / "failures") in line
    assert fingerprint(tmp_path) == {}


@pytest.mark.parametrize("verb", ["triage", "train"])
def test_no_dataset(verb: str, tmp_path: Path) -> None:
    line = refused(verb, tmp_path / "pusht", *TINY, "--out", tmp_path / "out")
    assert "no such dataset folder" in line and "pusht" in line and "owner/name" in line
    assert fingerprint(tmp_path) == {}


@pytest.mark.parametrize("verb", ["triage", "train"])
def test_short_episodes(verb: str, made_datasets: Path, tmp_path: Path) -> None:
    arguments = (verb, made_datasets / "lift", "--recipe", "smoke", "--out", tmp_path / "out")
    line = refused(*arguments, "--chunk", "16")
    assert "12 frames are fewer than an action chunk of 16" in line and "episode 0" in line
    assert "--chunk 12" in line and "--short-episodes pad" in line
    assert fingerprint(tmp_path) == {}


def test_short_episodes_may_be_padded(made_datasets: Path, tmp_path: Path) -> None:
    arguments = ("--recipe", "smoke", "--steps", "2", "--seeds", "0", "--short-episodes", "pad")
    called = done("train", made_datasets / "lift", *arguments, "--out", tmp_path / "out")
    assert called.out.startswith("Run: ")
    assert Checkpoint.load(tmp_path / "out" / "runs" / "act-pb" / "seed-0").config.chunk == 16


def test_short_episodes_shorten_the_chunk(made_datasets: Path, tmp_path: Path) -> None:
    arguments = ("--recipe", "smoke", "--steps", "2", "--seeds", "0", "--out", tmp_path / "out")
    called = done("train", made_datasets / "lift", *arguments)
    assert "Chunk     12 steps, 0.6 s" in called.err
    assert Checkpoint.load(tmp_path / "out" / "runs" / "act-pb" / "seed-0").config.chunk == 12


# Runs


def test_a_folder_that_holds_a_run_of_other_data(trained: Path, made_datasets: Path) -> None:
    out = trained.parents[2]
    before = fingerprint(out)
    line = refused("train", made_datasets / "pictures", *TINY, "--out", out)
    assert "trained with another dataset" in line and str(trained) in line and "--out" in line
    assert fingerprint(out) == before


def test_ranking_by_a_sample_says_how_sure_it_is(trained: Path, tmp_path: Path) -> None:
    command = ("rank", trained, "--recipe", "smoke", "--out")
    exact = done(*command, tmp_path / "exact.json")
    assert "±" not in exact.out
    sampled = done(*command, tmp_path / "sampled.json", "--pairs", "8")
    heading, *lines = sampled.out.splitlines()
    assert heading.endswith("± standard error of the sample")
    assert len(lines) == 3 and all(" ± " in line for line in lines)
    for name, kind in (("exact", type(None)), ("sampled", float)):
        content = json.loads((tmp_path / f"{name}.json").read_text())
        assert {type(f["standard_error"]) for f in content["failures"]} == {kind}


@pytest.mark.parametrize("pairs", ["3", "0", "-1"])
def test_a_sample_too_small_to_judge(trained: Path, tmp_path: Path, pairs: str) -> None:
    line = refused("rank", trained, "--pairs", pairs, "--out", tmp_path / "scores.json")
    assert line == f"{pairs} pairs for each failure: ask for 4 or more"
    assert not (tmp_path / "scores.json").exists()


def test_ranking_by_another_dataset(trained: Path, made_datasets: Path, tmp_path: Path) -> None:
    other = made_datasets / "pictures"
    line = refused("rank", trained, "--dataset", other, "--out", tmp_path / "scores.json")
    assert "seed 0 was trained on other data" in line and str(other) in line
    assert fingerprint(tmp_path) == {}


def test_a_selection_of_another_dataset(trained: Path, made_datasets: Path, tmp_path: Path) -> None:
    scores, selection = tmp_path / "scores.json", tmp_path / "selection.json"
    done("rank", trained, "--recipe", "smoke", "--out", scores)
    done("select", scores, "--count", "1", "--out", selection)
    before = fingerprint(tmp_path)
    assert set(before) == {scores, selection}
    line = refused(
        "train", made_datasets / "pictures", *TINY, "--select", selection, "--out", tmp_path / "out"
    )
    assert "the selection was made for other data" in line and str(selection) in line
    line = refused("select", scores, "--count", "9", "--out", tmp_path / "more.json")
    assert "cannot keep 9 of 3 failures" in line and "--count between 1 and 3" in line
    line = refused(
        "triage", made_datasets / "lift", *TINY, "--count", "9", "--out", tmp_path / "out"
    )
    assert "cannot keep 9 of 3 failures" in line
    assert fingerprint(tmp_path) == before


def test_below_a_threshold_the_range_and_the_number_are_told(trained: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.json"
    done("rank", trained, "--recipe", "smoke", "--out", scores)
    means = sorted(failure.mean for failure in Scores.load(scores).failures)
    flags = ("--keep", "below", "--threshold", str(means[1]), "--out", tmp_path / "s.json")
    line, listed = done("select", scores, *flags).out.splitlines()
    assert line.startswith("2 of 3 failures are at")
    assert line.endswith(f"range from {means[0]:.4g} to {means[-1]:.4g}")
    assert listed.count(",") == 4


def test_a_run_that_was_read_otherwise_is_told_from_one_of_other_data(
    trained: Path, tmp_path: Path
) -> None:
    flags = ("--recipe", "smoke", "--image-size", "48", "--out", tmp_path / "scores.json")
    line = refused("rank", trained, *flags)
    assert "the same data read otherwise: image_size" in line and "48 now" in line


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, free to be broken."""
    run = tmp_path / "out" / "runs" / "act-pb" / "seed-0"
    run.mkdir(parents=True)
    (run / FILE).write_bytes((trained / FILE).read_bytes())
    return run


def assert_refused_by_all(run: Path, dataset: Path, *words: str) -> None:
    out = run.parents[2]
    before = fingerprint(out)
    for arguments in (
        ("rank", run, "--out", out / "scores.json"),
        ("evaluate", run, "--out", out),
        ("train", dataset, *TINY, "--out", out),
    ):
        line = refused(*arguments)
        for word in (str(run / FILE), *words):
            assert word in line, line
        assert fingerprint(out) == before


def test_a_corrupt_checkpoint(run: Path, made_datasets: Path) -> None:
    cut_in_half(run / FILE)
    assert_refused_by_all(run, made_datasets / "lift", "cannot read the checkpoint", "train again")


def test_a_checkpoint_of_another_version(run: Path, made_datasets: Path) -> None:
    with safe_open(run / FILE, framework="pt") as file:
        meta = json.loads(file.metadata()["outtakes"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, run / FILE, {"outtakes": json.dumps({**meta, "version": 99})})
    assert_refused_by_all(run, made_datasets / "lift", "checkpoint of version 99", "train again")


@pytest.mark.parametrize("missing", ["wandb"])
def test_an_extra_that_is_not_installed(missing: str, made_datasets: Path, tmp_path: Path) -> None:
    assert find_spec(missing) is None
    line = refused("train", made_datasets / "lift", *TINY, "--wandb", "--out", tmp_path / "out")
    assert "Weights & Biases is not installed" in line and "outtakes[wandb]" in line


def test_no_run(tmp_path: Path) -> None:
    assert "no checkpoint" in refused("rank", tmp_path / "none", "--out", tmp_path / "scores.json")
    assert "at least one run folder" in refused("rank", "--out", tmp_path / "scores.json")
    assert fingerprint(tmp_path) == {}


def test_a_policy_that_does_not_fit_the_task(trained: Path, tmp_path: Path) -> None:
    before = fingerprint(trained)
    flags = ("--task", "stack", "--recipe", "smoke", "--out", tmp_path / "rollouts")
    line = refused("evaluate", trained, *flags)
    assert "expects state and environment state of (14, 7)" in line and "stack gives" in line
    assert str(trained) in line
    assert fingerprint(trained) == before and not (tmp_path / "rollouts").exists()


# The machine


@pytest.mark.parametrize("verb", ["triage", "train", "collect", "demo"])
def test_a_folder_that_cannot_be_written(verb: str, made_datasets: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    what = {"collect": ["lift"], "demo": []}.get(verb, [made_datasets / "lift"])
    line = refused(verb, *what, "--recipe", "smoke", "--out", tmp_path / "file" / "deep" / "out")
    assert "cannot write" in line and "file" in line and "--out" in line
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_keeps_the_last_checkpoint(made_datasets: Path, tmp_path: Path) -> None:
    run = tmp_path / "out" / "runs" / "act" / "seed-0"
    finished = threading.Event()

    def fill_the_disk() -> None:
        while not (run / FILE).exists() and not finished.is_set():
            time.sleep(0.001)
        with full_after(20_000):
            finished.wait(60)

    filling = threading.Thread(target=fill_the_disk)
    filling.start()
    try:
        line = refused(
            "train", made_datasets / "lift", "--recipe", "smoke", "--seeds", "0", "--chunk", "5",
            "--policy", "act", "--out", tmp_path / "out",
        )  # fmt: skip
    finally:
        finished.set()
        filling.join()
    assert "no space left on the disk" in line and str(run / FILE) in line
    assert Checkpoint.load(run).step == 30
    assert [p.name for p in run.iterdir() if p.is_file()] == [FILE]
    done(
        "train", made_datasets / "lift", "--recipe", "smoke", "--seeds", "0", "--chunk", "5",
        "--policy", "act", "--out", tmp_path / "out",
    )  # fmt: skip
    assert Checkpoint.load(run).step == 60


def test_no_opengl(tmp_path: Path) -> None:
    # A display driver that does not exist: EGL loads, and finds nothing to draw on.
    called = in_own_process(
        "collect", "lift", "--successes", "1", "--failures", "0", "--out", tmp_path / "lift",
        MUJOCO_GL="egl", __EGL_VENDOR_LIBRARY_FILENAMES="/dev/null",
    )  # fmt: skip
    assert (called.code, called.out) == (2, "")
    assert "egl cannot render here" in called.error and "apt-get install" in called.error
    assert fingerprint(tmp_path) == {}


def test_our_own_faults_are_not_blamed_on_the_user(tmp_path: Path) -> None:
    """Anything but an `OuttakesError` passes through, with its traceback and exit code 1."""
    (tmp_path / "sitecustomize.py").write_text(
        "import outtakes.doctor\n"
        "def inspect_machine(*_): raise ZeroDivisionError('ours')\n"
        "outtakes.doctor.inspect_machine = inspect_machine\n"
    )
    finished = subprocess.run(
        [SCRIPT, "doctor"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert finished.returncode == 1
    assert "ZeroDivisionError: ours" in finished.stderr
