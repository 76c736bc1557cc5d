"""Verbs that bring data in: import."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from outtakes.cli.verb import Verb, check_writable
from outtakes.console import Console


@dataclass
class Import(Verb):
    """Convert robomimic, robosuite or ALOHA HDF5 to a LeRobot dataset with outcomes."""

    needs = ("h5py", "lerobot", "pyarrow")

    source: Annotated[Positional[Path], arg(metavar="SOURCE")]
    """A robomimic or robosuite .hdf5 file, or a folder of ALOHA's episode_N.hdf5 files."""
    out: Path
    """Folder of the new LeRobotDataset v3.0; an interrupted import goes on."""
    fps: int | None = None
    """Frames a second; the source's control_freq, or ALOHA's 50, when not given."""
    task: str | None = None
    """The instruction in words; made of the name of the task or folder when not given."""
    state: tuple[str, ...] | None = None
    """Observations joined into observation.state; the robots' joints, end effectors and grippers,
    or ALOHA's qpos, when not given."""
    environment_state: tuple[str, ...] | None = None
    """Observations joined into observation.environment_state; robomimic's object when not given."""
    cameras: tuple[str, ...] | None = None
    """Stored cameras to import; all of them when not given, none when empty."""
    render: tuple[str, ...] = ()
    """Cameras of robosuite's scene to render from the stored simulator states."""
    image_size: int = 84
    """Side of rendered images, pixels."""
    outcome: Literal["success", "failure"] | None = None
    """How every demonstration ended, whatever the source says."""
    labels: Path | None = None
    """JSON file that says how some demonstrations ended, by number: {"0": "success"}."""
    success_mask: str | None = None
    """robomimic filter key that lists the successes."""
    failure_mask: str | None = None
    """robomimic filter key that lists the failures."""
    reward_threshold: float = 1.0
    """Least reward at which the task is solved."""
    skip_bad: bool = False
    """Leave demonstrations out that cannot be imported, and list them."""

    def run(self, console: Console) -> None:
        """Import and say what became of every demonstration."""
        from outtakes.importers.convert import import_dataset
        from outtakes.importers.open import open_source
        from outtakes.importers.options import ImportOptions

        names = (setting.name for setting in fields(ImportOptions))
        options = ImportOptions(**{name: getattr(self, name) for name in names})
        check_writable(self.out.absolute().parent)
        manifest = import_dataset(
            open_source(self.source, options),
            self.source,
            self.out,
            options,
            skip_bad=self.skip_bad,
            progress=console.progress,
        )
        console.result(
            f"{manifest.text}\nDataset: {self.out.resolve()}",
            {"dataset": str(self.out.resolve()), **manifest.content},
        )
