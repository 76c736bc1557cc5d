"""The verb that takes policies to LeRobot and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from outtakes.cli.verb import Verb, check_writable, given
from outtakes.console import Console
from outtakes.errors import MachineError

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
        try:
            from lerobot_policy_outtakes import conversion
        except ModuleNotFoundError as error:
            if error.name != PLUGIN:
                raise
            raise MachineError(
                "converting needs the plugin for LeRobot", remedy=f"pip install {PLUGIN}"
            ) from error
        from outtakes.recipes import recipe

        chosen = recipe(self.recipe)
        check_writable(self.out.parent)
        if conversion.is_run(self.source):
            conversion.to_pretrained(
                self.source,
                self.out,
                controller=chosen.controller,
                image_size=given(self.image_size, chosen.image_size),
            )
            console.result(f"Policy: {self.out}", {"pretrained_model": str(self.out)})
        else:
            conversion.to_run(self.source, self.out)
            console.result(f"Run: {self.out}", {"run": str(self.out)})
