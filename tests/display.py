"""A screen without a monitor, and fingers for its keyboard."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class Fingers:
    """Press real keys of an X display, through its XTest extension.

    Args:
        display: its name, for example ":99".
    """

    def __init__(self, display: str) -> None:
        from Xlib import XK, X
        from Xlib.display import Display
        from Xlib.ext import xtest

        self._display, self._fake = Display(display), xtest.fake_input
        self._down, self._up = X.KeyPress, X.KeyRelease
        self._keysym = XK.string_to_keysym

    def _send(self, kind: int, key: str) -> None:
        self._fake(self._display, kind, self._display.keysym_to_keycode(self._keysym(key)))
        self._display.sync()

    def press(self, key: str) -> None:
        """A key goes down; by its X name, for example "Return"."""
        self._send(self._down, key)

    def release(self, key: str) -> None:
        """A key comes up."""
        self._send(self._up, key)

    def tap(self, key: str) -> None:
        """Down and up at once."""
        self.press(key)
        self.release(key)

    def hold(self, key: str, seconds: float) -> None:
        """Down, and up after a while."""
        self.press(key)
        time.sleep(seconds)
        self.release(key)

    def wait_for_window(self) -> None:
        """Until a window has the focus, and with it the keys."""
        deadline = time.monotonic() + 60
        # A number stands for no window: none, or whichever the pointer is in.
        while isinstance(self._display.get_input_focus().focus, int):
            assert time.monotonic() < deadline, "no window took the focus"
            time.sleep(0.05)

    def tap_elsewhere(self, key: str) -> None:
        """Press a key while a window of someone else has the focus."""
        from Xlib import X

        ours = self._display.get_input_focus().focus
        root = self._display.screen().root
        theirs = root.create_window(0, 0, 9, 9, 0, X.CopyFromParent)
        theirs.map()
        self._display.sync()
        theirs.set_input_focus(X.RevertToParent, X.CurrentTime)
        self.tap(key)
        time.sleep(0.2)
        ours.set_input_focus(X.RevertToParent, X.CurrentTime)
        theirs.destroy()
        self._display.sync()

    def close(self) -> None:
        """Leave the display."""
        self._display.close()


@contextmanager
def screen() -> Iterator[str]:
    """An X display of its own, in memory; gives its name."""
    if platform.system() != "Linux":
        pytest.skip("keys are pressed on X displays")
    if shutil.which("Xvfb") is None:
        pytest.fail("no Xvfb to open windows on; run `make setup-tests`")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(writing),
            "-screen",
            "0",
            "1280x800x24",
            "-nolisten",
            "tcp",
            "-noreset",
        ],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with open(reading, encoding="ascii") as pipe:
        number = pipe.readline().strip()
    try:
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()
