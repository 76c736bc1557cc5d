"""The verb that takes policies to LeRobot and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from outtakes.cli.verb import Verb, check_writable, given
from outtakes.console import Console
from outtakes.errors import CheckpointError, MachineError

PLUGIN = "lerobot_policy_outtakes"


@dataclass
class Convert(Verb):
    """Turn a run into a policy that LeRobot loads, or such a policy into a run."""

    source: Annotated[Positional[Path], arg(metavar="RUN|PRETRAINED_MODEL")]
    """A run folder of Outtakes, or a pretrained_model folder of LeRobot's."""
    out: Path
    """Folder to make: a pretrained_model folder, or a run folder."""
    image_size: int | None = None
    """Pixels on a side of the images that a run was trained on; the recipe's when not given."""

    def run(self, console: Console) -> None:
        """Convert and say where."""
        if not self.source.is_dir():
            raise CheckpointError(
                "no such folder",
                where=self.source,
                remedy="give a run folder or a pretrained_model folder",
            )
        # Imports LeRobot, which takes seconds.
        try:
            from lerobot_policy_outtakes.policy_to_run import to_run
            from lerobot_policy_outtakes.run_to_policy import is_run, to_pretrained
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != PLUGIN:
                raise
            raise MachineError(
                "converting needs the plugin for LeRobot", remedy=f"pip install {PLUGIN}"
            ) from error
        chosen = self.settings()
        check_writable(self.out.parent)
        if is_run(self.source):
            to_pretrained(
                self.source,
                self.out,
                controller=chosen.controller,
                image_size=given(self.image_size, chosen.image_size),
            )
            console.result(f"Policy: {self.out}", {"pretrained_model": str(self.out)})
        else:
            to_run(self.source, self.out)
            console.result(f"Run: {self.out}", {"run": str(self.out)})
