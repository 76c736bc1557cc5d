"""robomimic's filter keys: lists of demonstrations under `mask`, some of which tell outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from outtakes.errors import DatasetError, UnknownName
from outtakes.importers.hdf5 import Node
from outtakes.importers.options import ImportOptions
from outtakes.importers.verdict import Verdict

SUCCESS_MASKS = ("success", "successes", "successful")
FAILURE_MASKS = ("failure", "failures", "failed")
"""Names of filter keys, of which the first found is used."""


@dataclass(frozen=True)
class FilterKeys:
    """The filter keys that tell outcomes."""

    file: Path
    success: tuple[str, frozenset[str]] | None
    """Name of the filter key and the demonstrations it lists."""
    failure: tuple[str, frozenset[str]] | None

    def verdict(self, demo: str, solved: np.ndarray | None) -> Verdict | None:
        """What they say about a demonstration, whose task is solved at these frames.

        Raises:
            DatasetError: when they contradict each other.
        """
        listed = [
            (ended, name)
            for ended, mask in ((True, self.success), (False, self.failure))
            if mask is not None
            for name, demos in [mask]
            if demo in demos
        ]
        if len(listed) == 2:
            raise DatasetError(
                f"{demo} is in both mask/{listed[0][1]} and mask/{listed[1][1]}",
                where=self.file,
                remedy="mend the filter keys, or use --labels",
            )
        if listed:
            ended, name = listed[0]
            return Verdict(ended, f"mask/{name}", solved)
        if self.success and not self.failure:
            return Verdict(False, f"not in mask/{self.success[0]}")
        if self.failure and not self.success:
            return Verdict(True, f"not in mask/{self.failure[0]}", solved)
        return None


def read_filter_keys(file: Node, options: ImportOptions) -> FilterKeys:
    """The filter keys that the user names, or those of the usual names.

    Raises:
        UnknownName: when there is none of the name given.
    """
    masks = file.group("mask") if "mask" in file else None
    return FilterKeys(
        file.file,
        _read_mask(masks, options.success_mask, SUCCESS_MASKS),
        _read_mask(masks, options.failure_mask, FAILURE_MASKS),
    )


def _read_mask(
    masks: Node | None, given: str | None, usual: Sequence[str]
) -> tuple[str, frozenset[str]] | None:
    names = masks.names() if masks is not None else []
    if given is not None and given not in names:
        raise UnknownName("filter key", given, names)
    found = given or next((name for name in usual if name in names), None)
    if found is None or masks is None:
        return None
    return found, frozenset(masks.strings(found))
