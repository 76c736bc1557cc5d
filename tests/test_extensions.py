"""The examples of docs/architecture.md, installed as a package of their own."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from outtakes.api import load
from outtakes.experiments.arm import act_arm
from outtakes.experiments.executor import run_all
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.recipes import SMOKE
from outtakes.policy.checkpoint import FILE
from tests.commands import done, refused

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def example(file: str) -> str:
    """The blocks of the page that belong to one file."""
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    return "".join(code for name, code in blocks if name == file)


def entry_points() -> str:
    """The page's, as an installer writes them down."""
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    return re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", block).replace('"', "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """The working folder, with the package installed in its `site`."""
    folder = tmp_path_factory.mktemp("extension")
    about = folder / "site" / "toy-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points())
    for file in ("toy.py", "toy_executor.py"):
        (folder / "site" / file).write_text(example(file))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "site")
        patch.setenv("OUTTAKES_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        yield folder


def outtakes(*arguments: object) -> dict[str, Any]:
    return json.loads(done(*arguments, "--recipe", "smoke", "--json").out)


@pytest.fixture(scope="module")
def dataset(folder) -> Path:
    """Demonstrations of the toy's own task."""
    outtakes("collect", "reach", "--out", "reach")
    return folder / "reach"


@pytest.fixture(scope="module")
def runs(dataset) -> list[str]:
    """The toy policy, trained on the dataset."""
    found = outtakes("train", dataset, "--policy", "line", "--out", "trained")
    assert found["settings"]["successes"] == found["settings"]["failures"] == 4
    return found["runs"]


def test_the_examples_are_short():
    assert len(example("toy.py").split("class Effort")[0].splitlines()) < 50
    policy = re.findall(r"@dataclass.*?\n```", PAGE, re.DOTALL)[0]
    ranker = re.findall(r"class Effort.*?\n```", PAGE, re.DOTALL)[0]
    assert max(len(policy.splitlines()), len(ranker.splitlines())) < 40


def test_a_task_from_outside_is_collected(dataset):
    assert (dataset / "meta" / "info.json").is_file()


def test_a_policy_from_outside_trains_and_is_rolled_out_and_watched(folder, runs):
    assert len(runs) == 2
    signals = ("--signals", "speed", "revision")
    found = outtakes("evaluate", *runs, "--task", "reach", "--out", "evaluated", *signals)
    assert list(found["rates"]) == ["line"]
    table = pq.read_table(folder / "evaluated" / "signals.parquet").to_pydict()
    assert set(table["arm"]) == {"line"}
    assert all(speed > 0 for speed in table["speed"])
    assert {revision is None for revision in table["revision"]} == {True, False}


def test_two_policies_are_rolled_out_until_it_is_clear_that_they_are_alike(folder, runs):
    twin = shutil.copytree(runs[0], folder / "twin" / "seed-0")
    asked = ("--task", "reach", "--until-clear", "--rollouts", 200, "--out", "clear")
    found = outtakes("evaluate", runs[0], twin, *asked, "--margin", 0.3)
    assert found["clear"] and found["difference"] == 0 and found["p"] == 1
    assert found["rounds"] < 200 and max(-found["low"], found["high"]) < 0.3
    assert "twin succeeds +0.0 points more often than line" in found["verdict"]
    log = pq.read_table(folder / "clear" / "rollouts.parquet").to_pydict()
    assert log["arm"].count("twin") == log["arm"].count("line") == found["rounds"]
    assert found["times"]["twin"]["difference"]["difference"] == 0
    assert "1 arms" in refused("evaluate", *runs, *asked, "--recipe", "smoke")


def test_a_policy_from_outside_goes_on_where_it_was(dataset, runs):
    checkpoint = Path(runs[0]) / "checkpoint.safetensors"
    before = checkpoint.stat().st_mtime_ns
    assert outtakes("train", dataset, "--policy", "line", "--out", "trained")["runs"] == runs
    assert checkpoint.stat().st_mtime_ns == before


def test_a_ranker_from_outside_ranks_and_reports(folder, dataset):
    short = ("--steps", 5, "--seeds", 0)
    found = outtakes("triage", dataset, "--by", "effort", "--count", 2, "--out", "triage", *short)
    assert len(found["kept"]) == 6
    page = Path(found["report"]).read_text(encoding="utf-8")
    assert "How large the actions of a failure are" in page
    assert "commands" in page
    assert "K̄" not in page
    scores = json.loads((folder / "triage" / "scores.json").read_text())
    assert scores["measure"]["key"] == "effort"
    ranked = outtakes("rank", dataset, "--by", "effort")["ranked"]
    assert set(ranked[:2]) < set(found["kept"])


@pytest.mark.parametrize(
    ("verb", "flag", "known"), [("train", "--policy", "line"), ("triage", "--by", "effort")]
)
def test_what_is_not_installed_is_refused_with_what_is(dataset, verb, flag, known):
    line = refused(verb, dataset, "--out", "x", flag, "lin", "--recipe", "smoke")
    assert "'lin'" in line
    assert known in line


def test_a_checkpoint_whose_policy_is_not_installed_is_refused_in_one_line(folder, runs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [path for path in sys.path if path != str(folder / "site")])
        line = refused("evaluate", runs[0], "--out", "y", "--recipe", "smoke")
    assert "a policy that is not installed" in line


def test_an_executor_from_outside_runs_the_jobs(folder, dataset, capsys):
    demos, recipe = load(dataset, recipe="smoke"), SMOKE
    arm = act_arm(recipe, "act", "ACT", demos.episode_indices.tolist())
    jobs = jobs_of(Lab(recipe, Path("jobs")), [arm], (0, 1), demos)
    run_all(jobs, executor=import_module("toy_executor").OneByOne())
    assert capsys.readouterr().out == "doing ['act/seed-0', 'act/seed-1']\n"
    assert all((job.run / FILE).is_file() for job in jobs)
