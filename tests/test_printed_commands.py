"""Every command that a report, the terminal or a page of the documentation prints runs as printed.

Only how long it takes is cut: the recipe, the number of steps, of rollouts and of episodes.
"""

from __future__ import annotations

import html
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from outtakes import api
from outtakes.evaluation.recommendation import Command, Decision, Recommendation
from outtakes.experiments.commands import training_commands
from outtakes.policy.checkpoint import Checkpoint
from outtakes.selection.select import Selection
from tests.commands import TINY, Called, done
from tests.data.lerobot.varied import Camera, Robot
from tests.data.lerobot.version_21 import write_version_21
from tests.shell import printed_commands

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "results" / "README.md"]
OTHERS = ("afil", "collect", "demo", "study")
"""Verbs that simulate, which tests of theirs run: tests/experiments and tests/sim."""
PROGRAMS = ("lerobot-train", "lerobot-eval", "make", "pip", "python", "uv")
"""Programs that other tests call: tests/plugin, tests/test_installation.py, benchmarks."""
SHORT = (
    *("--steps=1", "--batch_size=2", "--num_workers=0", "--policy.device=cpu"),
    *("--policy.dim_model=16", "--policy.n_heads=2", "--policy.pretrained_backbone_weights=null"),
)
TRAIN_ALL = """
import json, sys
from lerobot.scripts.lerobot_train import main
for sys.argv in json.loads(sys.argv[1]):
    main()
"""


@pytest.fixture(scope="module")
def triaged(made_datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Called]:
    """The folder of a triage, and what it said."""
    out = tmp_path_factory.mktemp("printed") / "a triage"
    return out, done("triage", made_datasets / "lift", *TINY, "--count", "1", "--out", out)


@pytest.fixture(scope="module")
def commands(triaged: tuple[Path, Called], made_datasets: Path) -> list[Command]:
    """All that it could have recommended."""
    out, _ = triaged
    recipe = replace(api.recipe("smoke"), seeds=(0,))
    recipe = replace(recipe, train=replace(recipe.train, steps=2, warmup=0))
    prepared = api.prepare(made_datasets / "lift", out, recipe=recipe, chunk=5)
    once = Recommendation.load(out / "recommendation.json")
    selected, *_, every = (option.failures for option in once.tried)
    told = [
        once,
        replace(once, again=False),
        replace(once, decision=Decision.LEAVE_OUT),
        replace(once, decision=Decision.USE, failures=selected),
        replace(once, decision=Decision.USE, failures=every),
    ]
    selection, found = Selection.load(out / "selection.json"), {}
    for one in told:
        made = training_commands(prepared.lab, prepared.demos, prepared.folder, selection, one)
        found |= {command.line: command for command in made}
    return list(found.values())


def test_terminal_page_and_json_print_the_same(triaged: tuple[Path, Called]) -> None:
    out, called = triaged
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    recommended = Recommendation.load(out / "recommendation.json")
    assert recommended.commands
    for command in recommended.commands:
        assert command.line in page
        assert f"# {command.purpose}\n{command.line}\n" in called.out


def test_outtakes_does_what_is_recommended(commands: list[Command], triaged) -> None:
    own = [shlex.split(command.line)[1:] for command in commands]
    assert sorted(words[0] for words in own if words[0].isalpha()) == ["train"] * 3 + ["triage"]
    for verb, *words in own:
        if verb == "triage":
            # Into the folder of before: with the recipe of before all of it is done.
            place = words.index("--out")
            words[place + 1] = str(triaged[0])
            done(verb, *words, *TINY)
        elif verb == "train":
            done(verb, *words)


def test_it_trains_as_what_was_measured_was_trained(
    triaged: tuple[Path, Called], made_datasets: Path, tmp_path: Path
) -> None:
    lift, out = made_datasets / "lift", tmp_path / "out"
    shutil.copytree(triaged[0], out)
    how = ("--policy", "act", "--schedule", "constant", "--ema", "0.9")
    done("train", lift, *TINY, *how, "--out", out)
    prepared = api.prepare(lift, out, recipe=replace(api.recipe("smoke"), seeds=(0,)), chunk=5)
    once = Recommendation.load(out / "recommendation.json")
    use = replace(once, decision=Decision.USE, failures=once.tried[-1].failures, again=False)
    use = replace(use, policy="act", arm="act")
    selection = Selection.load(out / "selection.json")
    made = training_commands(prepared.lab, prepared.demos, prepared.folder, selection, use)
    line = next(c.line for c in made if "--ema" in c.line)
    done(*shlex.split(line)[1:])
    measured, printed = (
        Checkpoint.load(folder / "runs" / "act" / "seed-0").training
        for folder in (out, out / "train-everything")
    )
    assert printed == measured


