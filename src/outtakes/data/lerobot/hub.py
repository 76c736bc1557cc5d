"""Datasets of the Hugging Face hub: fetched by their id, only when nothing local has that name, and
uploaded, only when asked.

This is the only module of Outtakes that uses the network, and the only one that imports
huggingface_hub.
"""

from __future__ import annotations

import re
from pathlib import Path

from outtakes.errors import ConfigError, DatasetError, MachineError

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


def check_upload(name: str) -> None:
    """Refuse an upload that cannot work before any work is done for it.

    Raises:
        ConfigError: when the name is no `owner/name`.
        MachineError: when huggingface_hub is missing or nobody is logged in.
    """
    if not _ID.fullmatch(name):
        raise ConfigError(f"{name!r} is no dataset of the hub", remedy="name it owner/name")
    try:
        from huggingface_hub import get_token
    except ModuleNotFoundError as error:
        raise MachineError(
            "uploading needs huggingface_hub", remedy="pip install 'outtakes[data]'"
        ) from error
    if get_token() is None:
        raise MachineError(
            "no token of the hub here", remedy="log in with 'hf auth login', or set HF_TOKEN"
        )


def upload(folder: Path, name: str, *, public: bool) -> str:
    """Make a new dataset on the hub out of a LeRobot dataset v3.0; returns its address.

    Args:
        folder: the dataset.
        name: `owner/name`; must not exist, so that nothing there is replaced.
        public: whether everyone may see it.

    Raises:
        MachineError: when the hub refuses or cannot be reached.
    """
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    hub = HfApi()
    disable_progress_bars()
    try:
        made = hub.create_repo(name, repo_type="dataset", private=not public)
        hub.upload_folder(repo_id=name, folder_path=folder, repo_type="dataset")
        # LeRobot asks the hub for a tag of its format's version.
        hub.create_tag(name, tag="v3.0", repo_type="dataset")
    except (OSError, ValueError, HTTPError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise MachineError(
            f"the hub does not take the dataset ({reason}); it is whole in {folder}",
            where=name,
            remedy="check name, token and connection, then 'hf upload "
            f"{name} {folder} --repo-type dataset', or export again under another name",
        ) from error
    return str(made)
