"""Which format a path holds."""

from __future__ import annotations

from pathlib import Path

from outtakes.errors import DatasetError
from outtakes.importers.aloha import AlohaFolder
from outtakes.importers.hdf5 import open_hdf5
from outtakes.importers.options import ImportOptions
from outtakes.importers.reader import Source
from outtakes.importers.robomimic import RobomimicFile

_FORMATS = "a robomimic or robosuite file, or a folder of ALOHA's episode_N.hdf5"


def open_source(path: Path, options: ImportOptions) -> Source:
    """The demonstrations at a path: a folder is ALOHA's, a file with `data` robomimic's.

    Raises:
        DatasetError: when it is neither.
    """
    if path.is_dir():
        return AlohaFolder(path, options)
    with open_hdf5(path) as file:
        if "data" in file:
            return RobomimicFile(path, options)
        if "action" in file:
            raise DatasetError(
                "one episode of ALOHA", where=path, remedy="give the folder of the episodes"
            )
        raise DatasetError(
            f"neither data nor action in it, only {', '.join(file.names()) or 'nothing'}",
            where=path,
            remedy=f"give {_FORMATS}",
        )
