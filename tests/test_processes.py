"""Worker processes: from a script without a main guard, killed, interrupted, in error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import count, islice
from pathlib import Path

import pytest

from outtakes.data.lerobot.read import read_dataset
from outtakes.errors import DatasetError, MachineError, UnknownName
from outtakes.processes import apply_ahead, workers

PATIENCE = 60
"""s that a busy machine may take over what is asked of it here."""

COLLECTS = """
import sys
from dataclasses import replace
import outtakes
from outtakes.experiments import datasets
from outtakes.experiments.recipes import SMOKE

print("started")
datasets.cores, datasets._EPISODES_OF_ONE_PROCESS = lambda: 2, 0
few = replace(SMOKE.collect, successes=1, failures=1, cameras=())
outtakes.collect(sys.argv[1], recipe=replace(SMOKE, collect=few))
"""

WORKS_ON_AND_ON = """
import os, sys, time
from pathlib import Path
from outtakes.processes import workers

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)

with workers(2) as pool:
    for call in [pool.submit(work, sys.argv[1]) for _ in range(2)]:
        call.result()
"""


def double(number: int) -> int:
    return 2 * number


def setting(name: str) -> str | None:
    return os.environ.get(name)


def set_one_thread() -> None:
    os.environ["LP_NUM_THREADS"] = "1"


def fail(error: Exception) -> None:
    raise error


def grow(held: list[bytes] = []) -> int:  # noqa: B006
    """Take 350 MB for good, as a dataset does."""
    held.append(b"x" * 350_000_000)
    time.sleep(1.1)  # loky looks once a second
    return os.getpid()


def kill_oneself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_long() -> None:
    time.sleep(600)


def script(tmp_path: Path, text: str) -> list[str]:
    """The command that runs a script of someone who has never heard of a main guard."""
    path = tmp_path / "script.py"
    path.write_text(text, encoding="utf-8")
    return [sys.executable, str(path)]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.fixture
def at_work(tmp_path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A script in the middle of its work, and its two workers."""
    folder = tmp_path / "workers"
    folder.mkdir()
    pipe = subprocess.PIPE
    command = [*script(tmp_path, WORKS_ON_AND_ON), str(folder)]
    with subprocess.Popen(command, stderr=pipe, text=True, start_new_session=True) as running:
        assert until(lambda: len(list(folder.iterdir())) == 2)
        yield running, [int(file.name) for file in folder.iterdir()]
        running.kill()


def test_a_plain_script_collects_with_two_workers(tmp_path):
    command = [*script(tmp_path, COLLECTS), str(tmp_path / "dataset")]
    outcome = subprocess.run(command, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout == "started\n"
    assert len(read_dataset(tmp_path / "dataset")) == 2


def test_results_come_as_they_are_completed():
    with workers(2) as pool:
        calls = {pool.submit(double, number): number for number in range(6)}
        assert {calls[call]: call.result() for call in as_completed(calls)} == {
            number: 2 * number for number in range(6)
        }


def test_an_initializer_sets_up_every_worker(monkeypatch):
    monkeypatch.delenv("LP_NUM_THREADS", raising=False)
    with workers(1, initializer=set_one_thread) as pool:
        assert pool.submit(setting, "LP_NUM_THREADS").result() == "1"
    assert "LP_NUM_THREADS" not in os.environ


def test_a_worker_that_grows_stays():
    with workers(1) as pool:
        first = pool.submit(os.getpid).result()
        assert [pool.submit(grow).result(), pool.submit(os.getpid).result()] == [first, first]


@pytest.mark.parametrize(
    "error",
    [
        UnknownName("task", "lfit", ["lift", "stack"]),
        DatasetError("no episodes", where=Path("there"), remedy="add some"),
        ValueError("ours"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_a_worker_arrives_as_it_was(error):
    with pytest.raises(type(error)) as caught, workers(1) as pool:
        pool.submit(fail, error).result()
    assert str(caught.value) == str(error)
    assert vars(caught.value).keys() >= vars(error).keys()


def test_a_killed_worker_is_an_error_in_one_line_and_takes_the_others_along():
    start = time.monotonic()
    with pytest.raises(MachineError) as caught, workers(2) as pool:
        calls = [pool.submit(wait_long), pool.submit(kill_oneself)]
        for call in as_completed(calls):
            call.result()
    assert time.monotonic() - start < PATIENCE
    assert "\n" not in str(caught.value)
    assert "use fewer workers" in str(caught.value)


def test_an_error_does_not_wait_for_the_other_workers():
    start = time.monotonic()
    with pytest.raises(ValueError, match="at once"), workers(2) as pool:
        pool.submit(wait_long)
        pool.submit(fail, ValueError("at once")).result()
    assert time.monotonic() - start < PATIENCE


@pytest.mark.parametrize("group", [True, False], ids=["as of a terminal", "as of kill -INT"])
def test_ctrl_c_leaves_no_process(at_work, group):
    running, processes = at_work
    if group:
        os.killpg(running.pid, signal.SIGINT)
    else:
        os.kill(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=PATIENCE)
    assert running.returncode == -signal.SIGINT
    assert not any(alive(process) for process in processes)
    assert said.count("Traceback") == 1, said
    assert said.endswith("KeyboardInterrupt\n")


def test_workers_do_not_outlive_a_killed_parent(at_work):
    running, processes = at_work
    running.kill()
    running.wait(PATIENCE)
    assert until(lambda: not any(alive(process) for process in processes))


def test_calls_are_made_a_few_ahead_and_answered_in_order():
    asked = []

    def numbers() -> Iterator[tuple[int]]:
        for number in count():
            asked.append(number)
            yield (number,)

    with ThreadPoolExecutor(3) as pool:
        results = apply_ahead(pool, double, numbers(), ahead=4)
        assert list(islice(results, 5)) == [0, 2, 4, 6, 8]
        assert len(asked) <= 9
        results.close()


def test_calls_that_nobody_waits_for_are_called_off():
    made = []

    def make(number: int) -> None:
        time.sleep(0.1)
        made.append(number)

    with ThreadPoolExecutor(1) as pool:
        results = apply_ahead(pool, make, ((number,) for number in range(50)), ahead=50)
        next(results)
        results.close()
    assert len(made) < 5
