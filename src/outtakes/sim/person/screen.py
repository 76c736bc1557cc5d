"""What a person at the controls sees: the cameras, how far the take is, and what the keys do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from outtakes.sim.environment import Environment
from outtakes.sim.person.window import KeyEvent, Window

VIEW = 480
"""Height and width of each camera's view, pixels: what software rendering manages at 20 Hz."""

_HEADER, _CAPTION, _FOOTER, _GAP, _MARGIN = 52, 26, 112, 8, 16
_PAPER, _INK, _FAINT, _KEY = "#16181d", "#f4f5f7", "#9aa1ac", "#2c313a"
_SHOWING_SECONDS = 0.01
"""About what it takes to bring a finished picture onto the screen."""


class Phase(StrEnum):
    """Where a take is."""

    READY = "READY: move to begin"
    RECORDING = "RECORDING"
    SUCCESS = "SUCCESS"
    KEPT_SUCCESS = "KEPT: a success"
    KEPT_FAILURE = "KEPT: a failure"


_COLOURS = {
    Phase.READY: "#3d6fb6",
    Phase.RECORDING: "#c0392b",
    Phase.SUCCESS: "#1e8e4e",
    Phase.KEPT_SUCCESS: "#1e8e4e",
    Phase.KEPT_FAILURE: "#6b7280",
}


@dataclass(frozen=True)
class Status:
    """What the text on the screen says."""

    phase: Phase
    take: int
    """Number of the take, from 1."""
    wanted: int | None
    """Takes in all; None for as many as the person likes."""
    successes: int
    """Kept so far."""
    failures: int
    """Kept so far."""
    seconds: int
    """Since the take began."""
    limit: int
    """Seconds after which it ends."""


class Screen:
    """A window with a view of each camera, and text above and below.

    Args:
        task: the instruction in words.
        cameras: whose views to show, side by side.
        controls: key -> what it does.
    """

    def __init__(self, task: str, cameras: tuple[str, ...], controls: Mapping[str, str]) -> None:
        self._task, self._cameras, self._controls = task, cameras, controls
        self._due = deque(cameras)
        self._width = len(cameras) * (VIEW + _GAP) - _GAP
        self._picture = np.zeros((_HEADER + _CAPTION + VIEW + _FOOTER, self._width, 3), np.uint8)
        self._paste(self._below(), _HEADER + _CAPTION + VIEW)
        self._status: Status | None = None
        self._window = Window(f"Outtakes: {task}", self._width, len(self._picture))

    def poll(self) -> list[KeyEvent]:
        """What happened to the keys since the last call."""
        return self._window.poll()

    def draw(self, environment: Environment, status: Status, until: float) -> None:
        """Show the present state.

        Where rendering is slow, one camera at least is rendered, in turn, and the others keep
        their last picture.

        Args:
            environment: rendered as it stands.
            status: the text.
            until: `time.monotonic()` at which the picture should be on the screen.
        """
        if status != self._status:
            self._paste(self._above(status), 0)
            self._status = status
        for _ in self._cameras:
            started = time.monotonic()
            self._refresh(environment, self._due[0])
            self._due.rotate(-1)
            ended = time.monotonic()
            if ended + (ended - started) + _SHOWING_SECONDS > until:
                break
        self._window.show(self._picture)

    def _refresh(self, environment: Environment, camera: str) -> None:
        left = self._cameras.index(camera) * (VIEW + _GAP)
        rows = slice(_HEADER + _CAPTION, _HEADER + _CAPTION + VIEW)
        self._picture[rows, left : left + VIEW] = environment.render(camera, VIEW, VIEW)

    def _paste(self, part: Image.Image, top: int) -> None:
        self._picture[top : top + part.height] = np.asarray(part)

    def _above(self, status: Status) -> Image.Image:
        part, draw = self._sheet(_HEADER + _CAPTION)
        middle = _HEADER // 2
        draw.rectangle((0, 0, self._width, _HEADER), _COLOURS[status.phase])
        draw.text((_MARGIN, middle), status.phase, _INK, _font(22), "lm")
        draw.text((self._width // 2, middle), _progress(status), _INK, _font(18), "mm")
        kept = f"kept: {status.successes} succeeded, {status.failures} failed"
        draw.text((self._width - _MARGIN, middle), kept, _INK, _font(18), "rm")
        middle = _HEADER + _CAPTION // 2
        for place, camera in enumerate(self._cameras):
            left = place * (VIEW + _GAP) + _MARGIN
            draw.text((left, middle), camera, _FAINT, _font(15), "lm")
        draw.text((self._width - _MARGIN, middle), self._task, _FAINT, _font(15), "rm")
        return part

    def _below(self) -> Image.Image:
        part, draw = self._sheet(_FOOTER)
        columns = 4
        rows = -(-len(self._controls) // columns)
        for place, (key, meaning) in enumerate(self._controls.items()):
            left = _MARGIN + place // rows * (self._width // columns)
            middle = 22 + place % rows * 32
            box = draw.textbbox((left + 8, middle), key, _font(15), "lm")
            draw.rounded_rectangle((left, middle - 12, box[2] + 8, middle + 12), 5, _KEY)
            draw.text((left + 8, middle), key, _INK, _font(15), "lm")
            draw.text((box[2] + 16, middle), meaning, _FAINT, _font(15), "lm")
        return part

    def _sheet(self, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        part = Image.new("RGB", (self._width, height), _PAPER)
        return part, ImageDraw.Draw(part)

    def close(self) -> None:
        """Take the window off the screen."""
        self._window.close()


def _progress(status: Status) -> str:
    take = f"take {status.take}" + (f" of {status.wanted}" if status.wanted else "")
    return f"{take}, {status.seconds} s of {status.limit} s"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
