"""What the page asks its server for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from outtakes.errors import OuttakesError
from outtakes.review.catalogue import Catalogue
from outtakes.review.choices import Change, Decisions
from outtakes.review.guard import Guard
from outtakes.review.pictures import Pictures, media_type
from outtakes.review.sidecars import Conflict, Sidecars
from outtakes.review.video_range import video_response

PAGE = Path(__file__).parent / "page"
"""Folder of what the browser runs."""


def make_app(catalogue: Catalogue, sidecars: Sidecars, token: str, hosts: Collection[str]) -> Guard:
    """The page of one dataset.

    Args:
        catalogue: what to show.
        sidecars: where decisions are read from and written to.
        token: first part of the path of every address.
        hosts: the `host:port` that the page may be reached under.
    """
    pages = _Pages(catalogue, sidecars)
    routes = [
        Route("/episodes", pages.episodes),
        Route("/decisions", pages.decisions),
        Route("/changes", pages.change, methods=["POST"]),
        Route("/undo", pages.undo, methods=["POST"]),
        Route("/videos/{video:int}", pages.video),
        Route("/pictures/{camera:int}/{episode:int}/{frame:int}", pages.picture),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    handlers = {Conflict: _conflict, OuttakesError: _mistake, LookupError: _absent}
    app = Starlette(routes=[Mount("/{token}", routes=routes)], exception_handlers=handlers)
    return Guard(app, token, hosts)


class _Pages:
    """One method an address. Those that are not async run in a thread each."""

    def __init__(self, catalogue: Catalogue, sidecars: Sidecars) -> None:
        self._root, self._sidecars = catalogue.layout.root, sidecars
        self._facts, self._videos = catalogue.as_json(), catalogue.videos
        self._pictures = Pictures(catalogue.layout, catalogue.rows)

    def episodes(self, request: Request) -> Response:
        return JSONResponse(self._facts)

    def decisions(self, request: Request) -> Response:
        return JSONResponse(_whole(self._sidecars.read()))

    async def change(self, request: Request) -> Response:
        return await _save(request, lambda wanted: self._sidecars.change(Change(**wanted)))

    async def undo(self, request: Request) -> Response:
        return await _save(request, lambda wanted: self._sidecars.undo(int(wanted["revision"])))

    def video(self, request: Request) -> Response:
        file = self._videos[request.path_params["video"]]
        return video_response(self._root / file, request.headers.get("range"))

    def picture(self, request: Request) -> Response:
        camera, episode, frame = (request.path_params[k] for k in ("camera", "episode", "frame"))
        content = self._pictures.frame(camera, episode, frame)
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(content, media_type=media_type(content), headers=headers)


async def _save(request: Request, write: Callable[[dict[str, Any]], Decisions]) -> Response:
    try:
        wanted = await request.json()
        decisions = await run_in_threadpool(write, wanted)
    except (KeyError, TypeError, ValueError) as error:
        return JSONResponse({"error": f"malformed request ({error!r})"}, 400)
    return JSONResponse(_summary(decisions))


def _summary(decisions: Decisions) -> dict[str, Any]:
    """What a page that knew the decisions before must be told of a change."""
    last = decisions.last()
    return {"revision": decisions.revision, "last": None if last is None else asdict(last)}


def _whole(decisions: Decisions) -> dict[str, Any]:
    labels = {str(episode): label for episode, label in decisions.labels.items()}
    return {**_summary(decisions), "labels": labels, "dropped": sorted(decisions.dropped)}


def _conflict(request: Request, error: Exception) -> Response:
    assert isinstance(error, Conflict)
    return JSONResponse({"error": str(error), **_whole(error.decisions)}, 409)


def _mistake(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 500)


def _absent(request: Request, error: Exception) -> Response:
    return PlainTextResponse("no such thing", 404)
