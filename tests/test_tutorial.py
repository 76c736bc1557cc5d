"""The tutorial runs from top to bottom and prints what it shows; the public names are there."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import outtakes

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_tutorial_prints_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTTAKES_CACHE", str(tmp_path / "cache"))
    names: dict = {}
    printed: list[str] = []
    shown: list[str] = []
    for language, text in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        if language == "text":
            shown.append(text)
            continue
        said = io.StringIO()
        with redirect_stdout(said):
            exec(compile(text, str(TUTORIAL), "exec"), names)
        printed.append(said.getvalue())
    assert len(shown) >= 7
    assert printed == shown
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "PB + KL, + 2 nearest failures" in page
    assert capfd.readouterr().out == ""


def test_every_public_name_is_there() -> None:
    assert outtakes.__all__ == sorted(outtakes.__all__)
    for name in outtakes.__all__:
        found = getattr(outtakes, name)
        assert found.__name__ == name and found.__doc__, name
    assert set(outtakes.__all__) <= set(dir(outtakes))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = outtakes.nothing  # type: ignore[attr-defined]


def test_editors_see_every_public_name() -> None:
    tree = ast.parse(Path(outtakes.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name
        for block in tree.body
        if isinstance(block, ast.If)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert seen == set(outtakes.__all__)


def test_no_public_name_is_hidden_by_a_module() -> None:
    modules = {path.stem for path in Path(outtakes.__file__).parent.iterdir()}
    assert not modules & set(outtakes.__all__)


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, outtakes; print({'numpy', 'torch'} & set(sys.modules))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stdout.strip() == "set()"


MISTAKES = {
    "a selection of other data": (
        "outtakes.train(demos, 'x', selection=other, recipe='smoke')",
        "the selection was made for other data",
    ),
    "no run": ("outtakes.rank([], demos)", "no run"),
    "a place that is taken": ("outtakes.collect('.', recipe='smoke')", "there already"),
    "a recipe that is none": ("outtakes.recipe('smok')", "did you mean 'smoke'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_error(
    mistake: str, made_datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from outtakes.errors import OuttakesError
    from outtakes.selection.select import Choice, Selection

    monkeypatch.setenv("OUTTAKES_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "it").touch()
    monkeypatch.chdir(tmp_path / "in")
    demos = outtakes.load(made_datasets / "one", recipe="smoke")
    other = Selection("other", "other", "low", [Choice(0, True, "")])
    code, words = MISTAKES[mistake]
    with pytest.raises(OuttakesError, match=words):
        eval(code, {"outtakes": outtakes, "demos": demos, "other": other})
