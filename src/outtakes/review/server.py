"""Serving the page on this machine until Ctrl-C."""

from __future__ import annotations

import secrets
import socket
import threading
import webbrowser
from contextlib import suppress
from dataclasses import dataclass

import uvicorn

from outtakes.errors import ConfigError, MachineError
from outtakes.review.catalogue import Catalogue
from outtakes.review.routes import make_app
from outtakes.review.sidecars import Sidecars

_LOOPBACK = "127.0.0.1"
_SECONDS_TO_END = 1


@dataclass(frozen=True)
class ReviewServer:
    """A page that can be reached from this machine alone."""

    listener: socket.socket
    """Bound, so that the address is known before anyone is told it."""
    token: str
    """Part of the address; only those who know it are served."""
    server: uvicorn.Server

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{_LOOPBACK}:{self.listener.getsockname()[1]}/{self.token}/"

    def open_browser(self) -> None:
        """Show the page, without waiting: some browsers run in the terminal and never return."""
        threading.Thread(target=webbrowser.open, args=[self.address], daemon=True).start()

    def run(self) -> None:
        """Serve until Ctrl-C, or until `stop`."""
        with self.listener, suppress(KeyboardInterrupt):
            self.server.run(sockets=[self.listener])

    def stop(self) -> None:
        """Make `run` return, from another thread."""
        self.server.should_exit = True


def prepare_server(catalogue: Catalogue, sidecars: Sidecars, port: int = 0) -> ReviewServer:
    """Take a port and choose a token.

    Args:
        catalogue: what to show.
        sidecars: where decisions go.
        port: any free one when 0.

    Raises:
        ConfigError: when there can be no such port.
        MachineError: when the port is taken or not ours to take.
    """
    listener = _listen(port)
    token = secrets.token_urlsafe(32)
    taken = listener.getsockname()[1]
    app = make_app(catalogue, sidecars, token, [f"{_LOOPBACK}:{taken}", f"localhost:{taken}"])
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,  # the paths hold the token
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
    return ReviewServer(listener, token, uvicorn.Server(config))


def _listen(port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise ConfigError(f"no port {port}", remedy="choose --port between 1 and 65535")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_LOOPBACK, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise MachineError(
            f"cannot use port {port} ({error.strerror})",
            remedy="choose another --port, or leave it out for any free one",
        ) from error
    return listener
