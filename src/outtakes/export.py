"""Handing a selection to any other trainer: a dataset, weights, an episode list.

The folder takes shape under another name and gets its own when it is whole. The source is only
read.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.labels import SIDECAR, replace_labels
from outtakes.data.lerobot.layout import Layout
from outtakes.data.lerobot.location import check_outside
from outtakes.data.lerobot.subset import write_subset
from outtakes.data.lerobot.subset_videos import VideoFiles
from outtakes.data.lerobot.write import check_free
from outtakes.errors import ConfigError
from outtakes.files import unwritable, write_json
from outtakes.ranking.scores import Scores
from outtakes.selection.select import Selection
from outtakes.selection.weights import save_weights, weigh

DATASET, WEIGHTS, SELECTION = "dataset", "weights.parquet", "selection.json"
"""What an export leaves in its folder."""
MAP = "meta/export.json"
"""Where an exported dataset says which episode is which."""

_KIND, _VERSION = "export", 1


@dataclass(frozen=True)
class Wanted:
    """What to export.

    Raises:
        ConfigError: when it is nothing.
    """

    dataset: bool = True
    """The kept episodes as a LeRobotDataset v3.0."""
    weights: bool = True
    """A weight for every episode."""

    def __post_init__(self) -> None:
        if not (self.dataset or self.weights):
            raise ConfigError("nothing to export", remedy="leave --no-lerobot or --no-weights out")


def export(
    demos: DemoSet,
    layout: Layout,
    selection: Selection,
    out: Path,
    *,
    scores: Scores | None = None,
    wanted: Wanted | None = None,
) -> dict[str, Any]:
    """Export what a selection keeps.

    Args:
        demos: the dataset as it was selected from; no pictures are needed.
        layout: its index.
        selection: what is kept of it.
        out: the new folder.
        scores: the ranking, to weigh kept failures by.
        wanted: what to export; everything when None.

    Returns:
        What was written, as JSON: paths, the map of episodes, what became of the videos.

    Raises:
        ConfigError: when `out` is inside the dataset.
        DatasetError: when something is at `out`, or LeRobot cannot filter the dataset.
        MachineError: when LeRobot is missing, or the disk is full or not writable.
    """
    wanted = wanted or Wanted()
    check_place(out, layout.home)
    weights = weigh(demos, selection, scores)
    facts: dict[str, Any] = {"selection": str(out / SELECTION)}
    with _draft(out) as draft:
        selection.save(draft / SELECTION)
        if wanted.weights:
            save_weights(draft / WEIGHTS, weights, exported=wanted.dataset)
            facts["weights"] = str(out / WEIGHTS)
        if wanted.dataset:
            content = _write_dataset(demos, layout, selection, draft)
            facts |= {"dataset": str(out / DATASET), **content}
    return facts


def check_place(out: Path, home: Path) -> None:
    """Refuse a folder for the export that is taken or inside the dataset.

    Raises:
        ConfigError: when it is inside.
        DatasetError: when something is there.
    """
    check_outside(out, home)
    check_free(out)


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A folder that becomes `out` when all goes well, and vanishes when not."""
    draft = out.absolute().with_name(f".{out.absolute().name}.{uuid.uuid4().hex[:8]}")
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.rename(out)
    except OSError as error:
        raise unwritable(out, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_dataset(
    demos: DemoSet, layout: Layout, selection: Selection, draft: Path
) -> dict[str, Any]:
    root, kept = draft / DATASET, selection.kept
    videos = write_subset(layout, kept, root)
    outcomes = dict(zip(demos.episode_indices.tolist(), demos.successes.tolist(), strict=True))
    # Wherever the source has its outcomes: not all of its columns are in the new dataset.
    replace_labels(root / SIDECAR, {new: outcomes[old] for new, old in enumerate(kept)})
    content = _content(demos, selection, outcomes, videos)
    write_json(root / MAP, _KIND, _VERSION, content)
    return content


def _content(
    demos: DemoSet, selection: Selection, outcomes: dict[int, bool], videos: VideoFiles
) -> dict[str, Any]:
    kept, skipped = selection.kept, demos.provenance.skipped
    return {
        "source": demos.name,
        "content_hash": demos.content_hash,
        "rule": selection.rule,
        "episodes": [
            {
                "episode_index": new,
                "source_episode": old,
                "outcome": Outcome.of(outcomes[old]).value,
            }
            for new, old in enumerate(kept)
        ],
        "dropped": selection.dropped,
        "skipped": [{"episode": e, "reason": why} for e, why in sorted(skipped.items())],
        "videos": asdict(videos),
    }
