"""The verb with which people look at a dataset: review."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from outtakes.cli.verb import Verb, check_writable, episode_list
from outtakes.console import Console

if TYPE_CHECKING:
    import numpy as np

    from outtakes.review.catalogue import Catalogue
    from outtakes.review.sidecars import Sidecars


@dataclass
class Review(Verb):
    """Watch the episodes of a dataset, label them and drop some, on a page of your browser."""

    needs = ("pyarrow", "starlette", "uvicorn")

    dataset: Annotated[Positional[Path], arg(metavar="DATASET")]
    """Folder of a LeRobot dataset."""
    scores: Path | None = None
    """scores.json, to sort the failures by, as `outtakes rank` writes it."""
    out: Path | None = None
    """Folder for episode_labels.json and review.json; the dataset's own when not given."""
    export: Path | None = None
    """Show nothing; write the episodes that were not dropped as a selection.json for `train`."""
    skip_bad: bool = False
    """Leave corrupt episodes out instead of refusing the dataset."""
    port: int = 0
    """Port of 127.0.0.1 to listen on; any free one when 0."""
    browser: bool = True
    """Open the page; with --no-browser its address is only printed."""

    def run(self, console: Console) -> None:
        """Serve the page until Ctrl-C, or export."""
        from outtakes.review.catalogue import read_catalogue

        if self.export is not None:
            self._export(self.export, console)
            return
        catalogue = read_catalogue(self.dataset, self.scores, skip_bad=self.skip_bad)
        sidecars = self._sidecars(catalogue.layout.left_out, catalogue.episode_indices)
        sidecars.read()
        self._serve(catalogue, sidecars, console)

    def _sidecars(self, left_out: Collection[int], episodes: np.ndarray) -> Sidecars:
        from outtakes.review.sidecars import Sidecars

        known = sorted([*episodes.tolist(), *left_out])
        return Sidecars(self.dataset, self.out or self.dataset, known)

    def _serve(self, catalogue: Catalogue, sidecars: Sidecars, console: Console) -> None:
        from outtakes.review.server import prepare_server

        check_writable(sidecars.folder)
        server = prepare_server(catalogue, sidecars, self.port)
        copied = f"\nCopy it to {self.dataset} for training to see it." if self.out else ""
        console.result(
            f"Review: {server.address}\nLabels: {sidecars.labels}{copied}\nCtrl-C ends.",
            {
                "address": server.address,
                "labels": str(sidecars.labels),
                "review": str(sidecars.review),
            },
        )
        if self.browser:
            server.open_browser()
        server.run()

    def _export(self, path: Path, console: Console) -> None:
        from outtakes.data.lerobot.read import read_table
        from outtakes.data.reading import Reading
        from outtakes.review.kept import kept_selection

        check_writable(path.absolute().parent)
        demos, layout = read_table(self.dataset, Reading(skip_bad=self.skip_bad))
        sidecars = self._sidecars(layout.left_out, demos.episode_indices)
        selection = kept_selection(demos, sidecars.read().dropped)
        selection.save(path)
        text, argument = episode_list(selection, path, self.dataset)
        console.result(
            text,
            {"selection": str(path), "kept": selection.kept, "lerobot_argument": argument},
        )
