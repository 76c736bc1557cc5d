"""A value travels as docs/architecture.md says: through these functions, and by no detour."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import pytest

from outtakes import errors
from tests.commands import TINY, done

ROOT = Path(__file__).parents[1]
SOURCE = Path(errors.__file__).parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

Stack = list[str]
"""Names of the functions of ours that were running, the last one called last."""


def path_of(verb: str) -> tuple[int, Stack]:
    """How many functions the page says that there are from a verb on, and their names."""
    found = re.search(rf"(\d+) from `outtakes {verb} [^\n]+\n\n((?:\d\. .+\n)+)", PAGE)
    assert found is not None
    return int(found[1]), re.findall(r"`([\w.]+)`", found[2])


def name_of(code: CodeType) -> str:
    module = Path(code.co_filename).relative_to(SOURCE).with_suffix("").as_posix()
    return f"{module.replace('/', '.')}.{code.co_qualname}"


def is_ours(code: CodeType) -> bool:
    return str(code.co_filename).startswith(f"{SOURCE}/")


def running(frame: FrameType | None) -> Iterator[str]:
    """Our functions from this frame outwards."""
    while frame is not None:
        if is_ours(frame.f_code):
            yield name_of(frame.f_code)
        frame = frame.f_back


@contextmanager
def first_calls() -> Iterator[dict[str, Stack]]:
    """Every function of ours, in the order of their first calls, and what was running then."""
    calls: dict[str, Stack] = {}

    def started(code: CodeType, _: int) -> object:
        if is_ours(code):
            calls.setdefault(name_of(code), list(running(sys._getframe(1)))[::-1])
        return sys.monitoring.DISABLE  # only the first call counts

    monitoring = sys.monitoring
    monitoring.use_tool_id(monitoring.PROFILER_ID, "first calls")
    monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.PY_START, started)
    monitoring.restart_events()
    monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.PY_START)
    try:
        yield calls
    finally:
        monitoring.set_events(monitoring.PROFILER_ID, 0)
        monitoring.free_tool_id(monitoring.PROFILER_ID)


def is_public(name: str) -> bool:
    return not any(part.startswith(("_", "<")) for part in name.split("."))


def check_path(verb: str, calls: dict[str, Stack]) -> None:
    """What the page tells of a verb is what was called."""
    count, path = path_of(verb)
    assert len(path) == count
    assert set(path) <= calls.keys(), sorted(set(path) - calls.keys())
    order = list(calls)
    assert path == sorted(path, key=order.index)
    for name in path:
        stack = calls[name]
        callers = stack[stack.index(path[0]) :]
        assert [n for n in callers if is_public(n) and n not in path] == [], name


@pytest.fixture(scope="module")
def triaged(
    made_datasets: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Stack], Path]:
    out = tmp_path_factory.mktemp("triaged") / "out"
    with first_calls() as calls:
        done("triage", made_datasets / "lift", *TINY, "--count", "1", "--cameras", "--out", out)
    return calls, out


def test_from_a_dataset_to_its_report(triaged: tuple[dict[str, Stack], Path]) -> None:
    check_path("triage", triaged[0])


def test_from_a_run_to_its_rollouts(triaged: tuple[dict[str, Stack], Path], tmp_path: Path) -> None:
    run = triaged[1] / "runs" / "pb-kl-all" / "seed-0"
    with first_calls() as calls:
        done("evaluate", run, "--recipe", "smoke", "--rollouts", "2", "--out", tmp_path / "out")
    check_path("evaluate", calls)
