"""Who may import whom, and what must run with torch, numpy and safetensors alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from outtakes import errors
from outtakes.doctor import EXTRAS

ROOT = Path(__file__).parents[1]
SOURCE = Path(errors.__file__).parents[1]

BARE_PACKAGES = ("monitoring", "policy", "ranking", "selection", "training")
BARE_MODULES = (
    *("data.batches", "data.demo", "data.frames", "data.normalize", "data.reading", "data.ref"),
    *("doctor", "experiments.recipes", "processes"),
)
ABSENT = [
    *(
        "PIL",
        "av",
        "cv2",
        "jaxtyping",
        "jinja2",
        "lerobot",
        "loky",
        "matplotlib",
        "mujoco",
        "pandas",
    ),
    *("psutil", "pyarrow", "rich", "robosuite", "scipy", "starlette", "torchvision", "tyro"),
    "uvicorn",
]

IMPORT_ALL_WITHOUT = """
import importlib, sys

class Absent:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

absent, modules = (argument.split(",") for argument in sys.argv[1:])
sys.meta_path.insert(0, Absent)
for module in modules:
    print("importing", module, file=sys.stderr)
    importlib.import_module(module)
"""


def bare_modules() -> list[str]:
    """Every module that must import on a bare GPU machine."""
    named = ["outtakes", *(f"outtakes.{module}" for module in BARE_MODULES)]
    return sorted(named + modules_of(BARE_PACKAGES))


def modules_of(rooms: Sequence[str]) -> list[str]:
    """Every module of these rooms."""
    files = [file for name in rooms for file in (SOURCE / "outtakes" / name).rglob("*.py")]
    walked = [".".join(file.relative_to(SOURCE).with_suffix("").parts) for file in files]
    return [module.removesuffix(".__init__") for module in walked]


def import_without(absent: list[str], modules: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", IMPORT_ALL_WITHOUT, ",".join(absent), ",".join(modules)]
    return subprocess.run(command, capture_output=True, text=True)


def test_import_contracts():
    linter = Path(sys.executable).with_name("lint-imports")
    outcome = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def source_names() -> list[str]:
    """Names of the files of the program and its plugins, but for those that a package must have."""
    command = ["git", "ls-files", "src", "packages"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [Path(file).name for file in listed.splitlines()]
    return [name for name in names if name not in ("__init__.py", "pyproject.toml", "README.md")]


def one_letter_apart(one: str, other: str) -> bool:
    """Whether a letter put in, left out or exchanged turns one name into the other."""
    short, long = sorted((one, other), key=len)
    at = next((i for i, letter in enumerate(short) if letter != long[i]), len(short))
    after = at + (len(short) == len(long))
    return len(long) - len(short) < 2 and short[after:] == long[at + 1 :]


def test_a_name_finds_one_file():
    names = source_names()
    assert len(names) > 200
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert [pair for pair in combinations(names, 2) if one_letter_apart(*pair)] == []


def test_names_one_letter_apart():
    pairs = [("read.py", "reads.py"), ("list.py", "lift.py"), ("axis.py", "taxis.py")]
    assert all(one_letter_apart(*pair) for pair in pairs)
    pairs = [("act.py", "axis.py"), ("demo.py", "mode.py"), ("arm.py", "alarms.py")]
    assert not any(one_letter_apart(*pair) for pair in pairs)


def test_training_and_ranking_import_on_a_bare_gpu_machine():
    modules = bare_modules()
    assert {"outtakes.policy.act.act", "outtakes.ranking.attention.scoring"} <= set(modules)
    outcome = import_without(ABSENT, modules)
    assert outcome.returncode == 0, outcome.stderr


WITHOUT_POSIX = """
import importlib, sys

# What others import is theirs to see to; ours must do without.
import av, jinja2, loky, numpy, PIL.Image, psutil, pyarrow.parquet, safetensors.torch, torch

for name in ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None
for module in sys.argv[1].split(","):
    importlib.import_module(module)
"""


def test_data_ranking_and_report_need_nothing_that_posix_alone_has():
    rooms = ("data", "policy", "ranking", "selection", "training", "evaluation", "report")
    modules = [*bare_modules(), *modules_of(rooms), "outtakes.export", "outtakes.cli"]
    assert {"outtakes.data.labels", "outtakes.report.html"} <= set(modules)
    command = [sys.executable, "-c", WITHOUT_POSIX, ",".join(modules)]
    outcome = subprocess.run(command, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr


def test_every_package_that_is_imported_is_in_the_base_install_or_in_an_extra_that_is_named():
    told = {"jaxtyping", "httpx", "lerobot_policy_outtakes", "OpenGL", "wandb"}
    base = {"filelock", "loky", "numpy", "psutil", "rich", "safetensors", "torch", "tyro"}
    known = set(sys.stdlib_module_names) | base | set(EXTRAS) | told | {"outtakes"}
    for file in (SOURCE / "outtakes").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            assert {name.partition(".")[0] for name in names} <= known, file


def test_an_absent_package_is_noticed():
    outcome = import_without(["numpy"], ["outtakes.data.demo"])
    assert "No module named 'numpy'" in outcome.stderr