def test_lerobot_does_what_is_recommended(commands: list[Command], tmp_path: Path) -> None:
    every = [shlex.split(c.line) for c in commands if "lerobot-train" in c.line]
    assert len(every) == 3
    own = every[:2]  # the third differs in its episodes alone
    finished = subprocess.run(
        [sys.executable, "-c", TRAIN_ALL, json.dumps([[*words, *SHORT] for words in own])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"HF_LEROBOT_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    for words in own:
        (out,) = [w.partition("=")[2] for w in words if w.startswith("--output_dir=")]
        assert (Path(out) / "checkpoints" / "last" / "pretrained_model").is_dir()


def test_lerobot_is_given_a_copy_of_what_it_cannot_read(tmp_path: Path) -> None:
    robot = Robot(
        lengths=(9, 8, 10, 9), cameras={"observation.images.top": Camera(24, 32, "image")}
    )
    root = write_version_21(tmp_path / "old", robot)
    episodes = ("--success", "0-2", "--failure", "3")
    done("label", root, *episodes)
    out = tmp_path / "out"
    done("triage", root, *TINY, "--cameras", "--count", "1", "--by", "length", "--out", out)
    _, export, train, *_ = Recommendation.load(out / "recommendation.json").commands
    done(*shlex.split(export.line)[1:])
    (copy,) = [w for w in shlex.split(train.line) if w.startswith("--dataset.root=")]
    info = json.loads((Path(copy.partition("=")[2]) / "meta" / "info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"]) == ("v3.0", 3)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_print_only_commands_that_tests_run(page: Path) -> None:
    for program, *words in printed_commands(page):
        own = program in ("outtakes", ".venv/bin/outtakes")
        known = own and (words[0] in OTHERS or (page.name, " ".join(words)) in MINIATURES)
        assert known or program in PROGRAMS or program.startswith("--"), (program, words)


EIGHT = ("--recipe", "smoke", "--steps", "2", "--chunk", "8", "--seeds", "0")
"""As long a chunk as the recipe executes of it in rollouts."""
ROLLED = ("--recipe", "smoke", "--rollouts", "2")
MINIATURES = {
    ("README.md", "triage PATH/TO/DATASET"): (*TINY, "--count", "1", "--out", "a triage"),
    ("README.md", "label PATH/TO/DATASET --success 0-41 --failure 42-49"): (),
    ("review.md", "review DATASET --export selection.json"): ("--recipe", "smoke"),
    ("review.md", "train DATASET --select selection.json --out runs"): EIGHT,
    ("rankers.md", "rank DATASET --by coverage"): ("--recipe", "smoke"),
    ("rankers.md", "rank runs/act-s/seed-* --by action-error"): ("--recipe", "smoke"),
    ("rankers.md", "rank runs/*/seed-* --by coverage,action-error"): ("--recipe", "smoke"),
    ("rankers.md", "rank runs/*/seed-* --by coverage=2,action-error=1"): ("--recipe", "smoke"),
    ("lerobot.md", "evaluate RUN --rollouts 20 --out rollouts"): ("--recipe", "smoke"),
    ("lerobot.md", "convert RUN --out policy"): ("--recipe", "smoke"),
    ("lerobot.md", "convert runs/act-pb/seed-0 --recipe smoke --out policy"): (),
    ("lerobot.md", "convert policy --out converted/act-pb/seed-0"): (),
    ("eyes.md", "train lift --eyes frozen --policy act --out out"): EIGHT,
    ("eyes.md", "evaluate out/runs/act/seed-* --out rollouts"): ROLLED,
    ("flow.md", "train DATASET --policy flow --out DIR"): EIGHT,
    ("flow.md", "train DATASET --policy afil --out DIR"): EIGHT,
    ("flow.md", "train DATASET --policy cfgrl --out DIR"): EIGHT,
    ("flow.md", "triage DATASET --policy afil --out TRIAGED"): None,
    ("flow.md", "evaluate DIR/runs/afil/seed-0 --steering adaptive-2 --out ROLLED"): ROLLED,
    ("review.md", "review PATH/TO/DATASET"): None,
    ("review.md", "review PATH/TO/DATASET --scores scores.json"): None,
}
"""What is printed -> what makes it small; None where the page it opens has tests of its own."""


def test_commands_of_the_pages_run(
    triaged: tuple[Path, Called],
    lift_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    alone = ("--select", triaged[0] / "successes.json", "--policy", "act")
    done("train", lift_dataset, *TINY, *alone, "--out", "trained")
    Path("runs").mkdir()
    Path("trained/runs/act").rename("runs/act-s")
    names = {
        "PATH/TO/DATASET": str(lift_dataset),
        "DATASET": str(lift_dataset),
        "RUN": "runs/act-pb/seed-0",
        "20": "2",
        "0-41": "0,2,4",
        "42-49": "1,3,5",
    }
    for (_, printed), smaller in MINIATURES.items():
        if smaller is None or printed.startswith("triage"):
            continue
        words = [names.get(word, word) for word in shlex.split(printed)]
        if words[0] == "label":  # labels are a part of what the runs were trained on
            words[1] = str(shutil.copytree(lift_dataset, "labelled"))
        words = [m for w in words for m in (sorted(Path().glob(w)) if "*" in w else [w])]
        if printed == "convert RUN --out policy":
            words[-1] = "policy-of-run"
        if words[:3] == ["review", str(lift_dataset), "--export"]:
            Path("selection.json").unlink(missing_ok=True)
        done(*words, *smaller)
        if Path("runs/runs/act-pb").exists():
            Path("runs/runs/act-pb").rename("runs/act-pb")
            Path("runs/runs").rmdir()
