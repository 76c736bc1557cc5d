"""What people and programs are told."""

from __future__ import annotations

import io
import json
import time

import pytest

from outtakes import console as console_module
from outtakes.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds since the start, to be set by the test."""
    now = [1000.0]
    monkeypatch.setattr(console_module.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_with_the_time_left(capsys, clock) -> None:
    console = Console(as_json=False)
    for done in range(11):
        console.progress(done, 10, f"train seed {done}")
        clock[0] += 30
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "0/10 train seed 0"
    assert lines[1] == "1/10 train seed 1, about 4 min left"
    assert lines[9] == "9/10 train seed 9, about 30 s left"
    assert lines[10] == "10/10 train seed 10"
    assert "\x1b" not in err


def test_lines_are_seconds_apart_but_the_last_is_always_there(capsys, clock) -> None:
    console = Console(as_json=False)
    for done in range(101):
        console.progress(done, 100, "decode")
        clock[0] += 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "100/100 decode"


def test_what_was_done_before_does_not_flatter_the_time_left(capsys, clock) -> None:
    console = Console(as_json=False)
    console.progress(500, 1000, "train seed 0")
    clock[0] += 60
    console.progress(600, 1000, "train seed 0")
    assert capsys.readouterr().err.splitlines() == [
        "500/1000 train seed 0",
        "600/1000 train seed 0, about 4 min left",
    ]


def test_a_stage_of_the_same_length_starts_anew(capsys, clock) -> None:
    console = Console(as_json=False)
    console.progress(0, 10, "train seed 0")
    clock[0] += 1000
    console.progress(10, 10, "train seed 0")
    console.progress(0, 10, "train seed 1")
    clock[0] += 20
    console.progress(5, 10, "train seed 1")
    assert capsys.readouterr().err.splitlines()[-1] == "5/10 train seed 1, about 20 s left"


def test_one_clock_runs_through_the_stages_of_one_total(capsys, clock) -> None:
    console = Console(as_json=False)
    console.progress(0, 10, "train the runs that rank")
    clock[0] += 50
    console.progress(5, 10, "rank")
    clock[0] += 50
    console.progress(6, 10, "train on successes alone")
    assert capsys.readouterr().err.splitlines()[-1].endswith("about 67 s left")


def test_long_times_in_hours(capsys, clock) -> None:
    console = Console(as_json=False)
    console.progress(0, 100, "train")
    clock[0] += 360
    console.progress(1, 100, "train")
    assert "about 9.9 h left" in capsys.readouterr().err


def test_json_alone_on_standard_output(capsys) -> None:
    console = Console(as_json=True)
    console.progress(0, 2, "train")
    console.progress(2, 2, "train")
    console.result("for people", {"verdict": "for programs"})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"verdict": "for programs"}
    assert len(out.splitlines()) == 1
    assert "2/2 train" in err


def test_text_for_people(capsys) -> None:
    Console(as_json=False).result("for people", {"verdict": "for programs"})
    assert capsys.readouterr().out == "for people\n"


def test_errors_are_one_line(capsys) -> None:
    Console(as_json=False).error("first\n  second\nthird")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "outtakes: first second third\n")


def test_a_bar_on_a_terminal(monkeypatch, capsys) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    console = Console(as_json=False)
    console.progress(0, 4, "train seed 0")
    time.sleep(0.01)
    console.progress(2, 4, "train seed 0")
    console.progress(0, 4, "rank")
    console.result("done", {})
    # A display that was closed opens again.
    console.progress(1, 4, "film")
    console.close()
    drawn = terminal.getvalue()
    for words in ("train seed 0", "2/4", "rank", "0/4", "film", "1/4", "\x1b["):
        assert words in drawn
    assert capsys.readouterr().out == "done\n"
