"""A window that shows one picture and hears the keys pressed while it has the focus.

GLFW opens it and tells of keys; the picture is drawn with OpenGL calls that every driver has,
taken from GLFW itself, so that it does not matter which OpenGL library renders the scene.
"""

from __future__ import annotations

import ctypes
import platform
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import glfw
import numpy as np

from outtakes.errors import MachineError

_NAMED_KEYS = {
    glfw.KEY_UP: "up",
    glfw.KEY_DOWN: "down",
    glfw.KEY_LEFT: "left",
    glfw.KEY_RIGHT: "right",
    glfw.KEY_SPACE: "space",
    glfw.KEY_ENTER: "enter",
    glfw.KEY_KP_ENTER: "enter",
    glfw.KEY_BACKSPACE: "backspace",
    glfw.KEY_ESCAPE: "escape",
}
# Of OpenGL, which GLFW does not name.
_GL_UNPACK_ALIGNMENT, _GL_RGB, _GL_UNSIGNED_BYTE = 0x0CF5, 0x1907, 0x1401


@dataclass(frozen=True)
class KeyEvent:
    """A key that went down or came up; a held key does not repeat."""

    key: str
    """A name such as "up" or "enter", else the character on a US keyboard, in lower case."""
    pressed: bool


class Window:
    """One window of fixed size, in the foreground once it is made.

    Args:
        title: in its frame.
        width: pixels.
        height: pixels.

    Raises:
        MachineError: when there is no display, or no OpenGL to draw on it with.
    """

    def __init__(self, title: str, width: int, height: int) -> None:
        self._events: list[KeyEvent] = []
        self._handle = _open(title, width, height)
        # GLFW lets go of every held key when the window loses the focus.
        glfw.set_key_callback(self._handle, self._hear)
        glfw.make_context_current(self._handle)
        # The loop that draws keeps the time.
        glfw.swap_interval(0)
        self._draw_pixels = _gl("glDrawPixels", *[ctypes.c_int] * 4, ctypes.c_void_p)
        _gl("glPixelStorei", ctypes.c_int, ctypes.c_int)(_GL_UNPACK_ALIGNMENT, 1)
        # Rows go downwards from the upper left corner.
        _gl("glRasterPos2f", ctypes.c_float, ctypes.c_float)(-1.0, 1.0)
        across = glfw.get_framebuffer_size(self._handle)[0] / width
        _gl("glPixelZoom", ctypes.c_float, ctypes.c_float)(across, -across)

    def _hear(self, window: object, key: int, scancode: int, action: int, mods: int) -> None:
        name = _NAMED_KEYS.get(key) or (chr(key).lower() if 32 < key < 127 else None)
        if name is not None and action != glfw.REPEAT:
            self._events.append(KeyEvent(name, action == glfw.PRESS))

    def poll(self) -> list[KeyEvent]:
        """What happened to the keys since the last call; closing the window is an escape."""
        glfw.poll_events()
        events, self._events = self._events, []
        if glfw.window_should_close(self._handle):
            events.append(KeyEvent("escape", pressed=True))
        return events

    def show(self, picture: np.ndarray) -> None:
        """Show a (height, width, 3) uint8 picture of the window's size."""
        picture = np.ascontiguousarray(picture)
        height, width, _ = picture.shape
        glfw.make_context_current(self._handle)
        self._draw_pixels(width, height, _GL_RGB, _GL_UNSIGNED_BYTE, picture.ctypes.data)
        glfw.swap_buffers(self._handle)

    def close(self) -> None:
        """Take it off the screen."""
        # GLFW itself goes on: scenes may be rendered through it.
        glfw.destroy_window(self._handle)


def _open(title: str, width: int, height: int) -> Any:
    # GLFW would tell of its troubles as warnings.
    with warnings.catch_warnings(action="ignore"):
        if not glfw.init():
            raise MachineError(
                "no display to open a window on", remedy="run this in a desktop session"
            )
        glfw.window_hint(glfw.RESIZABLE, glfw.FALSE)
        glfw.window_hint(glfw.FOCUS_ON_SHOW, glfw.TRUE)
        if platform.system() == "Linux":
            # X refuses GLX where the thread has already rendered through EGL.
            glfw.window_hint(glfw.CONTEXT_CREATION_API, glfw.EGL_CONTEXT_API)
        handle = glfw.create_window(width, height, title, None, None)
        glfw.default_window_hints()
    if not handle:
        raise MachineError(
            "the display has no OpenGL for a window",
            remedy="apt-get install libegl1 libgl1-mesa-dri, or the driver of your GPU",
        )
    return handle


def _gl(name: str, *arguments: type) -> Callable[..., None]:
    """A function of OpenGL that returns nothing."""
    address = glfw.get_proc_address(name)
    return ctypes.CFUNCTYPE(None, *arguments)(ctypes.cast(address, ctypes.c_void_p).value or 0)
