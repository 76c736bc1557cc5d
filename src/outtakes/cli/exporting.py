"""Verbs that hand data out: export, rerun."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from outtakes.cli.dataset_options import Labelled, Reads
from outtakes.cli.verb import check_exists, check_writable
from outtakes.console import Console

if TYPE_CHECKING:
    from outtakes.data.demo import DemoSet


@dataclass
class Export(Reads):
    """Write the selected episodes as a dataset of their own, and weights, for any other trainer."""

    needs = ("pyarrow",)

    dataset: Annotated[Positional[str], arg(metavar="DATASET")]
    """A LeRobot dataset: a folder, or owner/name on the hub. It is only read."""
    out: Path
    """New folder for dataset/, weights.parquet and selection.json."""
    select: Path | None = None
    """selection.json naming the episodes to keep; all of them when not given. Episodes that were
    dropped in `outtakes review` are left out in any case."""
    scores: Path | None = None
    """scores.json, to weigh the kept failures by their rank."""
    review: Path | None = None
    """Folder of review.json, when `outtakes review` was given --out; the dataset's own if not."""
    lerobot: bool = True
    """Write the kept episodes as a LeRobotDataset v3.0."""
    weights: bool = True
    """Write a weight for every episode, for a sampler."""
    push_to_hub: Annotated[str | None, arg(metavar="OWNER/NAME")] = None
    """Upload the new dataset to the hub under this name, for yourself alone."""
    public: bool = False
    """With --push-to-hub: for everyone to see."""

    def run(self, console: Console) -> None:
        """Export, and print the episodes as other trainers take them."""
        from outtakes.data.lerobot.episode_list import unlike_lerobot
        from outtakes.data.lerobot.hub import local_folder
        from outtakes.data.lerobot.read import read_table
        from outtakes.export import Wanted, check_place, export
        from outtakes.review.kept import kept_selection
        from outtakes.selection.made_for import load_scores, load_selection
        from outtakes.selection.select import lerobot_argument

        self._check_push()
        wanted, home = Wanted(self.lerobot, self.weights), local_folder(self.dataset)
        check_place(self.out, home)
        for file in (self.select, self.scores):
            check_exists(file)
        check_writable(self.out.absolute().parent)
        demos, layout = read_table(home, self.reading(), check_videos=self.lerobot)
        chosen = None if self.select is None else load_selection(self.select, demos)
        scores = None if self.scores is None else load_scores(self.scores, demos)
        selection = kept_selection(demos, self._dropped(demos, home), chosen)
        facts = export(demos, layout, selection, self.out, scores=scores, wanted=wanted)
        kept = range(len(selection.kept)) if self.lerobot else selection.kept
        argument = None
        if self.lerobot or unlike_lerobot(layout) is None:
            argument = lerobot_argument(kept)
        facts |= {"kept": selection.kept, "lerobot_argument": argument}
        console.result(_text(facts), {**facts, "hub": self._pushed()})

    def _check_push(self) -> None:
        from outtakes.data.lerobot.hub import check_upload
        from outtakes.errors import ConfigError

        check_writable(self.out.absolute().parent)
        if self.push_to_hub is None:
            return
        if not self.lerobot:
            raise ConfigError("nothing to upload", remedy="leave --no-lerobot out")
        check_upload(self.push_to_hub)

    def _dropped(self, demos: DemoSet, home: Path) -> frozenset[int]:
        from outtakes.review.sidecars import Sidecars

        known = sorted([*demos.episode_indices.tolist(), *demos.provenance.skipped])
        return Sidecars(home, self.review or home, known).read().dropped

    def _pushed(self) -> str | None:
        from outtakes.data.lerobot.hub import upload
        from outtakes.export import DATASET

        if self.push_to_hub is None:
            return None
        return upload(self.out / DATASET, self.push_to_hub, public=self.public)


def _text(facts: dict[str, Any]) -> str:
    lines = [facts["lerobot_argument"]] if facts["lerobot_argument"] else []
    if "dataset" in facts:
        lines.append(f"Dataset: {facts['dataset']}{_video_line(facts['videos'])}")
    if "weights" in facts:
        lines.append(f"Weights: {facts['weights']}")
    return "\n".join(lines)


def _video_line(videos: dict[str, int]) -> str:
    if not any(videos.values()):
        return ""
    return (
        f" (video files: {videos['copied']} copied, {videos['cut']} cut without loss, "
        f"{videos['encoded']} encoded again)"
    )


@dataclass
class Rerun(Labelled):
    """Write a recording for the Rerun viewer: cameras, numbers and divergence, in step."""

    needs = ("pyarrow", "rerun")

    dataset: Annotated[Positional[str], arg(metavar="DATASET")]
    """A LeRobot dataset: a folder, or owner/name on the hub. It is only read."""
    out: Path = Path("dataset.rrd")
    """File to write; open it with `rerun FILE`."""
    scores: Path | None = None
    """scores.json: adds the divergence of each failure over time, and orders the failures by it."""
    episodes: str = ""
    """Episodes to show, for example 0-9,12; all of them when not given."""

    def run(self, console: Console) -> None:
        """Write the recording and say how to open it."""
        from outtakes.data.labels import parse_episodes
        from outtakes.data.lerobot.hub import local_folder
        from outtakes.data.lerobot.location import check_outside
        from outtakes.ranking.scores import Scores
        from outtakes.rrd import check_name, read_takes, write_rrd

        home = local_folder(self.dataset)
        check_outside(self.out, home)
        check_name(self.out)
        takes = read_takes(
            home,
            self.reading(),
            scores=None if self.scores is None else Scores.load(self.scores),
            episodes=parse_episodes(self.episodes),
        )
        write_rrd(self.out, takes, Path(self.dataset).name)
        shown = [take.episode for take in takes.chosen]
        console.result(
            f"Recording: {self.out} ({len(shown)} episodes); open it with: rerun {self.out}",
            {"recording": str(self.out), "episodes": shown},
        )
