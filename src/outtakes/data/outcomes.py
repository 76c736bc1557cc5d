"""How each episode ended, from wherever a dataset says so.

Sources, in order of precedence; each is looked at only for episodes that no earlier one labels:

1. A label file, where a person overrules the dataset: the one given with `--labels`, else
   `episode_labels.json`, then `episode_labels.csv` in the dataset's folder.
2. `folders`: the dataset is two LeRobot datasets, in folders named `success` and `failure`.
3. A column of `meta/episodes`, one value an episode.
4. A column of `data/`, one value a frame.
5. `next.reward`, then `reward`, a column of `data/`, when it is sparse: 0 everywhere but where it
   is 1, and 1 somewhere. A reward of any other kind says nothing without a threshold.

What nobody told is no failure: a value that is missing or NaN says nothing, and an episode whose
column of `data/` ends so, without success before, has no outcome there.

Columns 3 and 4 are, by precedence, `next.success`, `is_success`, `success` and
`is_episode_successful`. An episode succeeded if a value of its own reaches 1; a column of
`meta/episodes` may also say "success" and "failure" in words. Only the first column of `data/` that
exists is read, rewards last.

`--outcome-from` names one source and no other is looked at: `labels`, `folders`, or any column, as
`COLUMN` or as `COLUMN:THRESHOLD`, for example `next.reward:0.9` or `next.done`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.demo import Outcome
from outtakes.data.labels import SIDECARS, label_files, read_labels
from outtakes.errors import DatasetError, UnknownName

COLUMNS = ("next.success", "is_success", "success", "is_episode_successful")
"""Columns that tell success, by precedence."""
REWARDS = ("next.reward", "reward")
"""Columns that tell success when they are sparse."""
FOLDERS: Mapping[str, bool] = {"success": True, "failure": False}
"""Folders that tell success by their names."""
_LABELS, _FOLDERS = "labels", "folders"


@dataclass(frozen=True)
class Source:
    """Where to look, as `--outcome-from` names it."""

    name: str
    threshold: float = 1.0
    """What a value must reach for success."""

    @staticmethod
    def parse(text: str) -> Source:
        """`COLUMN` or `COLUMN:THRESHOLD`."""
        name, _, threshold = text.rpartition(":")
        try:
            return Source(name, float(threshold)) if name else Source(text)
        except ValueError:
            return Source(text)


@dataclass(frozen=True)
class Evidence:
    """All that a dataset says about how its episodes ended."""

    home: Path
    """The dataset's folder."""
    episode_indices: np.ndarray
    """(N,) int64."""
    starts: np.ndarray
    """(N + 1,) row offsets of the episodes."""
    frame_columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Column of `data/` -> (R,) or (R, d) numbers."""
    episode_columns: Mapping[str, Sequence[object]] = field(default_factory=dict)
    """Column of `meta/episodes` -> (N,) values, None where an episode has none."""
    folders: Mapping[int, bool] = field(default_factory=dict)
    """Episode index -> success, where the dataset is two folders."""
    labels: Path | None = None
    """A label file to read in place of those in the dataset's folder."""
    left_out: Collection[int] = ()
    """Corrupt episodes that are left out; a label file may name them."""
    numeric_columns: Sequence[str] = ()
    """Every column of `data/` that could be read, for messages."""

    @property
    def known_episodes(self) -> list[int]:
        """Every episode index of the dataset, ascending."""
        return sorted([*self.episode_indices.tolist(), *self.left_out])


@dataclass(frozen=True)
class Outcomes:
    """How each episode ended, and which source says so."""

    successes: Mapping[int, bool]
    """Episode index -> whether it succeeded."""
    sources: Mapping[int, str]
    """Episode index -> source."""

    @property
    def counts(self) -> dict[str, int]:
        """Source -> number of episodes it decides."""
        return dict(Counter(self.sources.values()))


def is_numeric(feature: Mapping[str, Any]) -> bool:
    """Whether a feature, as `meta/info.json` describes it, holds numbers."""
    return str(feature.get("dtype")).startswith(("bool", "int", "uint", "float"))


def frame_columns(features: Mapping[str, Mapping[str, Any]], wanted: Source | None) -> list[str]:
    """The column of `data/` to read for outcomes, or none.

    Args:
        features: LeRobot feature name -> dtype and more.
        wanted: the one source to look at, if named.
    """
    names = (*COLUMNS, *REWARDS) if wanted is None else (wanted.name,)
    return [name for name in names if name in features and is_numeric(features[name])][:1]


def find_outcomes(evidence: Evidence, wanted: Source | None = None) -> Outcomes:
    """Whether each episode succeeded.

    Args:
        evidence: what the dataset says.
        wanted: the one source to look at; all by precedence when None.

    Raises:
        DatasetError: when an episode has no outcome, or a label is none of success and failure.
        UnknownName: when the source wanted is not there.
    """
    outcomes = known_outcomes(evidence, wanted)
    episodes = evidence.episode_indices.tolist()
    unlabelled = [e for e in episodes if e not in outcomes.successes]
    if unlabelled:
        raise _no_outcome(evidence, unlabelled[0], wanted)
    return outcomes


