"""`outtakes export` as a shell calls it: what it takes, what it refuses, being killed, the hub."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.experiments.recipes import SMOKE as RECIPE
from outtakes.selection.select import Choice, Selection
from tests.commands import SCRIPT, TINY, Called, done, in_own_process, refused
from tests.disk import full_after
from tests.export.conftest import SMOKE, drop


@pytest.fixture(scope="module")
def triaged(made_datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A triage of `lift`, with scores and selection."""
    out = tmp_path_factory.mktemp("triaged")
    done("triage", made_datasets / "lift", *TINY, "--count", "1", "--out", out)
    return out


def files(triaged: Path) -> tuple[object, ...]:
    return ("--select", triaged / "selection.json", "--scores", triaged / "scores.json")


def test_a_selection_is_exported_with_weights_by_rank(
    made_datasets: Path, triaged: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    flags = (*SMOKE, *files(triaged), "--out", out, "--json")
    told = json.loads(done("export", made_datasets / "lift", *flags).out)
    selection = Selection.load(triaged / "selection.json")
    assert told["kept"] == selection.kept and told["dropped"] == selection.dropped
    rows = pq.read_table(out / "weights.parquet").to_pylist()
    failures = {row["rank"]: row["weight"] for row in rows if row["outcome"] == "failure"}
    # Of the new dataset's own episodes.
    assert [row["episode_index"] for row in rows] == [0, 1, 2, 3]
    assert [row["source_episode"] for row in rows] == selection.kept
    assert failures == {1: 1.0}
    assert Selection.load(out / "selection.json").choices == selection.choices


def test_ranked_failures_that_are_all_kept_weigh_by_rank(
    made_datasets: Path, triaged: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    flags = (*SMOKE, "--scores", triaged / "scores.json", "--no-lerobot", "--out", out)
    done("export", made_datasets / "lift", *flags)
    rows = pq.read_table(out / "weights.parquet").to_pylist()
    ranked = sorted((row for row in rows if row["rank"]), key=lambda row: row["rank"])
    assert [row["weight"] for row in ranked] == pytest.approx([1, 2 / 3, 1 / 3])
    assert [row["score"] for row in ranked] == sorted(row["score"] for row in ranked)
    assert not (out / "dataset").exists()


def test_what_review_dropped_is_left_out_of_a_selection(
    made_datasets: Path, triaged: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    drop(notes, 2)
    flags = (*SMOKE, *files(triaged), "--review", notes, "--no-lerobot", "--out", tmp_path / "out")
    done("export", made_datasets / "lift", *flags)
    (choice,) = (
        choice
        for choice in Selection.load(tmp_path / "out" / "selection.json").choices
        if choice.episode == 2
    )
    assert choice == Choice(2, False, "success, dropped in review")


def save_selection(root: Path, path: Path, kept: list[int]) -> Path:
    """A selection of these episodes, made for this dataset as the recipe reads it."""
    demos = read_dataset(root, Reading(image_size=RECIPE.image_size))
    choices = [Choice(episode, True, "by hand") for episode in kept]
    Selection(str(root), demos.content_hash, "low", choices).save(path)
    return path


MISTAKES: dict[str, tuple[Callable[[Path, Path], tuple[object, ...]], str]] = {
    "selection of other data": (
        lambda arm, triaged: ("--select", triaged / "selection.json"),
        "the selection was made for other data",
    ),
    "scores of other data": (
        lambda arm, triaged: ("--scores", triaged / "scores.json"),
        "the ranking was made for other data",
    ),
    "no such selection": (lambda arm, triaged: ("--select", arm / "x.json"), "no such file"),
    "scores for a selection": (
        lambda arm, triaged: ("--select", triaged / "scores.json"),
        "expected a selection file",
    ),
    "nothing wanted": (
        lambda arm, triaged: ("--no-lerobot", "--no-weights"),
        "nothing to export",
    ),
    "upload of nothing": (
        lambda arm, triaged: ("--no-lerobot", "--push-to-hub", "me/x"),
        "nothing to upload",
    ),
    "upload to no name": (lambda arm, triaged: ("--push-to-hub", "x"), "no dataset of the hub"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str, arm: Path, triaged: Path, tmp_path: Path) -> None:
    flags, words = MISTAKES[mistake]
    line = refused("export", arm, *SMOKE, *flags(arm, triaged), "--out", tmp_path / "out")
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_an_episode_that_is_not_there_is_one_line(arm: Path, tmp_path: Path) -> None:
    path = save_selection(arm, tmp_path / "selection.json", [0, 3, 17])
    line = refused("export", arm, *SMOKE, "--select", path, "--out", tmp_path / "out")
    assert "keeps episode 17, which the dataset does not have" in line


def test_no_dataset_is_one_line(tmp_path: Path) -> None:
    line = refused("export", tmp_path / "none", "--out", tmp_path / "out")
    assert "no such dataset folder" in line


def test_a_selection_of_nothing_is_one_line(arm: Path, tmp_path: Path) -> None:
    path = save_selection(arm, tmp_path / "selection.json", [1, 4])
    line = refused("export", arm, *SMOKE, "--select", path, "--out", tmp_path / "out")
    assert "every episode is dropped" in line


def test_a_full_disk_leaves_nothing(arm: Path, tmp_path: Path) -> None:
    with full_after(1000):
        line = refused("export", arm, *SMOKE, "--out", tmp_path / "out")
    assert "no space left" in line
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_nothing_where_the_export_was_to_be(arm: Path, tmp_path: Path) -> None:
    done("export", arm, *SMOKE, "--no-lerobot", "--out", tmp_path / "warm")
    command = [SCRIPT, "export", arm, *SMOKE, "--out", tmp_path / "out"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 240
    while not list(tmp_path.glob(".out.*/dataset")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(tmp_path.glob(".out.*/dataset"))
    assert not (tmp_path / "out").exists()
    done("export", arm, *SMOKE, "--out", tmp_path / "out")


# --- the hub --------------------------------------------------------------------------------------


@contextmanager
def hub() -> Iterator[tuple[str, dict[str, Any]]]:
    """A hub that takes one dataset, `me/arm`; yields its address and what it was given."""
    given: dict[str, Any] = {"files": {}, "tags": []}

    class Hub(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != "Bearer hf_mine":
                self._answer({"error": "who are you"}, 401)
            elif self.path == "/api/repos/create":
                self._create(json.loads(body))
            elif self.path.startswith("/api/datasets/me/arm/preupload/"):
                wanted = [file["path"] for file in json.loads(body)["files"]]
                facts = {"uploadMode": "regular", "shouldIgnore": False}
                self._answer({"files": [{"path": path, **facts} for path in wanted]})
            elif self.path.startswith("/api/datasets/me/arm/commit/"):
                self._commit(body)
            elif self.path.startswith("/api/datasets/me/arm/tag/"):
                given["tags"].append(json.loads(body)["tag"])
                self._answer({})
            else:
                self._answer({"error": self.path}, 404)

        def do_GET(self) -> None:
            self._answer({"id": "me/arm", "sha": "0" * 40, "siblings": []})

        def _create(self, wanted: dict) -> None:
            if "created" in given:
                self._answer({"error": "You already created this dataset repo"}, 409)
                return
            given["created"] = wanted
            self._answer({"url": f"{address}/datasets/me/arm"})

        def _commit(self, body: bytes) -> None:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    given["files"][entry["value"]["path"]] = content
            self._answer(
                {"commitUrl": f"{address}/datasets/me/arm/commit/0", "commitOid": "0" * 40}
            )

        def _answer(self, content: dict, status: int = 200) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the terminal clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    address = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield address, given
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def push(arm: Path, out: Path, address: str, *flags: str, token: str = "hf_mine") -> Called:
    command = ("export", arm, *SMOKE, "--push-to-hub", "me/arm", *flags, "--out", out, "--json")
    place = {"HF_ENDPOINT": address, "HF_HOME": str(out.parent / "home"), "NO_PROXY": "*"}
    return in_own_process(*command, HF_TOKEN=token, **place)


def test_the_dataset_is_uploaded_for_oneself_and_never_over_another(
    arm: Path, tmp_path: Path
) -> None:
    with hub() as (address, given):
        called = push(arm, tmp_path / "out", address)
        assert called.code == 0, called.err
        assert json.loads(called.out)["hub"] == f"{address}/datasets/me/arm"
        assert given["created"]["visibility"] == "private" and given["tags"] == ["v3.0"]
        root = tmp_path / "out" / "dataset"
        local = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
        uploaded = given["files"]
        assert local.keys() <= uploaded.keys() <= {*local, ".gitattributes", "README.md"}
        assert all(uploaded[name] == path.read_bytes() for name, path in local.items())
        again = push(arm, tmp_path / "more", address)
        assert again.code == 2 and "does not take the dataset" in again.error
    assert (tmp_path / "more" / "dataset" / "meta" / "info.json").exists()


def test_a_hub_that_is_not_there_is_one_line(arm: Path, tmp_path: Path) -> None:
    called = push(arm, tmp_path / "out", "http://127.0.0.1:9", "--public")
    assert called.code == 2 and "does not take the dataset" in called.error
    assert called.out == ""
    assert re.search(r"it is whole in .*/out/dataset", called.error)


def test_without_a_token_nothing_is_begun(arm: Path, tmp_path: Path) -> None:
    called = push(arm, tmp_path / "out", "http://127.0.0.1:9", token="")
    assert called.code == 2 and "hf auth login" in called.error
    assert not (tmp_path / "out").exists()


def test_what_needs_the_table_alone_opens_no_picture_and_imports_nothing_slow(
    arm: Path, triaged: Path, tmp_path: Path
) -> None:
    calls = [
        ["review", str(arm), "--export", str(tmp_path / "kept.json")],
        ["select", str(triaged / "scores.json"), "--count", "1", "--out", str(tmp_path / "s.json")],
        ["export", str(arm), "--no-lerobot", "--out", str(tmp_path / "out")],
    ]
    program = f"""
import sys
from outtakes.cli import main
for call in {calls!r}:
    try:
        main(call)
    except SystemExit as ended:
        assert not ended.code, call
slow = {{"av", "lerobot", "PIL", "torch"}} & set(sys.modules)
assert not slow, slow
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert Selection.load(tmp_path / "kept.json").kept == [0, 2, 3, 5]
