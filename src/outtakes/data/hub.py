"""Datasets of the Hugging Face hub: fetched by their id, and only when nothing local has that name.

This is the only module of Outtakes that uses the network, and the only one that imports
huggingface_hub.
"""

from __future__ import annotations

import re
from pathlib import Path

from outtakes.errors import DatasetError, MachineError

_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
"""`owner/name`. Paths that begin with a dot, a slash or a tilde are no ids."""


def is_hub_id(name: str) -> bool:
    """Whether a dataset named so is to be fetched from the hub."""
    return bool(_ID.fullmatch(name)) and not Path(name).exists()


def local_folder(name: str) -> Path:
    """The folder of a dataset: the path itself, or where the hub's copy was downloaded to.

    Downloads go where all tools of the hub keep them (`$HF_HOME`); what is there already is not
    fetched again.

    Args:
        name: a path, or `owner/name` of a dataset on the hub.

    Raises:
        DatasetError: when the hub does not give it.
        MachineError: when huggingface_hub is missing.
    """
    return _download(name) if is_hub_id(name) else Path(name)


def _download(name: str) -> Path:
    try:
        from httpx import HTTPError
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise MachineError(
            f"no such folder, and fetching {name} from the hub needs huggingface_hub",
            remedy="check the path, or pip install 'outtakes[data]'",
        ) from error
    try:
        return Path(snapshot_download(name, repo_type="dataset"))
    # The hub's own errors are OSErrors or, for malformed ids, ValueErrors.
    except (OSError, ValueError, HTTPError) as error:
        raise DatasetError(
            f"no such folder, and the hub does not give the dataset ({error.__cause__ or error})",
            where=name,
            remedy="check the name and the connection; 'hf auth login' opens private datasets",
        ) from error
