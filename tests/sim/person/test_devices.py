"""Keys and pushes become the actions that robosuite makes of them."""

from __future__ import annotations

import queue
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from outtakes.errors import ConfigError, MachineError, UnknownName
from outtakes.sim.robosuite.lift import build_robosuite_lift

if TYPE_CHECKING:
    from outtakes.sim.person.devices import Device, KeyboardDevice

pytestmark = pytest.mark.usefixtures("display")
REST = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0]
MOVES = ("up", "down", "left", "right", ".", ";", "o", "p", "y", "h", "e", "r")


@pytest.fixture
def keyboard() -> KeyboardDevice:
    # Looks for a display when it is imported.
    from outtakes.sim.person.devices import KeyboardDevice

    return KeyboardDevice(speed=0.4)


def action(device: Device) -> np.ndarray:
    action = device.act()
    assert action is not None
    assert action.shape == (7,) and action.dtype == np.float32
    return action


@pytest.mark.parametrize(
    ("key", "axis", "sign"),
    [
        ("up", 0, -1),
        ("down", 0, 1),
        ("left", 1, -1),
        ("right", 1, 1),
        (".", 2, -1),
        (";", 2, 1),
    ],
)
def test_a_held_key_translates_at_the_speed_asked_for(keyboard, key, axis, sign):
    keyboard.press(key)
    expected = np.array(REST)
    expected[axis] = sign * 0.4
    for _ in range(3):
        assert action(keyboard) == pytest.approx(expected, abs=1e-6)
    keyboard.release(key)
    assert action(keyboard) == pytest.approx(REST, abs=1e-6)


def test_every_key_gives_what_robosuites_keyboard_gives_in_robosuites_own_environment(capsys):
    from pynput.keyboard import Key, KeyCode
    from robosuite.devices.keyboard import Keyboard

    from outtakes.sim.person.devices import KeyboardDevice

    theirs, mine = Keyboard(build_robosuite_lift()), KeyboardDevice(speed=1.0)
    theirs.listener.stop()
    theirs.start_control()
    for key in MOVES:
        theirs.on_press(Key[key] if len(key) > 1 else KeyCode.from_char(key))
        mine.press(key)
        parts = theirs.input2action()
        assert parts is not None
        expected = np.concatenate([parts["right_delta"], parts["right_gripper"]])
        assert action(mine) == pytest.approx(expected, abs=1e-6), key
        assert np.abs(expected[:6]).max() >= 0.1
        mine.release(key)


def test_a_tap_between_two_control_steps_counts_once(keyboard):
    keyboard.press("right")
    keyboard.release("right")
    assert action(keyboard)[1] == pytest.approx(0.4)
    assert action(keyboard) == pytest.approx(REST, abs=1e-6)


def test_space_closes_the_gripper_and_opens_it(keyboard):
    for expected in (1, -1, 1):
        keyboard.press("space")
        keyboard.release("space")
        assert [action(keyboard)[6] for _ in range(2)] == [expected] * 2


def test_after_a_restart_the_gripper_is_open_and_held_keys_must_be_pressed_anew(keyboard):
    for key in ("space", "up", "o"):
        keyboard.press(key)
    keyboard.restart()
    keyboard.release("space")
    assert action(keyboard) == pytest.approx(REST, abs=1e-6)
    keyboard.release("up")
    keyboard.press("up")
    assert action(keyboard)[0] == pytest.approx(-0.4)


def test_keys_that_robosuite_gives_another_meaning_do_nothing(keyboard):
    for key in ("q", "b", "s", "=", "enter", "escape"):
        keyboard.press(key)
        keyboard.release(key)
        assert action(keyboard) == pytest.approx(REST, abs=1e-6), key


@pytest.mark.parametrize("speed", [0.0, -1.0, 1.01, float("nan")])
def test_an_impossible_speed_is_refused(speed):
    from outtakes.sim.person.devices import open_device

    with pytest.raises(ConfigError, match="speed"):
        open_device("keyboard", speed)


def test_an_unknown_device_is_refused():
    from outtakes.sim.person.devices import open_device

    with pytest.raises(UnknownName, match="did you mean 'keyboard'"):
        open_device("keybord", 0.4)


class UsbMouse:
    """Stands in for the USB port: gives the 13-byte reports a SpaceMouse Wireless sends."""

    def __init__(self) -> None:
        self._reports: queue.Queue[list[int]] = queue.Queue()

    def open(self, vendor: int, product: int) -> None:
        pass

    def get_manufacturer_string(self) -> str:
        return "3Dconnexion"

    get_product_string = get_manufacturer_string

    def read(self, size: int) -> list[int]:
        return self._reports.get()

    def push(self, *axes: int) -> None:
        """Six deflections in the order of the report, 350 at the stop."""
        self._reports.put([1, *struct.pack("<6h", *axes)])

    def buttons(self, state: int) -> None:
        self._reports.put([3, state, *[0] * 11])


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def usb(monkeypatch: pytest.MonkeyPatch) -> UsbMouse:
    import robosuite.devices.spacemouse as driver

    usb = UsbMouse()
    monkeypatch.setattr(driver.hid, "device", lambda: usb)
    return usb


def test_a_spacemouse_pushed_to_its_stop_moves_at_the_speed_asked_for(usb, capsys):
    from outtakes.sim.person.devices import SpaceMouseDevice

    mouse = SpaceMouseDevice(speed=0.4)
    assert action(mouse) == pytest.approx(REST)
    usb.push(350, 0, 0, 0, 0, 0)
    wait_for(lambda: bool(action(mouse)[:6].any()))
    assert action(mouse) == pytest.approx([0, 0.4, 0, 0, 0, 0, -1], abs=1e-6)
    usb.push(0, -175, 350, 0, 0, 0)
    wait_for(lambda: action(mouse)[1] == 0)
    assert action(mouse) == pytest.approx([-0.2, 0, -0.4, 0, 0, 0, -1], abs=1e-6)
    assert capsys.readouterr().out == ""


def test_the_left_button_of_a_spacemouse_grips_and_the_right_one_starts_again(usb):
    from outtakes.sim.person.devices import SpaceMouseDevice

    mouse = SpaceMouseDevice(speed=1.0)
    usb.buttons(1)
    wait_for(lambda: action(mouse)[6] == 1)
    usb.buttons(0)
    wait_for(lambda: action(mouse)[6] == -1)
    usb.buttons(2)
    wait_for(lambda: mouse.act() is None)
    mouse.restart()
    assert action(mouse) == pytest.approx(REST)


def test_without_a_spacemouse_the_remedy_is_told():
    from robosuite.devices.spacemouse import hid, macros

    from outtakes.sim.person.devices import open_device

    if hid.enumerate(macros.SPACEMOUSE_VENDOR_ID):
        pytest.skip("there is a SpaceMouse")
    with pytest.raises(MachineError, match=r"no SpaceMouse can be opened .*plug it in"):
        open_device("spacemouse", 0.4)
