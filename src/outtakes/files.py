"""Writing to disk so that a kill or a full disk loses nothing that was there."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from outtakes.errors import ArtifactError, MachineError

Location = str | PathLike[str]
"""A path, as text or as an object."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system calls a disk, a quota or a file that can grow no more."""


def write_atomically(path: Location, write: Callable[[Path], object]) -> None:
    """Call `write(temporary)` beside `path`, then rename onto `path`.

    A reader sees the old file or the new one, never half of either.

    Raises:
        MachineError: when the folder is not writable or the disk is full.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        _flush(temporary)
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def unwritable(path: Location, error: OSError) -> MachineError:
    """The user's version of an `OSError` met while writing `path`."""
    if error.errno in DISK_FULL:
        return MachineError(
            "no space left on the disk", where=path, remedy="free some, or choose another --out"
        )
    return MachineError(
        f"cannot write ({error.strerror})", where=path, remedy="choose a writable --out"
    )


def write_json(path: Location, kind: str, version: int, content: Mapping[str, Any]) -> None:
    """Write one result file: `{"kind": kind, "version": version, **content}`."""
    text = json.dumps({"kind": kind, "version": version, **content}, indent=1, allow_nan=False)
    write_atomically(path, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))


def read_json(path: Location, kind: str, version: int | tuple[int, ...]) -> dict[str, Any]:
    """Read what `write_json` wrote, of this version or one of these.

    Raises:
        ArtifactError: when the file is missing, damaged, of another kind or another version.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"no {kind} file", where=path, remedy="give the path of one") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"cannot read the {kind} file ({error})", where=path, remedy="make it again"
        ) from error
    known = version if isinstance(version, tuple) else (version,)
    found = (content.get("kind"), content.get("version")) if isinstance(content, dict) else None
    if found not in [(kind, each) for each in known]:
        raise ArtifactError(
            f"expected a {kind} file of version {known[-1]}, found {found}",
            where=path,
            remedy="give another file, or make it again with this version of Outtakes",
        )
    return content


def load_json[T](
    path: Location,
    kind: str,
    version: int | tuple[int, ...],
    parse: Callable[[dict[str, Any]], T],
    *,
    remedy: str,
) -> T:
    """What `parse` makes of a result file.

    Args:
        path: the file.
        kind: what it must be.
        version: the version it must have, or one of these.
        parse: from the file's content to what it stands for.
        remedy: what to do about a damaged one.

    Raises:
        ArtifactError: when the file is missing, damaged, or of another kind or version.
    """
    content = read_json(path, kind, version)
    try:
        return parse(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"the {kind} file lacks or garbles {error}", where=path, remedy=remedy
        ) from error
