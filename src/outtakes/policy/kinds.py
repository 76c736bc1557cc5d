"""The policy families by name, and their settings as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from outtakes import extensions
from outtakes.policy.policy import PolicyConfig

GROUP = "outtakes.policies"
"""Entry point group that other packages add to: kind -> a `PolicyConfig` class."""
_BUILT_IN = {
    "act": "outtakes.policy.act.act:ActConfig",
    "flow": "outtakes.policy.flow.flow:FlowConfig",
    "afil": "outtakes.policy.flow.afil:AfilConfig",
    "cfgrl": "outtakes.policy.flow.labelled:CfgrlConfig",
}


def kinds() -> list[str]:
    """Names of all policy families."""
    return extensions.names(GROUP, _BUILT_IN)


def config_class(kind: str) -> type[PolicyConfig]:
    """The settings' class of a family.

    Raises:
        UnknownName: when there is none of this name.
    """
    return extensions.load("policy", kind, GROUP, _BUILT_IN)


def to_json(config: PolicyConfig) -> dict[str, Any]:
    """Everything that is stored of a policy's settings, tagged by kind."""
    return {"kind": config.kind, **_plain(config)}


def from_json(content: Mapping[str, Any]) -> PolicyConfig:
    """The inverse of `to_json`.

    Raises:
        KeyError: when there is no kind.
        TypeError: when a field is not known.
        UnknownName: when the family is not installed.
    """
    own = dict(content)
    return _parsed(own, config_class(str(own.pop("kind"))))


def _stored(value: Any) -> list[Field[Any]]:
    return [field for field in fields(value) if field.metadata.get("stored", True)]


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in _stored(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _parsed(value: Any, hint: Any) -> Any:
    """What `_plain` was given, of a field with this annotation."""
    named = (hint, *get_args(hint))
    if isinstance(value, list):
        return tuple(_parsed(item, hint) for item in value)
    if isinstance(value, str):
        return Path(value) if Path in named else value
    kind: Any = next((kind for kind in named if is_dataclass(kind)), None)
    if kind is None or not isinstance(value, Mapping):
        return value
    hints = get_type_hints(kind)
    return kind(**{name: _parsed(item, hints.get(name)) for name, item in value.items()})
