"""ALOHA's and ACT's HDF5: a folder with a file for each demonstration.

Outcomes come from the subfolders `success/` and `failure/` where the files lie there, as in DROID;
else from `--labels`, then `--outcome`, then the attribute `success` of each file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from outtakes.data.demo import Outcome
from outtakes.data.lerobot.rows import ACTION, ENVIRONMENT_STATE, STATE
from outtakes.errors import DatasetError
from outtakes.importers.fields import Fields, chosen, first_sound
from outtakes.importers.hdf5 import Node, natural_order, open_hdf5
from outtakes.importers.options import ImportOptions
from outtakes.importers.reader import Facts, Glance
from outtakes.importers.verdict import HOW_TO_LABEL, Verdict, read_attribute, read_told

FPS = 50
"""Frames a second of ALOHA; its files do not tell."""

EXTRA_VECTORS = {"observation.velocity": "qvel", "observation.effort": "effort"}
"""Feature -> observation, imported where it is there, under the names that LeRobot gives them."""

_SUFFIXES = (".hdf5", ".h5")


class AlohaFolder:
    """A folder of ALOHA episodes, as a source of demonstrations.

    Args:
        folder: the folder; the files lie in it, or in its subfolders `success` and `failure`.
        options: what the user says about it.

    Raises:
        DatasetError: when there are no episodes, or some lie elsewhere.
    """

    def __init__(self, folder: Path, options: ImportOptions) -> None:
        self.folder, self.options = folder, options
        self.files: Sequence[Path] = find_episodes(folder)
        self.demos: Sequence[str] = [file.relative_to(folder).as_posix() for file in self.files]
        self._by_folder = any("/" in demo for demo in self.demos)
        if self._by_folder and (options.labels or options.outcome):
            raise DatasetError(
                "the folders success and failure tell the outcomes already",
                where=folder,
                remedy="leave --labels and --outcome out, or move the files up",
            )
        self._told = read_told(options, self.demos)

    @contextmanager
    def _open(self, demo: str) -> Iterator[Node]:
        with open_hdf5(self.folder / demo) as file:
            yield file

    @cached_property
    def _fields(self) -> Fields:
        """The same arrays of every episode, chosen from the first sound one."""

        def choose(demo: str) -> Fields:
            with self._open(demo) as episode:
                return choose_fields(episode, self.options)

        return first_sound(self.demos, choose)

    def facts(self, demo: str) -> Facts:
        """What holds for all episodes."""
        with self._open(demo) as episode:
            names = self._fields.dimension_names(episode)
        return Facts(
            format="aloha",
            fps=self.options.fps or FPS,
            robot_type="aloha",
            task=self.options.task or self.folder.absolute().name.replace("_", " "),
            names=names,
            origins=self._fields.origins,
        )

    def glance(self, demo: str) -> Glance:
        """Shapes and outcome of an episode."""
        with self._open(demo) as episode:
            return Glance(self._fields.shapes(episode), self._judge(demo, episode))

    def read(self, demo: str) -> dict[str, np.ndarray]:
        """Every frame of an episode."""
        with self._open(demo) as episode:
            return self._fields.read(episode)

    def _judge(self, demo: str, episode: Node) -> Verdict:
        if self._by_folder:
            folder = Path(demo).parent.name
            return Verdict(folder == Outcome.SUCCESS, f"folder {folder}")
        told = self._told.verdict(demo)
        if told is not None:
            return told
        said = read_attribute(episode)
        if said is not None:
            return said
        raise DatasetError(
            "no outcome; looked for folders success and failure, and the attribute success",
            where=episode.where,
            remedy=f"move the files into such folders, {HOW_TO_LABEL}",
        )


def find_episodes(folder: Path) -> list[Path]:
    """The episode files of a folder, in order: its own, or those of `success` and `failure`.

    Raises:
        DatasetError: when there are none, or some would be left out.
    """
    found = sorted(
        (file for file in folder.rglob("*") if file.suffix in _SUFFIXES and file.is_file()),
        key=lambda file: natural_order(file.relative_to(folder).as_posix()),
    )
    if not found:
        raise DatasetError(
            f"no episodes ({' or '.join(_SUFFIXES)} files)", where=folder, remedy="check the path"
        )
    own = [file for file in found if file.parent == folder]
    outcomes = [folder / outcome for outcome in Outcome]
    labelled = [file for file in found if file.parent in outcomes]
    left_out = set(found) - set(own) - set(labelled)
    if left_out or (own and labelled):
        raise DatasetError(
            "episodes both in the folder and below it, or in folders of other names",
            where=min(left_out or own),
            remedy="put all of them into the folder itself, or into success/ and failure/ below it",
        )
    return found


def choose_fields(episode: Node, options: ImportOptions) -> Fields:
    """Which observations make up the state, and which cameras there are.

    Raises:
        DatasetError: when there are no observations.
        UnknownName: when the user names one that is not there.
    """
    observations = episode.group("observations")
    keys = [key for key in observations.names() if key != "images"]
    cameras = observations.group("images").names() if "images" in observations else []
    joined = {
        STATE: chosen("observation", options.state, keys, default=["qpos"]),
        ENVIRONMENT_STATE: chosen("observation", options.environment_state, keys, default=[]),
        **{feature: [key] for feature, key in EXTRA_VECTORS.items() if key in keys},
    }
    shown = chosen("camera", options.cameras, cameras, default=cameras)
    vectors = {name: [f"observations/{key}" for key in k] for name, k in joined.items() if k}
    images = {camera: f"observations/images/{camera}" for camera in shown}
    return Fields({**vectors, ACTION: ["action"]}, images)
