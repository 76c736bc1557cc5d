"""robomimic's and robosuite's HDF5: one file, a group of `data` for each demonstration.

Outcomes come from the first of these that tells:

1. `--labels`, then `--outcome`: what the user says;
2. the filter keys `mask/success` and `mask/failure` (or the names given); where only one of them
   is there, demonstrations outside it ended the other way;
3. `rewards`: solved where the reward reaches the threshold;
4. the attribute `success` of the demonstration.

`dones` are not asked: robomimic sets them at the end of every demonstration, however it ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.rows import ACTION, ENVIRONMENT_STATE, STATE
from outtakes.errors import DatasetError, UnknownName
from outtakes.importers.fields import Fields, chosen, first_sound
from outtakes.importers.hdf5 import Node, open_hdf5
from outtakes.importers.options import ImportOptions
from outtakes.importers.source import Facts, Glance
from outtakes.importers.verdict import HOW_TO_LABEL, Verdict, read_attribute, read_told

STATE_KEYS = ("joint_pos", "eef_pos", "eef_quat", "gripper_qpos")
"""Observations of each robot that make up `observation.state`, after the prefix `robot<i>_`."""

OBJECT_KEYS = ("object", "object-state")
"""Names of the objects' poses; the first found makes up `observation.environment_state`."""

SUCCESS_MASKS = ("success", "successes", "successful")
FAILURE_MASKS = ("failure", "failures", "failed")
"""Names of filter keys, of which the first found is used."""

_IMAGE = "_image"


class RobomimicFile:
    """A file of robomimic or robosuite, as a source of demonstrations.

    Args:
        path: the file.
        options: what the user says about it.

    Raises:
        DatasetError: when it is not such a file.
    """

    def __init__(self, path: Path, options: ImportOptions) -> None:
        self.path, self.options = path, options
        self.files: Sequence[Path] = (path,)
        with open_hdf5(path) as file:
            data = file.group("data")
            self.demos: Sequence[str] = [n for n in data.names() if n.startswith("demo")]
            if not self.demos:
                raise DatasetError("no demonstrations", where=data.where, remedy="check the path")
            self._settings = _read_settings(data)
            self._masks = _read_masks(file, options)
        self._told = read_told(options, self.demos)

    @contextmanager
    def _open(self, demo: str) -> Iterator[Node]:
        with open_hdf5(self.path) as file:
            yield file.group(f"data/{demo}")

    @cached_property
    def _fields(self) -> Fields:
        """The same arrays of every demonstration, chosen from the first sound one."""

        def choose(name: str) -> Fields:
            with self._open(name) as demo:
                return choose_fields(demo, self.options)

        return first_sound(self.demos, choose)

    def facts(self, demo: str) -> Facts:
        """What holds for all demonstrations."""
        with self._open(demo) as opened:
            names = self._fields.dimension_names(opened)
        task = self.options.task or self._settings.task
        return Facts(
            format="robomimic",
            fps=self.options.fps or self._settings.fps,
            robot_type=self._settings.robot,
            task=task or self.path.stem,
            names=names,
            origins=self._fields.origins,
        )

    def glance(self, demo: str) -> Glance:
        """Shapes and outcome of a demonstration."""
        with self._open(demo) as opened:
            _check_samples(opened)
            shapes = self._fields.shapes(opened)
            return Glance(shapes, self._judge(demo, opened))

    def read(self, demo: str) -> dict[str, np.ndarray]:
        """Every frame of a demonstration."""
        with self._open(demo) as opened:
            return self._fields.read(opened)

    def _judge(self, demo: str, opened: Node) -> Verdict:
        solved = _solved(opened, self.options.reward_threshold)
        told = self._told.verdict(demo) or self._masks.verdict(demo, solved)
        if told is not None:
            return told
        if solved is not None:
            return Verdict(bool(solved.any()), "rewards", solved)
        said = read_attribute(opened)
        if said is not None:
            return said
        raise DatasetError(
            "no outcome; looked for mask/success, mask/failure, rewards and the attribute success",
            where=opened.where,
            remedy=f"name filter keys with --success-mask and --failure-mask, {HOW_TO_LABEL}",
        )


def choose_fields(demo: Node, options: ImportOptions) -> Fields:
    """Which observations make up the state, and which cameras there are.

    Raises:
        DatasetError: when there is no observation to learn from.
        UnknownName: when the user names one that is not there.
    """
    keys = demo.group("obs").names()
    images = {key.removesuffix(_IMAGE): f"obs/{key}" for key in keys if key.endswith(_IMAGE)}
    joined = {
        STATE: chosen("observation", options.state, keys, default=_default_state(keys)),
        ENVIRONMENT_STATE: chosen(
            "observation", options.environment_state, keys, default=_default_objects(keys)
        ),
    }
    vectors = {feature: [f"obs/{key}" for key in k] for feature, k in joined.items() if k}
    cameras = chosen("camera", options.cameras, images, default=images)
    if not vectors and not cameras:
        raise DatasetError(
            f"none of the observations {', '.join(keys)} is known",
            where=demo.where,
            remedy="choose some with --state",
        )
    return Fields({**vectors, ACTION: ["actions"]}, {c: images[c] for c in cameras})


