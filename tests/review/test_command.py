"""`outtakes review` as a shell calls it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from outtakes.data.lerobot.read import read_dataset
from outtakes.selection.made_for import load_selection
from outtakes.selection.select import Selection
from tests.commands import SCRIPT, done, fingerprint, refused
from tests.review.coded import LENGTHS

Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTTAKES_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the verb in a process of its own; gives it and the first line it prints."""
    running: list[subprocess.Popen[str]] = []

    def start_(*arguments: object, prefix: tuple[str, ...] = (), **environment: str):
        command = [*prefix, SCRIPT, "review", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        running.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline()

    yield start_
    for process in running:
        process.kill()
        process.communicate()


def address_in(line: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{43}/", line)
    assert found, line
    return found[0]


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code after Ctrl-C, and the rest of what was printed."""
    assert process.stdout is not None and process.stderr is not None
    process.send_signal(signal.SIGINT)
    code = process.wait(20)
    return code, process.stdout.read(), process.stderr.read()


def test_a_kill_in_the_middle_of_labelling_loses_nothing_that_was_saved(
    dataset: Path, start: Start, browser: Browser
) -> None:
    process, line = start(dataset, "--no-browser")
    page = browser.new_page()
    page.goto(address_in(line))
    expect(page.locator("#title")).to_have_text("Episode 0")
    said = []
    for episode in range(4):
        page.keyboard.press("f")
        expect(page.locator("#status")).to_have_text(f"Saved: episode {episode} is a failure")
        said.append(episode)
        page.keyboard.press("j")
    page.keyboard.press("x")  # on its way when the kill comes
    process.kill()
    process.wait()
    page.close()
    labels = json.loads((dataset / "episode_labels.json").read_text())
    assert labels == {str(episode): "failure" for episode in said}
    left = {p.name for p in dataset.iterdir()} - {"data", "meta", "videos"}
    assert {name for name in left if not name.startswith(".")} == {
        "episode_labels.json",
        "review.json",
    }
    _, line = start(dataset, "--no-browser")
    page = browser.new_page()
    page.goto(address_in(line))
    expect(page.locator("#progress")).to_contain_text("4 labelled by a person")
    page.close()


def test_ctrl_c_ends_it_well_even_while_someone_watches(
    dataset: Path, start: Start, browser: Browser
) -> None:
    process, line = start(dataset, "--no-browser")
    page = browser.new_page()
    page.goto(address_in(line))
    page.wait_for_function("() => document.getElementById('scrub').value > 3")
    code, out, err = interrupted(process)
    page.close()
    assert (code, err) == (0, "")
    assert out == f"Labels: {dataset / 'episode_labels.json'}\nCtrl-C ends.\n"


def test_json_is_one_object_with_the_address(dataset: Path, start: Start) -> None:
    process, line = start(dataset, "--no-browser", "--json")
    told = json.loads(line)
    assert told["address"] == address_in(line)
    assert told["labels"] == str(dataset / "episode_labels.json")
    assert told["review"] == str(dataset / "review.json")
    wait_until_served(told["address"])
    assert interrupted(process) == (0, "", "")


def wait_until_served(address: str) -> None:
    host, port = address.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"403" in connection.recv(100)


def test_the_port_asked_for_is_taken_and_can_be_taken_once(dataset: Path, start: Start) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _, line = start(dataset, "--no-browser", "--port", port)
    assert f"127.0.0.1:{port}/" in line
    error = refused("review", dataset, "--no-browser", "--port", port)
    assert f"cannot use port {port} (Address already in use)" in error and "--port" in error


def test_the_page_is_opened_unless_told_not_to(dataset: Path, start: Start, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    _, line = start(dataset, BROWSER=str(browser))
    until = time.monotonic() + 10
    while not (opened.exists() and opened.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    assert opened.read_text().strip() == address_in(line)


def test_what_is_no_dataset_is_one_line(tmp_path: Path) -> None:
    assert "no such dataset folder" in refused("review", tmp_path / "nothing")
    assert "not a LeRobot dataset" in refused("review", tmp_path)
    assert fingerprint(tmp_path) == {}


def test_scores_that_are_none_are_one_line(dataset: Path) -> None:
    line = refused("review", dataset, "--scores", dataset / "meta" / "info.json")
    assert "expected a scores file" in line


def test_a_dataset_that_cannot_be_written_to_leads_to_out(
    dataset: Path, start: Start, tmp_path: Path
) -> None:
    # Even root, without this capability, minds permissions.
    prefix = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        prefix = ()
    dataset.chmod(0o555)
    process, line = start(dataset, "--no-browser", prefix=prefix)
    assert line == ""
    assert process.wait(15) == 2 and process.stderr is not None
    (error,) = process.stderr.read().splitlines()
    assert "cannot write" in error and "choose a writable --out" in error
    _, line = start(dataset, "--no-browser", "--json", "--out", tmp_path / "out", prefix=prefix)
    assert json.loads(line)["labels"] == str(tmp_path / "out" / "episode_labels.json")
    dataset.chmod(0o755)


def test_what_was_not_dropped_becomes_a_selection_that_training_takes(
    dataset: Path, tmp_path: Path
) -> None:
    (dataset / "episode_labels.json").write_text('{"0": "failure"}')
    review = {"kind": "review", "version": 1, "revision": 2, "dropped": [1, 4], "history": []}
    (dataset / "review.json").write_text(json.dumps(review))
    path = tmp_path / "selection.json"
    called = done("review", dataset, "--export", path, "--recipe", "smoke", "--json")
    assert json.loads(called.out)["lerobot_argument"] == "--dataset.episodes=[0,2,3,5]"
    selection = Selection.load(path)
    assert (selection.rule, selection.dropped) == ("review", [1, 4])
    reasons = {choice.episode: choice.reason for choice in selection.choices}
    assert reasons[0] == "failure, kept in review"
    assert reasons[4] == "success, dropped in review"
    from outtakes.data.reading import Reading
    from outtakes.experiments.recipes import recipe

    demos = read_dataset(dataset, Reading(image_size=recipe("smoke").image_size))
    assert load_selection(path, demos).kept == [0, 2, 3, 5]


def test_a_selection_of_nothing_is_refused(dataset: Path, tmp_path: Path) -> None:
    dropped = list(range(len(LENGTHS)))
    review = {"kind": "review", "version": 1, "revision": 6, "dropped": dropped, "history": []}
    (dataset / "review.json").write_text(json.dumps(review))
    line = refused("review", dataset, "--export", tmp_path / "selection.json", "--recipe", "smoke")
    assert "every episode is dropped" in line
    assert not (tmp_path / "selection.json").exists()
