"""Who may talk to the page's server: the browser that was given its address, and nobody else."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "img", "media", "connect")),
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses every request without the token, and sets the headers of every answer.

    The token is the first part of every path. The `Host` header must be one of `hosts`: a site that
    makes its own name lead to this machine (DNS rebinding) sends its own. So must be the `Origin`,
    where there is one.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        allowed = scope["type"] == "http" and self._allows(scope)
        app = self._app if allowed else PlainTextResponse("forbidden", 403)
        await app(scope, receive, _with_headers(send))

    def _allows(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origins = {f"http://{host}" for host in self._hosts}
        token = scope["path"].split("/")[1] if scope["path"].startswith("/") else ""
        return (
            headers.get("host") in self._hosts
            and headers.get("origin", next(iter(origins))) in origins
            and secrets.compare_digest(token.encode(), self._token.encode())
        )


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> Any:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers
