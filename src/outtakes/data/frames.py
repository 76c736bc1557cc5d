"""The frame cache: every frame decoded once, so that training and ranking never decode a video.

A cache is a folder that holds one `DemoSet`:

    demos.json          name, content hash, frame rate, tasks, cameras' shapes, provenance
    demos.safetensors   every numeric array
    <camera>.npy        (R, height, width, 3) uint8, memory-mapped when read

It is named after a hash of the bytes it was made from, so it cannot go stale, and it is written
under another name and renamed, so it is whole or absent. Reading one needs numpy and safetensors
alone: copy the folder to a bare GPU machine and train there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from outtakes.data.demo import VECTORS, DemoSet, Provenance
from outtakes.data.frame_file import FrameFile, flush
from outtakes.errors import DatasetError, MachineError, UnknownName

FORMAT = 3
"""Version of the layout above."""

_OF_EPISODES = ("episode_indices", "successes")


def cache_root() -> Path:
    """Where caches live: `$OUTTAKES_CACHE`, else `$XDG_CACHE_HOME/outtakes`, else
    `~/.cache/outtakes`."""
    if own := os.environ.get("OUTTAKES_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "outtakes"


def save_cache(folder: Path, demos: DemoSet) -> None:
    """Write `demos` as a frame cache.

    Raises:
        DatasetError: when the folder exists and holds something else.
        MachineError: when the folder cannot be written or the disk is full.
    """
    rows = demos.rows()
    with new_cache(folder) as draft:
        for camera, frames in demos.images.items():
            with FrameFile(draft / frame_file_name(camera), len(rows)) as file:
                for place, row in enumerate(rows):
                    file.write(place, frames[row])
        write_numbers(draft, demos)


def frame_file_name(camera: str) -> str:
    """File name of a camera's frames.

    Raises:
        DatasetError: when the camera's name would not make a plain file name.
    """
    if not re.fullmatch(r"\w[\w.-]*", camera):
        raise DatasetError(
            f"camera name {camera!r} cannot name a file",
            remedy="rename it with letters, digits, '_', '-' and '.'",
        )
    return f"{camera}.npy"


def write_numbers(draft: Path, demos: DemoSet) -> None:
    """Write everything but the frames into a cache in the making."""
    rows = demos.rows()
    numbers = save_tensors(
        {
            **{name: np.ascontiguousarray(getattr(demos, name)) for name in _OF_EPISODES},
            **{name: getattr(demos, name)[rows] for name in VECTORS},
            "starts": np.append(demos.packed_starts(), len(rows)),
        }
    )
    facts = {
        "format": FORMAT,
        "name": demos.name,
        "content_hash": demos.content_hash,
        "fps": demos.fps,
        "tasks": list(demos.tasks),
        "cameras": {c: [len(rows), *frames.shape[1:]] for c, frames in demos.images.items()},
        "choices": dict(demos.choices),
        "provenance": asdict(demos.provenance),
        "numbers": hashlib.blake2b(numbers, digest_size=16).hexdigest(),
    }
    for name, content in (
        ("demos.safetensors", numbers),
        ("demos.json", json.dumps(facts, indent=1).encode()),
    ):
        with (draft / name).open("wb") as file:
            file.write(content)
            flush(file)


@contextmanager
def new_cache(folder: Path) -> Iterator[Path]:
    """A temporary sibling of `folder`, which takes its name when the block succeeds.

    Two processes may make the same cache at once: the first to finish keeps the name, and the
    other's equal copy is thrown away.

    Raises:
        DatasetError: when the folder exists and holds something else.
        MachineError: when the folder cannot be written or the disk is full.
    """
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        draft.mkdir(parents=True)
        yield draft
        _install(draft, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _install(draft: Path, folder: Path) -> None:
    while not _renamed(draft, folder):
        if _same_cache(draft, folder):
            return
        _discard(folder, draft.with_name(f"{draft.name}.old"))


def _renamed(draft: Path, folder: Path) -> bool:
    try:
        draft.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _same_cache(draft: Path, folder: Path) -> bool:
    try:
        return load_cache(draft).content_hash == load_cache(folder).content_hash
    except DatasetError:
        return False


def _discard(folder: Path, aside: Path) -> None:
    """Remove an old or damaged cache; renamed first, as another process may be doing the same."""
    strangers = [path.name for path in folder.glob("*") if not _is_cache_file(path)]
    if strangers:
        raise DatasetError(
            f"not a frame cache, it holds {strangers[0]!r}",
            where=folder,
            remedy="name a new folder for the frame cache",
        )
    with suppress(FileNotFoundError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _is_cache_file(path: Path) -> bool:
    return path.name in ("demos.json", "demos.safetensors") or path.suffix == ".npy"


def _unwritable(folder: Path, error: OSError) -> MachineError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        what, remedy = "no space left for the frame cache", "free some, or "
    else:
        what, remedy = f"cannot write the frame cache ({error.strerror})", ""
    return MachineError(
        what, where=folder, remedy=f"{remedy}point OUTTAKES_CACHE at a folder with room"
    )


def is_cache(folder: Path) -> bool:
    """Whether `folder` looks like a frame cache."""
    return (folder / "demos.json").is_file()


def load_cache(folder: Path, cameras: Sequence[str] | None = None) -> DemoSet:
    """Read a frame cache; frames stay on disk until they are used.

    Args:
        folder: the cache.
        cameras: those whose files are opened; all when None.

    Raises:
        DatasetError: when the folder is not a frame cache or is damaged.
        UnknownName: when it lacks a camera.
    """
    if not is_cache(folder):
        raise DatasetError(
            "not a frame cache (no demos.json)", where=folder, remedy="give the path of one"
        )
    try:
        return _load(folder, cameras)
    except _DAMAGE as error:
        raise DatasetError(
            f"damaged frame cache ({error})",
            where=folder,
            remedy="delete the folder and read the dataset again",
        ) from error


def load_whole(
    folder: Path, content_hash: str, cameras: Sequence[str] | None = None
) -> DemoSet | None:
    """What `load_cache` reads, or None unless that is whole and of this content."""
    try:
        demos = load_cache(folder, cameras)
    except DatasetError:
        return None
    return demos if demos.content_hash == content_hash else None


_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    SafetensorError,
    DatasetError,
)
"""All that reading a file somebody has meddled with may raise."""


def _load(folder: Path, cameras: Sequence[str] | None) -> DemoSet:
    facts = json.loads((folder / "demos.json").read_text(encoding="utf-8"))
    if facts["format"] != FORMAT:
        raise ValueError(f"format {facts['format']}, this version of Outtakes reads {FORMAT}")
    numbers = (folder / "demos.safetensors").read_bytes()
    if hashlib.blake2b(numbers, digest_size=16).hexdigest() != facts["numbers"]:
        raise ValueError("demos.safetensors has changed")
    tensors: dict[str, Any] = load_tensors(numbers)
    return DemoSet(
        name=facts["name"],
        content_hash=facts["content_hash"],
        fps=float(facts["fps"]),
        images=_images(folder, facts["cameras"], cameras),
        tasks=facts["tasks"],
        provenance=_provenance(facts["provenance"]),
        choices=facts["choices"],
        starts=tensors["starts"][:-1],
        lengths=np.diff(tensors["starts"]),
        **{name: tensors[name] for name in (*_OF_EPISODES, *VECTORS)},
    )


def _provenance(facts: dict[str, Any]) -> Provenance:
    # JSON has no integer keys.
    skipped = {int(episode): str(reason) for episode, reason in facts["skipped"].items()}
    return Provenance(**{**facts, "skipped": skipped})


def _images(
    folder: Path, shapes: dict[str, list[int]], wanted: Sequence[str] | None
) -> dict[str, np.ndarray]:
    for camera in wanted or ():
        if camera not in shapes:
            raise UnknownName("camera", camera, shapes)
    return {
        camera: _map_frames(folder, camera, shape)
        for camera, shape in shapes.items()
        if wanted is None or camera in wanted
    }


def _map_frames(folder: Path, camera: str, shape: list[int]) -> np.ndarray:
    frames = np.load(folder / frame_file_name(camera), mmap_mode="r", allow_pickle=False)
    if frames.dtype != np.uint8 or list(frames.shape) != shape:
        raise ValueError(f"{camera}.npy holds {frames.dtype} {frames.shape}, expected {shape}")
    return frames
