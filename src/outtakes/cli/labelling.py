"""The verb that writes outcomes down: label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from outtakes.cli.dataset_options import Labelled
from outtakes.console import Console
from outtakes.errors import ConfigError

if TYPE_CHECKING:
    from outtakes.data.outcomes import Evidence, Outcomes


@dataclass
class Label(Labelled):
    """Say which episodes succeeded, in a file beside the dataset; its own files stay untouched."""

    needs = ("pyarrow",)

    dataset: Annotated[Positional[str], arg(metavar="DATASET")]
    """A LeRobot dataset: a folder, or owner/name on the hub."""
    success: str = ""
    """Episodes that succeeded, for example 0-9,12."""
    failure: str = ""
    """Episodes that failed, for example 10,11."""
    freeze: Annotated[str | None, arg(name="from")] = None
    """A source, as for --outcome-from, whose outcomes are to be written down."""
    out: Path | None = None
    """The .json file to add to; episode_labels.json in the dataset's folder when not given."""
    show: bool = False
    """Print every episode's outcome and where it comes from."""

    def run(self, console: Console) -> None:
        """Add the labels, and say what holds now."""
        from outtakes.data.labels import write_labels
        from outtakes.data.lerobot.hub import local_folder
        from outtakes.data.lerobot.read import read_evidence
        from outtakes.data.outcomes import known_outcomes

        reading, folder = self.reading(), local_folder(self.dataset)
        evidence = read_evidence(folder, reading)
        labels = self._new_labels(evidence, folder)
        path = self._path() if labels else None
        if path is not None:
            write_labels(path, labels, evidence.known_episodes)
            evidence = replace(evidence, labels=self.out or self.labels)
        elif not self.show:
            raise ConfigError(
                "nothing to label", remedy="give --success, --failure, --from or --show"
            )
        outcomes = known_outcomes(evidence, reading.source)
        written = None if path is None else str(path)
        console.result(self._text(evidence, outcomes, written), _facts(evidence, outcomes, written))

    def _path(self) -> Path:
        """The file to add labels to; never one of a download, which others share."""
        from outtakes.data.labels import SIDECAR
        from outtakes.data.lerobot.hub import is_hub_id

        if self.out is None and is_hub_id(self.dataset):
            raise ConfigError(
                "labels of a dataset on the hub",
                where=self.dataset,
                remedy="name a file with --out, and give it to other verbs with --labels",
            )
        return self.out or Path(self.dataset) / SIDECAR

    def _new_labels(self, evidence: Evidence, folder: Path) -> dict[int, bool]:
        """Episodes named one by one overrule the source that is frozen."""
        from outtakes.data.labels import parse_episodes

        succeeded, failed = parse_episodes(self.success), parse_episodes(self.failure)
        both = sorted(set(succeeded) & set(failed))
        if both:
            raise ConfigError(f"episode {both[0]} as success and as failure", remedy="name it once")
        named = {**dict.fromkeys(succeeded, True), **dict.fromkeys(failed, False)}
        _check_known(evidence, named)
        return {**self._frozen(folder), **named}

    def _frozen(self, folder: Path) -> Mapping[int, bool]:
        from outtakes.data.lerobot.read import read_evidence
        from outtakes.data.outcomes import find_outcomes

        if self.freeze is None:
            return {}
        reading = replace(self.reading(), outcome_from=self.freeze)
        return find_outcomes(read_evidence(folder, reading), reading.source).successes

    def _text(self, evidence: Evidence, outcomes: Outcomes, written: str | None) -> str:
        successes = sum(outcomes.successes.values())
        unknown = len(evidence.episode_indices) - len(outcomes.successes)
        lines = [f"Labels: {written}"] if written else []
        lines.append(
            f"{len(evidence.episode_indices)} episodes: {successes} successes, "
            f"{len(outcomes.successes) - successes} failures, {unknown} without an outcome"
        )
        if self.show:
            lines += [
                f"{episode:>8}  {_word(outcomes, episode):<8} {outcomes.sources.get(episode, '')}"
                for episode in evidence.episode_indices.tolist()
            ]
        return "\n".join(line.rstrip() for line in lines)


def _check_known(evidence: Evidence, named: Mapping[int, bool]) -> None:
    known = evidence.known_episodes
    unknown = sorted(set(named) - set(known))
    if unknown:
        raise ConfigError(
            f"episode {unknown[0]} is not in the dataset",
            where=evidence.home,
            remedy=f"use episode indices between {known[0]} and {known[-1]}",
        )


def _word(outcomes: Outcomes, episode: int) -> str:
    return {True: "success", False: "failure", None: "unknown"}[outcomes.successes.get(episode)]


def _facts(evidence: Evidence, outcomes: Outcomes, written: str | None) -> dict[str, object]:
    return {
        "labels": written,
        "outcomes": {
            str(episode): {
                "outcome": _word(outcomes, episode),
                "source": outcomes.sources.get(episode),
            }
            for episode in evidence.episode_indices.tolist()
        },
    }
