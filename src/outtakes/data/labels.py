"""Label files: outcomes that a person wrote down, beside a dataset or anywhere else.

JSON, `{"0": "success", "7": "failure"}`, or CSV with the header `episode,outcome` and one episode
a line. Either may label some episodes or all. They are never written into the dataset's own files.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from outtakes.data.demo import Outcome
from outtakes.errors import ConfigError, DatasetError
from outtakes.files import unwritable, write_atomically

SIDECAR = "episode_labels.json"
"""Name of the file in which a person may label episodes; `outtakes label` writes it."""
SIDECARS = (SIDECAR, "episode_labels.csv")
"""Label files looked for in a dataset's folder, by precedence."""
_LOCK = ".episode_labels.lock"

_Entry = tuple[object, object]


def label_files(home: Path, given: Path | None) -> list[Path]:
    """The label files to read, by precedence: the one given, else those beside the dataset.

    Raises:
        DatasetError: when the one given does not exist.
    """
    if given is None:
        return [home / name for name in SIDECARS if (home / name).exists()]
    if not given.is_file():
        raise DatasetError("no such label file", where=given, remedy="check the path of --labels")
    return [given]


def read_labels(path: Path, episodes: Collection[int]) -> dict[int, bool]:
    """Episode index -> success, from a label file.

    Args:
        path: a `.csv`, or else JSON.
        episodes: the episode indices of the dataset.

    Raises:
        DatasetError: when the file is malformed, labels an episode twice, or names one that does
            not exist.
    """
    labels: dict[int, bool] = {}
    known = set(episodes)
    for key, value in _entries(path):
        episode, success = _label(path, key, value, known)
        if episode in labels:
            raise DatasetError(
                f"episode {episode} is labelled twice", where=path, remedy="keep one label"
            )
        labels[episode] = success
    return labels


def write_labels(
    path: Path, labels: Mapping[int, bool], episodes: Collection[int]
) -> dict[int, bool]:
    """Add labels to a JSON label file, whose other labels stay; returns all it then holds.

    Two processes may add at once: neither loses what the other wrote.

    Raises:
        ConfigError: when the file is to be of another format.
        DatasetError: when the file is there and malformed.
        MachineError: when it cannot be written.
    """
    if path.suffix != ".json":
        raise ConfigError(f"labels in {path.name}", remedy="name a .json file with --out")
    with locked(path.parent):
        before = read_labels(path, episodes) if path.exists() else {}
        merged = {**before, **labels}
        replace_labels(path, merged)
    return merged


def replace_labels(path: Path, labels: Mapping[int, bool]) -> None:
    """Make a JSON label file hold these labels alone, in one step; call it with the lock held."""
    words = {str(e): _word(labels[e]) for e in sorted(labels)}
    text = json.dumps(words, indent=1) + "\n"
    write_atomically(path, lambda draft: draft.write_text(text, encoding="utf-8"))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other writers of label files out of a folder, in which no lock is left behind.

    It goes with the process that holds it.

    Raises:
        MachineError: when the folder cannot be made or written in.
    """
    from filelock import FileLock

    lock = FileLock(folder / _LOCK, poll_interval=0.01)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield
    finally:
        # While it is held: whoever waits for it sees that it is gone, and makes another. Windows
        # does not allow that; there filelock removes it.
        with suppress(OSError):
            (folder / _LOCK).unlink()
        lock.release()


def parse_episodes(text: str) -> list[int]:
    """The episodes of a list such as `0-9,12`.

    Raises:
        ConfigError: when it is no such list.
    """
    episodes: list[int] = []
    for part in filter(None, text.replace(" ", "").split(",")):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise ConfigError(f"episodes {part!r}", remedy="write them as 0-9,12")
        episodes += range(int(first), int(last) + 1)
    return episodes


def _word(success: bool) -> str:
    return Outcome.of(success).value


def _entries(path: Path) -> Iterable[_Entry]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return _csv_entries(path, text) if path.suffix == ".csv" else _json_entries(path, text)
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(
            f"cannot read the labels ({error})", where=path, remedy="mend the file"
        ) from error


def _json_entries(path: Path, text: str) -> Iterable[_Entry]:
    # Pairs, not a dictionary, which would hide that an episode is labelled twice.
    entries = json.loads(text, object_pairs_hook=tuple)
    if not isinstance(entries, tuple):
        raise DatasetError(
            f"labels are a {type(entries).__name__}",
            where=path,
            remedy='write an object: {"0": "success", "1": "failure", ...}',
        )
    return entries


def _csv_entries(path: Path, text: str) -> Iterable[_Entry]:
    header, *lines = csv.reader(text.splitlines(), strict=True) if text.strip() else [[]]
    odd = next((line for line in lines if line and len(line) != 2), None)
    if [name.strip() for name in header] != ["episode", "outcome"] or odd:
        raise DatasetError(
            f"labels of columns {','.join(odd or header)!r}",
            where=path,
            remedy="write the header 'episode,outcome', then a line such as '0,success' for each",
        )
    return [(line[0].strip(), line[1].strip()) for line in lines if line]


def _label(path: Path, key: object, value: object, known: Collection[int]) -> tuple[int, bool]:
    if not (isinstance(key, str) and key.isdecimal() and int(key) in known):
        raise DatasetError(
            f"label for episode {key!r}, which the dataset does not have",
            where=path,
            remedy=f"use episode indices between {min(known)} and {max(known)}",
        )
    if value not in (Outcome.SUCCESS, Outcome.FAILURE):
        raise DatasetError(
            f"label {value!r} of episode {key}",
            where=path,
            remedy='use "success" or "failure"',
        )
    return int(key), value == Outcome.SUCCESS
