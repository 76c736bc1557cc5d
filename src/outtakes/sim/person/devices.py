"""What a person moves the gripper with: robosuite's keyboard and SpaceMouse.

Reading the devices and turning their state into actions is robosuite's, so that a key or a push
means the same as in its own collection script. Two things differ. robosuite's keyboard hears every
key typed on the machine, whatever window it is meant for, and moves once for every repetition the
system makes of a held key; here it is fed by our window alone, once a control step for every key
held. And both take the speed of motion as a share of the fastest.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

import numpy as np

from outtakes.errors import ConfigError, MachineError, UnknownName

# robosuite's devices say on standard output what they lack.
with redirect_stdout(io.StringIO()):
    try:
        from pynput.keyboard import Key, KeyCode
        from robosuite.devices import Device as RobosuiteDevice
        from robosuite.devices.keyboard import Keyboard as RobosuiteKeyboard
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        raise MachineError(
            "pynput finds no X display", remedy="run this in a desktop session, with DISPLAY set"
        ) from error

DEVICES = ("keyboard", "spacemouse")
"""Names that `open_device` knows."""

POSE_DELTAS = 7
"""Size of the actions that devices give: translation, rotation, gripper."""

_ARROWS = {"up": Key.up, "down": Key.down, "left": Key.left, "right": Key.right}
_CHARACTERS = ".;opyher"
# What robosuite's devices make of one held key, or of a push to the stop, at sensitivity 1 before
# it is cut off at 1.
_KEYBOARD_GAIN = 0.05 * 75
_SPACEMOUSE_GAIN = 0.005 * 125
# All that robosuite asks of an environment: one arm that takes pose deltas, with one gripper.
_ONE_ARM: Any = SimpleNamespace(
    robots=[
        SimpleNamespace(
            arms=["right"],
            is_mobile=False,
            gripper={"right": SimpleNamespace(dof=1)},
            part_controllers={"right": SimpleNamespace(name="OSC_POSE")},
        )
    ]
)


class Device(Protocol):
    """Something that a person moves the gripper with."""

    controls: ClassVar[Mapping[str, str]]
    """What to press or push -> what it does."""

    def press(self, key: str) -> None:
        """A key of our window went down, by its name there."""
        ...

    def release(self, key: str) -> None:
        """A key of our window came up."""
        ...

    def restart(self) -> None:
        """Forget everything; the gripper opens, and held keys count once they are pressed anew."""
        ...

    def act(self) -> np.ndarray | None:
        """Action of this control step, (7,) float32 in [-1, 1]; None when the device itself asks
        to start again."""
        ...


class _DeltasAlone:
    """Spares robosuite's devices the absolute pose, which needs a simulation of theirs."""

    def get_arm_action(
        self, robot: object, arm: str, norm_delta: np.ndarray, goal_update_mode: str = "target"
    ) -> dict[str, np.ndarray]:
        return {"delta": norm_delta, "abs": norm_delta}


def _action(device: RobosuiteDevice) -> np.ndarray | None:
    parts = device.input2action()
    if parts is None:
        return None
    return np.concatenate([parts["right_delta"], parts["right_gripper"]]).astype(np.float32)


class _DeafKeyboard(_DeltasAlone, RobosuiteKeyboard):
    """robosuite's keyboard without its own ear."""

    def __init__(self, speed: float) -> None:
        # Not robosuite's: it starts to listen to the whole machine.
        RobosuiteDevice.__init__(self, _ONE_ARM)
        self._pos_step, self.rot_sensitivity = 0.05, 1.0
        self.pos_sensitivity = speed / _KEYBOARD_GAIN
        self.start_control()


class KeyboardDevice:
    """The keys of our window.

    Args:
        speed: translation of a held key, as a share of the fastest.
    """

    controls: ClassVar[Mapping[str, str]] = {
        "arrows": "move across the table",
        "; .": "up, down",
        "space": "close or open the gripper",
        "o p": "turn (yaw)",
        "y h": "tilt (pitch)",
        "e r": "roll",
    }

    def __init__(self, speed: float) -> None:
        self._keyboard = _DeafKeyboard(speed)
        self._keys = _ARROWS | {c: KeyCode.from_char(c) for c in _CHARACTERS} | {"space": Key.space}
        self._held: set[str] = set()
        self._tapped: set[str] = set()

    def press(self, key: str) -> None:
        """A key of our window went down."""
        if key in self._keys:
            self._held.add(key)
            self._tapped.add(key)

    def release(self, key: str) -> None:
        """A key of our window came up."""
        if key in self._held:
            self._held.remove(key)
            self._keyboard.on_release(self._keys[key])

    def restart(self) -> None:
        """Forget everything; the gripper opens."""
        self._held.clear()
        self._tapped.clear()
        self._keyboard.start_control()

    def act(self) -> np.ndarray | None:
        """Action of this control step: of keys held, or tapped since the last one."""
        for key in self._held | self._tapped:
            self._keyboard.on_press(self._keys[key])
        self._tapped.clear()
        return _action(self._keyboard)


class SpaceMouseDevice:
    """A SpaceMouse on USB.

    Args:
        speed: translation at a push to the stop, as a share of the fastest.

    Raises:
        MachineError: when there is none, or it may not be read.
    """

    controls: ClassVar[Mapping[str, str]] = {
        "push": "move level, up and down",
        "twist, tilt": "turn the gripper",
        "left button": "held: close the gripper",
        "right button": "start the take again",
    }

    def __init__(self, speed: float) -> None:
        with redirect_stdout(io.StringIO()):
            from robosuite.devices.spacemouse import SpaceMouse

            class DeltaSpaceMouse(_DeltasAlone, SpaceMouse):
                pass

            try:
                self._mouse = DeltaSpaceMouse(_ONE_ARM, pos_sensitivity=speed / _SPACEMOUSE_GAIN)
            except OSError as error:
                raise MachineError(
                    f"no SpaceMouse can be opened ({error})",
                    remedy="plug it in, let your user read /dev/hidraw*, and put another model's "
                    "SPACEMOUSE_PRODUCT_ID into robosuite's macros_private.py",
                ) from error
        # It hears every key typed on the machine, for robots with several arms or a base.
        self._mouse.listener.stop()
        self._mouse.start_control()

    def press(self, key: str) -> None:
        """Keys mean nothing to it."""

    def release(self, key: str) -> None:
        """Keys mean nothing to it."""

    def restart(self) -> None:
        """Forget everything; the gripper opens."""
        self._mouse.start_control()

    def act(self) -> np.ndarray | None:
        """Action of this control step; None after the right button."""
        return _action(self._mouse)


def open_device(name: str, speed: float) -> Device:
    """Open a device by name.

    Args:
        name: one of `DEVICES`.
        speed: translation at most, as a share of the fastest: an action of 1.

    Raises:
        UnknownName: when there is none of that name.
        ConfigError: when the speed is out of range.
        MachineError: when the device is missing.
    """
    if name not in DEVICES:
        raise UnknownName("device", name, DEVICES)
    if not 0 < speed <= 1:
        raise ConfigError(f"speed {speed}", remedy="give a share above 0 and up to 1")
    return KeyboardDevice(speed) if name == "keyboard" else SpaceMouseDevice(speed)
