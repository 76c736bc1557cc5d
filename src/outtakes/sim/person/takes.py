"""Takes of a person, on disk as soon as they are kept.

They stay in a folder beside the dataset to come, one file a take, until that dataset is written:
whatever happens, the same command goes on from there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from outtakes.errors import ArtifactError, DatasetError
from outtakes.files import read_json, write_atomically, write_json
from outtakes.sim.collect import Attempt

_VERSION = 1
_INITIAL_STATE = "initial_state"


@dataclass(frozen=True)
class Take:
    """One kept episode of a person, before its images are rendered."""

    attempt: Attempt
    operator: str
    """For example "keyboard"."""
    seconds: float
    """By the clock, from the first recorded step to the last."""
    late_steps: int
    """Control steps that began late, because the machine could not keep up."""

    @property
    def facts(self) -> dict[str, Any]:
        """What is kept beside the episode."""
        return {
            "attempt": self.attempt.number,
            "operator": self.operator,
            "seconds": round(self.seconds, 2),
            "late_steps": self.late_steps,
        }


@dataclass(frozen=True)
class TakeFolder:
    """The kept takes of one dataset to come; not on disk before the first."""

    folder: Path
    request: Mapping[str, Any]
    """What determines the initial states, as JSON."""

    @property
    def _request_file(self) -> Path:
        return self.folder / "request.json"

    @property
    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("take-*.safetensors"))

    def check(self) -> None:
        """Refuse takes of another request.

        Raises:
            DatasetError: when such are there.
            ArtifactError: when the request that is there is damaged.
        """
        if not self._request_file.exists() and not self._files:
            return
        found = read_json(self._request_file, "takes request", _VERSION)
        asked = {name: found.get(name) for name in self.request}
        if asked != dict(self.request):
            raise DatasetError(
                f"unfinished takes of {asked}, not of {dict(self.request)}",
                where=self.folder,
                remedy="repeat that command, or choose another --out",
            )

    def keep(self, take: Take) -> None:
        """Put a take on disk; once this returns, a kill does not lose it.

        Raises:
            MachineError: when the disk is full or not writable.
        """
        if not self._request_file.exists():
            write_json(self._request_file, "takes request", _VERSION, self.request)
        arrays = {**take.attempt.features, _INITIAL_STATE: take.attempt.initial_state}
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        content = save(contiguous, {"take": json.dumps(take.facts)})
        path = self.folder / f"take-{take.attempt.number:05d}.safetensors"
        write_atomically(path, lambda temporary: temporary.write_bytes(content))

    def load(self) -> list[Take]:
        """All takes, in the order they were made.

        Raises:
            ArtifactError: when a file is damaged.
        """
        return [_load(file) for file in self._files]

    def remove(self) -> None:
        """Once the dataset is in its place."""
        shutil.rmtree(self.folder, ignore_errors=True)


def open_takes(root: Path, request: Mapping[str, Any]) -> TakeFolder:
    """The takes for the dataset `root`: none yet, or as an earlier session left them.

    Args:
        root: folder of the dataset to come.
        request: what determines the initial states, as JSON.

    Raises:
        DatasetError: when takes of another request are there.
        ArtifactError: when the request that is there is damaged.
    """
    absolute = root.absolute()
    takes = TakeFolder(absolute.with_name(f"{absolute.name}.takes"), request)
    takes.check()
    return takes


def _load(file: Path) -> Take:
    try:
        with safe_open(file, framework="numpy") as opened:
            facts = json.loads((opened.metadata() or {})["take"])
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        initial_state = arrays.pop(_INITIAL_STATE)
        return Take(
            Attempt(facts["attempt"], None, initial_state, arrays),
            facts["operator"],
            facts["seconds"],
            facts["late_steps"],
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"cannot read the take ({error!r})", where=file, remedy="move it away and go on"
        ) from error
