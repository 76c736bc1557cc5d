"""robomimic's, robosuite's and LIBERO's HDF5: one file, a group of `data` for each demonstration.

Outcomes come from the first of these that tells:

1. `--labels`, then `--outcome`: what the user says;
2. the filter keys `mask/success` and `mask/failure` (or the names given); where only one of them
   is there, demonstrations outside it ended the other way;
3. `rewards`: solved where the reward reaches the threshold; they say nothing where they are NaN,
   or 0 in every demonstration;
4. the attribute `success` of the demonstration.

`dones` are not asked: robomimic sets them at the end of every demonstration, however it ended.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from outtakes.data.lerobot.rows import ACTION, ENVIRONMENT_STATE, STATE
from outtakes.errors import DatasetError
from outtakes.importers.fields import Fields, chosen, first_sound, is_film
from outtakes.importers.filter_keys import read_filter_keys
from outtakes.importers.hdf5 import Node, open_hdf5
from outtakes.importers.options import ImportOptions
from outtakes.importers.reader import Facts, Glance
from outtakes.importers.replayed import Replayed, Stage, observe_first
from outtakes.importers.settings import read_settings
from outtakes.importers.verdict import HOW_TO_LABEL, Verdict, read_attribute, read_told

STATE_KEYS = ("joint_pos", "eef_pos", "eef_quat", "gripper_qpos")
"""Observations of each robot that make up `observation.state`, after the prefix `robot<i>_`, and
`right_` or `left_` where it has two arms."""

OBJECT_KEYS = ("object", "object-state")
"""Names of the objects' poses; the first found makes up `observation.environment_state`."""

LIBERO_KEYS = ("joint_states", "gripper_states", "ee_states")
"""Observations that make up `observation.state` in LIBERO's files."""

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
            self._settings = read_settings(data)
            self._masks = read_filter_keys(file, options)
        self._told = read_told(options, self.demos)
        self._stage = Stage()

    @contextmanager
    def _open(self, demo: str) -> Iterator[Node]:
        with open_hdf5(self.path) as file:
            yield file.group(f"data/{demo}")

    @cached_property
    def _choice(self) -> _Choice:
        """The same of every demonstration, chosen from the first sound one."""

        def choose(name: str) -> _Choice:
            with self._open(name) as demo:
                return _choose(demo, self.options, self._stage)

        return first_sound(self.demos, choose)

    @cached_property
    def _rewarded(self) -> bool:
        """Whether rewards tell outcomes: whether any is other than 0 and NaN."""
        return any(self._gives_reward(name) for name in self.demos)

    def _gives_reward(self, name: str) -> bool:
        try:
            with self._open(name) as demo:
                rewards = _rewards(demo)
        except DatasetError:
            return False
        return rewards is not None and bool(np.nan_to_num(rewards).any())

    def facts(self, demo: str) -> Facts:
        """What holds for all demonstrations."""
        fields, replayed = self._choice.fields, self._choice.replayed
        with self._open(demo) as opened:
            names = fields.dimension_names(opened)
        task = self.options.task or self._settings.task
        return Facts(
            format="robomimic",
            fps=self.options.fps or self._settings.fps,
            robot_type=self._settings.robot,
            task=task or self.path.stem,
            names={**replayed.dimension_names, **names},
            origins={**replayed.origins, **fields.origins},
        )

    def glance(self, demo: str) -> Glance:
        """Shapes and outcome of a demonstration."""
        fields, replayed = self._choice.fields, self._choice.replayed
        with self._open(demo) as opened:
            _check_samples(opened)
            replayed.check(opened)
            shapes = {**replayed.shapes, **fields.shapes(opened)}
            return Glance(shapes, self._judge(demo, opened))

    def read(self, demo: str) -> dict[str, np.ndarray]:
        """Every frame of a demonstration."""
        fields, replayed = self._choice.fields, self._choice.replayed
        with self._open(demo) as opened:
            stored = fields.read(opened)
            return {**replayed.read(opened, self._stage), **stored}

    def _judge(self, demo: str, opened: Node) -> Verdict:
        solved = _solved(opened, self.options.reward_threshold) if self._rewarded else None
        told = self._told.verdict(demo) or self._masks.verdict(demo, solved)
        if told is not None:
            return told
        if solved is not None:
            return Verdict(bool(solved.any()), "rewards", solved)
        said = read_attribute(opened)
        if said is not None:
            return said
        raise DatasetError(
            "no outcome; looked for mask/success, mask/failure, rewards other than 0 and the "
            "attribute success",
            where=opened.where,
            remedy=f"name filter keys with --success-mask and --failure-mask, {HOW_TO_LABEL}",
        )


