"""From a source of demonstrations to a LeRobot dataset: survey, convert in parts, join.

The survey looks at every demonstration without reading its frames, so that what is missing or
ragged is told in seconds, not after hours. Then one demonstration at a time is in memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from outtakes.data.lerobot.write import check_free, join_datasets, write_dataset
from outtakes.data.recording import Recording
from outtakes.errors import DatasetError
from outtakes.importers.manifest import Imported, Manifest, Skipped
from outtakes.importers.options import ImportOptions
from outtakes.importers.reader import Facts, Glance, Source
from outtakes.importers.staging import Part, Staging, open_staging, put_in_place
from outtakes.progress import Progress

PART = 10
"""Demonstrations converted between two points from which an interrupted import goes on."""

"""Called with (done, total, what)."""


@dataclass(frozen=True)
class Survey:
    """What there is to import."""

    glances: Mapping[str, Glance]
    """Demonstration -> what it is like; the sound ones alone, in order."""
    skipped: Sequence[Skipped]
    facts: Facts


def import_dataset(
    source: Source,
    path: Path,
    root: Path,
    options: ImportOptions,
    *,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Convert every demonstration; an interrupted import goes on where it stopped.

    Args:
        source: the demonstrations.
        path: where they come from.
        root: folder of the new LeRobotDataset v3.0; must not exist or be empty.
        options: settings that the result depends on.
        skip_bad: leave demonstrations out that cannot be imported, instead of stopping.
        progress: called with (demonstrations done, all, what is done).

    Returns:
        What became of every demonstration, as it stands in the dataset's `meta/import.json`.

    Raises:
        DatasetError: when a demonstration cannot be imported, none can, or `root` is taken.
        MachineError: when LeRobot is missing, or the disk is full or not writable.
    """
    say = progress or (lambda done, total, what: None)
    check_free(root)
    survey = take_survey(source, path, skip_bad=skip_bad, say=say)
    staging = open_staging(root, _request(source, path, options))
    parts = list(_write_parts(source, survey, staging, skip_bad=skip_bad, say=say))
    manifest = _account(path, survey, parts)
    say(len(parts), len(parts), "join the parts")
    shutil.rmtree(staging.whole, ignore_errors=True)
    join_datasets([part.dataset for part in parts if part.dataset.exists()], staging.whole)
    manifest.save(staging.whole)
    put_in_place(staging.whole, root)
    staging.remove()
    return manifest


def take_survey(source: Source, path: Path, *, skip_bad: bool, say: Progress) -> Survey:
    """Look at every demonstration, and hold all to the features of the first sound one.

    Raises:
        DatasetError: when one is not sound and may not be skipped, or none is.
    """
    glances: dict[str, Glance] = {}
    skipped: list[Skipped] = []
    for done, demo in enumerate(source.demos):
        say(done, len(source.demos), f"survey {demo}")
        try:
            glance = source.glance(demo)
            _check_same(f"{path}, {demo}", glance, glances)
        except DatasetError as error:
            skipped.append(_skip(demo, error, skip_bad=skip_bad))
        else:
            glances[demo] = glance
    if not glances:
        raise _nothing_left(skipped)
    return Survey(glances, skipped, source.facts(next(iter(glances))))


def _check_same(where: str, glance: Glance, glances: Mapping[str, Glance]) -> None:
    first, reference = next(iter(glances.items()), ("", glance))
    if glance.shapes != reference.shapes:
        raise DatasetError(
            f"features of shapes {dict(glance.shapes)}, {first} has {dict(reference.shapes)}",
            where=where,
            remedy="import them apart, or leave it out with --skip-bad",
        )


def _skip(demo: str, error: DatasetError, *, skip_bad: bool) -> Skipped:
    """The entry of a demonstration that is skipped, or the error where it may not be."""
    if not skip_bad:
        raise error
    return Skipped(demo, f"{error.what} ({error.where})" if error.where else error.what)


def _nothing_left(skipped: Sequence[Skipped]) -> DatasetError:
    return DatasetError(
        f"all {len(skipped)} demonstrations are bad, {skipped[0].demo} for one: "
        f"{skipped[0].reason}",
        remedy="mend the source",
    )


def _request(source: Source, path: Path, options: ImportOptions) -> dict[str, Any]:
    """What determines the result; a change of it must not go on from earlier parts."""
    files = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in source.files]
    settings = {name: _as_json(value) for name, value in asdict(options).items()}
    return {
        "source": str(path.absolute()),
        "files": [list(file) for file in files],
        "settings": settings,
        "labels": None if options.labels is None else options.labels.read_text(encoding="utf-8"),
    }


def _as_json(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


@dataclass
class _Chunk:
    """Some demonstrations on their way into a part, and what became of them."""

    source: Source
    survey: Survey
    demos: Sequence[str]
    skip_bad: bool
    say: Callable[[int, str], None]
    imported: list[Imported] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def recordings(self) -> Iterator[Recording]:
        """Each demonstration that can be read, one in memory at a time."""
        for done, demo in enumerate(self.demos):
            self.say(done, demo)
            verdict = self.survey.glances[demo].verdict
            try:
                features = self.source.read(demo)
            except DatasetError as error:
                self.skipped.append(_skip(demo, error, skip_bad=self.skip_bad))
                continue
            length = len(next(iter(features.values())))
            self.imported.append(Imported(demo, verdict.outcome, verdict.source, length))
            yield Recording(
                {**features, "next.success": verdict.column(length)},
                self.survey.facts.task,
                {"demo": demo},
            )


def _write_parts(
    source: Source, survey: Survey, staging: Staging, *, skip_bad: bool, say: Progress
) -> Iterator[Part]:
    demos = list(survey.glances)
    for start in range(0, len(demos), PART):
        part = staging.part(start // PART)

        def say_one(done: int, demo: str, start: int = start) -> None:
            say(start + done, len(demos), f"import {demo}")

        if not part.finished:
            part.clear()
            chunk = _Chunk(source, survey, demos[start : start + PART], skip_bad, say_one)
            _write_part(part, chunk)
        yield part
    say(len(demos), len(demos), "import")


def _write_part(part: Part, chunk: _Chunk) -> None:
    recordings = chunk.recordings()
    first = next(recordings, None)
    if first is not None:
        facts = chunk.survey.facts
        write_dataset(
            part.dataset,
            chain([first], recordings),
            fps=facts.fps,
            robot_type=facts.robot_type,
            names=facts.names,
        )
    part.finish(chunk.imported, chunk.skipped)


def _account(path: Path, survey: Survey, parts: Sequence[Part]) -> Manifest:
    entries = [part.entries() for part in parts]
    imported = [entry for some, _ in entries for entry in some]
    skipped = [*survey.skipped, *(entry for _, some in entries for entry in some)]
    if not imported:
        raise _nothing_left(skipped)
    return Manifest(path, survey.facts, imported, skipped)
