"""What robomimic and robosuite write about the environment of their demonstrations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outtakes.errors import DatasetError
from outtakes.importers.hdf5 import Node

_FREQUENCIES = range(1, 1001)
"""Control steps a second that a file may tell; 20.0 is one of them, 12.5 and NaN are not."""


@dataclass(frozen=True)
class Settings:
    """What the file says about the environment, in robomimic's `env_args` or robosuite's
    `env_info`."""

    path: Path
    name: str
    kwargs: Mapping[str, Any]
    instruction: str = ""
    """What LIBERO writes in `problem_info`."""

    @property
    def fps(self) -> int:
        """Control steps a second.

        Raises:
            DatasetError: when the file does not tell, or it is no whole number.
        """
        frequency: Any = self.kwargs.get("control_freq")
        if frequency not in _FREQUENCIES:
            raise DatasetError(
                f"control_freq is {frequency}",
                where=self.path,
                remedy="give the frames a second with --fps (robosuite's default is 20)",
            )
        return int(frequency)

    @property
    def robot(self) -> str:
        """Name of the first robot."""
        robots = self.kwargs.get("robots", "panda")
        first = robots[0] if isinstance(robots, list) and robots else robots
        return str(first).lower()

    @property
    def task(self) -> str:
        """The instruction; or "NutAssemblySquare" in words: "nut assembly square"."""
        if self.instruction:
            return self.instruction
        return " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", self.name)).lower()


def read_settings(data: Node) -> Settings:
    """Read the settings from the attributes of `data`.

    Raises:
        DatasetError: when they are malformed.
    """
    arguments = _read_object(data, "env_args")
    kwargs = arguments.get("env_kwargs", {}) or _read_object(data, "env_info")
    name = arguments.get("env_name") or data.attribute("env") or ""
    if not isinstance(kwargs, dict):
        raise DatasetError("env_kwargs is no JSON object", where=data.where, remedy="mend env_args")
    instruction = _read_object(data, "problem_info").get("language_instruction", "")
    words = "".join(instruction) if isinstance(instruction, list) else str(instruction)
    return Settings(data.file, str(name), kwargs, words)


def _read_object(data: Node, attribute: str) -> dict[str, Any]:
    text = data.attribute(attribute)
    if text is None:
        return {}
    try:
        content = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise DatasetError(
            f"the attribute {attribute} is no JSON ({error})", where=data.where, remedy="mend it"
        ) from error
    return content if isinstance(content, dict) else {}