@dataclass(frozen=True)
class _Choice:
    """What a demonstration is made of: arrays of the file, and what its states show."""

    fields: Fields
    replayed: Replayed


def _choose(demo: Node, options: ImportOptions, stage: Stage) -> _Choice:
    """Which observations make up the state, and which cameras there are.

    Raises:
        DatasetError: when there is no observation to learn from.
        UnknownName: when the user names one that is not there.
    """
    stored = demo.group("obs").names() if "obs" in demo else []
    replaying = not stored and "states" in demo
    widths = observe_first(demo, stage) if replaying else {}
    vectors = _choose_vectors(options, list(widths) if replaying else stored)
    images = _cameras(demo, stored)
    cameras = chosen("camera", options.cameras, images, default=images)
    if options.render:
        chosen("camera", options.render, stage.scene(demo).cameras, default=())
    if not (vectors or cameras or options.render):
        raise DatasetError(
            f"none of the observations {', '.join(stored) or '(there are none)'} is known",
            where=demo.where,
            remedy="choose some with --state",
        )
    in_file = {} if replaying else {name: [f"obs/{k}" for k in v] for name, v in vectors.items()}
    return _Choice(
        Fields(
            {**in_file, ACTION: ["actions"]},
            {camera: images[camera] for camera in cameras if camera not in options.render},
        ),
        Replayed(
            vectors if replaying else {},
            {name: [widths[k] for k in v] for name, v in vectors.items()} if replaying else {},
            options.render,
            options.image_size,
        ),
    )


def _cameras(demo: Node, keys: Sequence[str]) -> dict[str, str]:
    """Camera -> path of its array: what is named so, and whatever else holds pictures."""
    films = [
        key
        for key in keys
        if key.endswith(_IMAGE)
        or (demo.holds_array(f"obs/{key}") and is_film(demo.array(f"obs/{key}")))
    ]
    short = {key: key.removesuffix(_IMAGE) for key in films}
    taken = Counter(short.values())
    return {key if taken[short[key]] > 1 else short[key]: f"obs/{key}" for key in films}


def _choose_vectors(options: ImportOptions, keys: Sequence[str]) -> dict[str, list[str]]:
    """Feature -> observations joined into it."""
    objects = [key for key in OBJECT_KEYS if key in keys][:1]
    joined = {
        STATE: chosen("observation", options.state, keys, default=_default_state(keys)),
        ENVIRONMENT_STATE: chosen("observation", options.environment_state, keys, default=objects),
    }
    return {feature: names for feature, names in joined.items() if names}


def _default_state(keys: Sequence[str]) -> list[str]:
    robots = sorted({match[1] for key in keys if (match := re.match(r"(robot\d+_)", key))})
    arms = ("", "right_", "left_")
    wanted = [f"{robot}{arm}{key}" for robot in robots for arm in arms for key in STATE_KEYS]
    return [key for key in (*wanted, *LIBERO_KEYS) if key in keys]


def _check_samples(demo: Node) -> None:
    told, found = demo.attribute("num_samples"), len(demo.array("actions"))
    if told is not None and not np.array_equal(told, found):
        raise DatasetError(
            f"num_samples tells {told} frames, there are {found} actions",
            where=demo.where,
            remedy="export it again, or leave it out with --skip-bad",
        )


def _rewards(demo: Node) -> np.ndarray | None:
    """(T,) reward of each frame, if there are any."""
    if "rewards" not in demo:
        return None
    rewards = demo.array("rewards")
    frames = len(demo.array("actions"))
    if rewards.shape not in ((frames,), (frames, 1)) or rewards.dtype.kind not in "fiub":
        raise DatasetError(
            f"rewards are {rewards.dtype} of shape {rewards.shape}, there are {frames} actions",
            where=rewards.where,
            remedy="export it again, or leave it out with --skip-bad",
        )
    return rewards.read().reshape(-1)


def _solved(demo: Node, threshold: float) -> np.ndarray | None:
    """(T,) bool, at which frames the reward reaches the threshold; None without rewards, or when
    they end in NaN before any does."""
    rewards = _rewards(demo)
    if rewards is None:
        return None
    solved = rewards >= threshold
    return None if not solved.any() and np.isnan(rewards[-1]) else solved