def _default_state(keys: Sequence[str]) -> list[str]:
    robots = sorted({match[1] for key in keys if (match := re.match(r"(robot\d+_)", key))})
    wanted = [f"{robot}{key}" for robot in robots for key in STATE_KEYS]
    return [key for key in wanted if key in keys]


def _default_objects(keys: Sequence[str]) -> list[str]:
    return [key for key in OBJECT_KEYS if key in keys][:1]


def _check_samples(demo: Node) -> None:
    told, found = demo.attribute("num_samples"), len(demo.array("actions"))
    if told is not None and told != found:
        raise DatasetError(
            f"num_samples tells {told} frames, there are {found} actions",
            where=demo.where,
            remedy="export it again, or leave it out with --skip-bad",
        )


def _solved(demo: Node, threshold: float) -> np.ndarray | None:
    """(T,) bool, at which frames the reward reaches the threshold; None without rewards."""
    if "rewards" not in demo:
        return None
    rewards = demo.array("rewards")
    frames = len(demo.array("actions"))
    if rewards.shape != (frames,) or rewards.dtype.kind not in "fiub":
        raise DatasetError(
            f"rewards are {rewards.dtype} of shape {rewards.shape}, there are {frames} actions",
            where=rewards.where,
            remedy="export it again, or leave it out with --skip-bad",
        )
    return rewards.read() >= threshold


@dataclass(frozen=True)
class _Masks:
    """The filter keys that tell outcomes."""

    file: Path
    success: tuple[str, frozenset[str]] | None
    """Name of the filter key and the demonstrations it lists."""
    failure: tuple[str, frozenset[str]] | None

    def verdict(self, demo: str, solved: np.ndarray | None) -> Verdict | None:
        listed = [
            (ended, name)
            for ended, mask in ((True, self.success), (False, self.failure))
            if mask is not None
            for name, demos in [mask]
            if demo in demos
        ]
        if len(listed) == 2:
            raise DatasetError(
                f"{demo} is in both mask/{listed[0][1]} and mask/{listed[1][1]}",
                where=self.file,
                remedy="mend the filter keys, or use --labels",
            )
        if listed:
            ended, name = listed[0]
            return Verdict(ended, f"mask/{name}", solved)
        if self.success and not self.failure:
            return Verdict(False, f"not in mask/{self.success[0]}")
        if self.failure and not self.success:
            return Verdict(True, f"not in mask/{self.failure[0]}", solved)
        return None


def _read_masks(file: Node, options: ImportOptions) -> _Masks:
    masks = file.group("mask") if "mask" in file else None
    return _Masks(
        file.file,
        _read_mask(masks, options.success_mask, SUCCESS_MASKS),
        _read_mask(masks, options.failure_mask, FAILURE_MASKS),
    )


def _read_mask(
    masks: Node | None, given: str | None, usual: Sequence[str]
) -> tuple[str, frozenset[str]] | None:
    names = masks.names() if masks is not None else []
    if given is not None and given not in names:
        raise UnknownName("filter key", given, names)
    found = given or next((name for name in usual if name in names), None)
    if found is None or masks is None:
        return None
    return found, frozenset(masks.strings(found))


@dataclass(frozen=True)
class _Settings:
    """What the file says about the environment, in robomimic's `env_args` or robosuite's
    `env_info`."""

    path: Path
    name: str
    kwargs: Mapping[str, Any]

    @property
    def fps(self) -> int:
        frequency = self.kwargs.get("control_freq")
        if not isinstance(frequency, int | float) or frequency != int(frequency) or frequency < 1:
            raise DatasetError(
                f"control_freq is {frequency}",
                where=self.path,
                remedy="give the frames a second with --fps (robosuite's default is 20)",
            )
        return int(frequency)

    @property
    def robot(self) -> str:
        robots = self.kwargs.get("robots", "panda")
        first = robots[0] if isinstance(robots, list) and robots else robots
        return str(first).lower()

    @property
    def task(self) -> str:
        """ "NutAssemblySquare" in words: "nut assembly square"."""
        return " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", self.name)).lower()


def _read_settings(data: Node) -> _Settings:
    arguments = _read_object(data, "env_args")
    kwargs = arguments.get("env_kwargs", {}) or _read_object(data, "env_info")
    name = arguments.get("env_name") or data.attribute("env") or ""
    if not isinstance(kwargs, dict):
        raise DatasetError("env_kwargs is no JSON object", where=data.where, remedy="mend env_args")
    return _Settings(data.file, str(name), kwargs)


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
