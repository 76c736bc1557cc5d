"""A dataset comes from the hub over real HTTP, spoken by a server of the test's own."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from outtakes.data.lerobot.hub import is_hub_id, local_folder
from tests.commands import Called, in_own_process

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub_of(root: Path) -> Iterator[tuple[str, list[str]]]:
    """A hub that has one dataset, `lab/lift`; yields its address and what is asked of it."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            asked.append(self.path)
            prefix = f"/datasets/lab/lift/resolve/{COMMIT}/"
            if self.path.startswith(f"/api/datasets/lab/lift/tree/{COMMIT}"):
                self._send(json.dumps(listed(root)).encode(), body=body)
            elif self.path.startswith("/api/datasets/lab/lift"):
                self._send(json.dumps(described(root)).encode(), body=body)
            elif self.path.startswith(prefix):
                self._send((root / self.path.removeprefix(prefix)).read_bytes(), body=body)
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _send(self, content: bytes, *, body: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the terminal clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def described(root: Path) -> dict:
    """What the hub's interface says about the dataset."""
    return {
        "id": "lab/lift",
        "sha": COMMIT,
        "private": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": [{"rfilename": entry["path"]} for entry in listed(root)],
    }


def listed(root: Path) -> list[dict]:
    """The dataset's files, as the hub lists them."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return [
        {
            "type": "file",
            "path": path.relative_to(root).as_posix(),
            "size": path.stat().st_size,
            "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
        }
        for path in files
    ]


def show(name: str, address: str, home: Path) -> Called:
    return in_own_process(
        "label", name, "--show", "--json", HF_ENDPOINT=address, HF_HOME=str(home), NO_PROXY="*"
    )


def test_a_dataset_of_the_hub_is_fetched_once(pristine: Path, tmp_path: Path) -> None:
    with hub_of(pristine) as (address, asked):
        called = show("lab/lift", address, tmp_path)
        assert called.code == 0, called.err
        outcomes = json.loads(called.out)["outcomes"]
        assert [o["outcome"] for o in outcomes.values()] == ["success", "failure"] * 3
        downloads = [path for path in asked if "/resolve/" in path]
        assert any(path.endswith(".mp4") for path in downloads)
        asked.clear()
        assert show("lab/lift", address, tmp_path).out == called.out
        assert [path for path in asked if "/resolve/" in path] == []


def test_a_dataset_that_the_hub_lacks(pristine: Path, tmp_path: Path) -> None:
    with hub_of(pristine) as (address, _):
        called = show("lab/lft", address, tmp_path)
    assert (called.code, called.out) == (2, "")
    assert "the hub does not give the dataset" in called.error and "lab/lft" in called.error


def test_labels_are_not_written_into_a_download(pristine: Path, tmp_path: Path) -> None:
    with hub_of(pristine) as (address, _):
        called = in_own_process(
            "label", "lab/lift", "--success", "1", HF_ENDPOINT=address, HF_HOME=str(tmp_path)
        )
    assert called.code == 2
    assert "--out" in called.err and "--labels" in called.err
    assert list(tmp_path.rglob("episode_labels.json")) == []


@pytest.mark.parametrize(
    "name", ["./lab/lift", "../lab/lift", "/lab/lift", "lift", "~/lift", "a/b/c"]
)
def test_paths_are_no_ids(name: str) -> None:
    assert not is_hub_id(name)
    assert local_folder(name) == Path(name)
