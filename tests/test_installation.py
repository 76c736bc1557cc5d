"""The built wheel in an environment of its own: without any extra, and beside LeRobot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv") or shutil.which(str(ROOT / ".uv" / "bin" / "uv"))

pytestmark = pytest.mark.skipif(UV is None, reason="no uv to make environments with")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that holds the wheel and what its base install brings, as locked."""
    folder = tmp_path_factory.mktemp("fresh")
    uv("build", "--quiet", "--wheel", "--out-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    locked = folder / "locked.txt"
    uv("export", "--quiet", "--frozen", "--no-hashes", "--no-emit-workspace", "--all-extras",
       "--directory", ROOT, "--output-file", locked)  # fmt: skip
    uv("venv", "--quiet", "--python", sys.executable, folder / "venv")
    install(folder / "venv", wheel)
    return folder / "venv"


def uv(*words: object) -> None:
    assert UV is not None
    finished = subprocess.run([UV, *map(str, words)], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def install(venv: Path, *what: object) -> None:
    locked = venv.with_name("locked.txt")
    uv("pip", "install", "--quiet", "--python", venv, "--constraint", locked, *what)


def run(venv: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """A program of the environment, which sees nothing of this one."""
    program, *rest = map(str, words)
    clean = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [venv / "bin" / program, *rest]
    return subprocess.run(command, capture_output=True, text=True, cwd=venv.parent, env=clean)


def test_the_base_install_answers_and_says_which_extra_a_verb_needs(environment: Path) -> None:
    assert run(environment, "python", "-c", "import outtakes; outtakes.Selection").returncode == 0
    shown = run(environment, "outtakes", "--help")
    assert shown.returncode == 0 and "triage" in shown.stdout, shown.stderr
    doctor = run(environment, "outtakes", "doctor")
    assert doctor.returncode == 0, doctor.stderr
    assert "pip install 'outtakes[data]'" in doctor.stdout and "torch 2." in doctor.stdout
    refused = run(environment, "outtakes", "triage", "anything")
    assert refused.returncode == 2
    assert refused.stderr == (
        "outtakes: triage needs PIL, av, pyarrow, scipy, not installed here: "
        "pip install 'outtakes[data,report,statistics]'\n"
    )


def test_beside_lerobot_it_reads_labels_and_ranks(environment: Path, made_datasets: Path) -> None:
    install(environment, "lerobot[dataset]==0.6.1")
    dataset = made_datasets / "lift"
    labelled = run(environment, "outtakes", "label", dataset, "--show")
    assert labelled.returncode == 0 and "3 successes" in labelled.stdout, labelled
    ranked = run(
        environment, "outtakes", "rank", dataset, "--by", "length", "--recipe", "smoke",
        "--out", environment.with_name("scores.json"),
    )  # fmt: skip
    assert ranked.returncode == 0, ranked.stderr
