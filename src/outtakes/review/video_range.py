"""Pieces of a video file, as a browser asks for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import Response, StreamingResponse

LONGEST_PIECE = 512 * 1024
"""Bytes of one answer.

A browser that has buffered enough stops reading, and keeps the connection. It allows six to a
server: with a few cameras, long answers would leave none for saving a label. A piece this short is
always read to its end.
"""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def video_response(path: Path, wanted: str | None) -> Response:
    """The file, or the beginning of the piece of it that is wanted.

    Args:
        path: the video.
        wanted: the request's `Range` header. As HTTP allows, one that asks for several pieces, or
            in another unit, is ignored.
    """
    if not path.is_file():
        return Response("no such video", 404, media_type="text/plain")
    size = path.stat().st_size
    found = _RANGE.fullmatch((wanted or "").strip())
    if found is None or not any(found.groups()):
        headers = {"Accept-Ranges": "bytes", "Content-Length": str(size)}
        return StreamingResponse(_pieces(path), 200, headers, media_type="video/mp4")
    first, last = _bounds(found[1], found[2], size)
    if first > last or first >= size:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    with path.open("rb") as file:
        file.seek(first)
        content = file.read(min(last, size - 1, first + LONGEST_PIECE - 1) - first + 1)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Range": f"bytes {first}-{first + len(content) - 1}/{size}",
    }
    return Response(content, 206, headers, media_type="video/mp4")


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """First and last byte; without a first, the last bytes of the file are meant."""
    if first:
        return int(first), int(last or size - 1)
    return max(0, size - int(last)), size - 1 if int(last) else -1


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(LONGEST_PIECE):
            yield piece
