"""What can be added from outside: policies and rankers that other packages bring.

A package names its own under an entry point group, for example in its pyproject.toml:

    [project.entry-points."outtakes.policies"]
    mine = "my_package.policy:MyConfig"

Nothing is taken from a dataset or a checkpoint but the name, which must be that of something
installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from outtakes.errors import UnknownName


def names(group: str, built_in: Mapping[str, str]) -> list[str]:
    """Everything of a group: what Outtakes brings, then what others do."""
    return [*built_in, *sorted(entry_points(group=group).names - built_in.keys())]


def load(what: str, name: str, group: str, built_in: Mapping[str, str]) -> Any:
    """The object of this name.

    Args:
        what: what it is, for messages.
        name: as the user gave it.
        group: entry point group that other packages add to.
        built_in: name -> "module:object" of Outtakes' own, which win.

    Raises:
        UnknownName: when there is none.
    """
    if name in built_in:
        return EntryPoint(name, built_in[name], group).load()
    found = entry_points(group=group)
    if name not in found.names:
        raise UnknownName(what, name, names(group, built_in))
    return found[name].load()