def known_outcomes(evidence: Evidence, wanted: Source | None = None) -> Outcomes:
    """The outcomes there are; episodes without one are left out.

    Raises:
        DatasetError: when a label is none of success and failure.
        UnknownName: when the source wanted is not there.
    """
    found = _by_precedence(evidence) if wanted is None else _named(evidence, wanted)
    return _first_of(found, evidence)


def recorded_outcomes(evidence: Evidence) -> Outcomes:
    """What the dataset itself says, label files left aside; some episodes may lack an outcome.

    Raises:
        DatasetError: when a label is none of success and failure.
    """
    return _first_of(_recorded(evidence), evidence)


_Labels = tuple[str, dict[int, bool]]
"""A source and the episodes it labels."""


def _first_of(found: Iterable[_Labels], evidence: Evidence) -> Outcomes:
    """Each episode's outcome from the first source that labels it."""
    successes: dict[int, bool] = {}
    sources: dict[int, str] = {}
    for source, labels in found:
        for episode, success in labels.items():
            if episode not in successes and episode not in evidence.left_out:
                successes[episode], sources[episode] = success, source
    return Outcomes(successes, sources)


def _by_precedence(evidence: Evidence) -> Iterator[_Labels]:
    yield from _label_files(evidence)
    yield from _recorded(evidence)


def _recorded(evidence: Evidence) -> Iterator[_Labels]:
    if evidence.folders:
        yield _FOLDERS, dict(evidence.folders)
    for name in COLUMNS:
        if name in evidence.episode_columns:
            yield name, _of_episodes(evidence, Source(name))
    for name in COLUMNS:
        if name in evidence.frame_columns:
            yield name, _of_frames(evidence, Source(name))
    for name in REWARDS:
        if name in evidence.frame_columns and _is_sparse(evidence.frame_columns[name]):
            yield name, _of_frames(evidence, Source(name))


def _named(evidence: Evidence, wanted: Source) -> Iterator[_Labels]:
    if wanted.name == _LABELS:
        yield from _label_files(evidence)
    elif wanted.name == _FOLDERS and evidence.folders:
        yield _FOLDERS, dict(evidence.folders)
    elif wanted.name in evidence.episode_columns:
        yield wanted.name, _of_episodes(evidence, wanted)
    elif wanted.name in evidence.frame_columns:
        yield wanted.name, _of_frames(evidence, wanted)
    else:
        folders = [_FOLDERS] if evidence.folders else []
        columns = {*evidence.episode_columns, *evidence.numeric_columns}
        raise UnknownName("outcome source", wanted.name, [_LABELS, *folders, *columns])


def _label_files(evidence: Evidence) -> Iterator[_Labels]:
    for path in label_files(evidence.home, evidence.labels):
        yield path.name, read_labels(path, evidence.known_episodes)


def _of_frames(evidence: Evidence, source: Source) -> dict[int, bool]:
    """An episode succeeded if any of its frames says so, and failed if its last one says no."""
    values = evidence.frame_columns[source.name]
    values = values.reshape(len(values), -1)
    reached = (values >= source.threshold).any(axis=1)
    before = np.concatenate([[0], np.cumsum(reached)])
    succeeded = before[evidence.starts[1:]] > before[evidence.starts[:-1]]
    told = succeeded | ~np.isnan(values[evidence.starts[1:] - 1]).all(axis=1)
    found = zip(evidence.episode_indices.tolist(), succeeded.tolist(), told.tolist(), strict=True)
    return {episode: success for episode, success, is_told in found if is_told}


def _of_episodes(evidence: Evidence, source: Source) -> dict[int, bool]:
    pairs = zip(
        evidence.episode_indices.tolist(), evidence.episode_columns[source.name], strict=True
    )
    return {e: _verdict(evidence, source, e, value) for e, value in pairs if not _missing(value)}


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _verdict(evidence: Evidence, source: Source, episode: int, value: object) -> bool:
    if isinstance(value, bool | int | float):
        return value >= source.threshold
    if value in (Outcome.SUCCESS, Outcome.FAILURE):
        return value == Outcome.SUCCESS
    raise DatasetError(
        f"{source.name} is {value!r} for episode {episode}",
        where=evidence.home / "meta" / "episodes",
        remedy="name another source with --outcome-from, or label the episodes with "
        "'outtakes label'",
    )


def _is_sparse(rewards: np.ndarray) -> bool:
    given = rewards[~np.isnan(rewards)]
    return bool(np.isin(given, (0, 1)).all() and given.any())


def _no_outcome(evidence: Evidence, episode: int, wanted: Source | None) -> DatasetError:
    looked_for = (
        f"{', '.join(SIDECARS)}, folders {' and '.join(FOLDERS)}, the columns "
        f"{', '.join(COLUMNS)} and a sparse {REWARDS[0]}"
        if wanted is None
        else wanted.name
    )
    return DatasetError(
        f"no outcome for episode {episode}; looked for {looked_for}",
        where=evidence.home,
        remedy="label episodes with 'outtakes label', or name a column with --outcome-from",
    )
