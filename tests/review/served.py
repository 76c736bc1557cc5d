"""A page's server, and a client that sends exactly what it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from outtakes.review.catalogue import read_catalogue
from outtakes.review.server import ReviewServer, prepare_server
from outtakes.review.sidecars import Sidecars


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A server that runs in a thread."""

    server: ReviewServer
    sidecars: Sidecars
    thread: threading.Thread

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def port(self) -> int:
        return self.server.listener.getsockname()[1]

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a path below the token."""
        return self.ask("GET", f"/{self.server.token}/{path}", headers)

    def post(self, path: str, content: Any) -> Answer:
        return self.ask("POST", f"/{self.server.token}/{path}", {}, json.dumps(content))

    def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None = None
    ) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        connection.close()
        return answer

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()


def serving(dataset: Path, out: Path | None = None, scores: Path | None = None) -> Served:
    """Serve a dataset's page."""
    catalogue = read_catalogue(dataset, scores)
    sidecars = Sidecars(dataset, out or dataset, catalogue.episode_indices)
    server = prepare_server(catalogue, sidecars)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while not server.server.started and time.monotonic() < until:
        time.sleep(0.01)
    return Served(server, sidecars, thread)
