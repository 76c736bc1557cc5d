"""Whether LeRobot, told which episodes to take of a dataset, takes those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from outtakes.data.lerobot import parquet
from outtakes.data.lerobot.faults import UnreadableFile
from outtakes.data.lerobot.layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa


def unlike_lerobot(layout: Layout) -> str | None:
    """Why LeRobot's `--dataset.episodes` cannot name episodes of a dataset; None when it can.

    Of the files in `data/` the footers are read and nothing else.
    """
    if layout.version != "v3.0":
        return f"it is of version {layout.version}"
    if len(layout.parts) > 1:
        return "it is two datasets"
    if layout.stored_names:
        feature, stored = next(iter(layout.stored_names.items()))
        return f"its {feature} is named {stored}"
    known = sorted([*layout.episode_indices.tolist(), *layout.left_out])
    if known != list(range(len(known))):
        return "its episodes are not numbered 0, 1, 2, ..."
    return _strange_file(layout)


def _strange_file(layout: Layout) -> str | None:
    """What LeRobot, which loads every file whole, does not expect in one."""
    rows = 0
    # A stale index may name files that never were; LeRobot loads those that are there.
    for file in filter(lambda name: (layout.root / name).exists(), layout.data_files):
        try:
            schema, count = parquet.footer(layout.root / file)
        except UnreadableFile as error:
            return f"{file}: {error.what}"
        strange = _strange_column(layout.features, schema)
        if strange is not None:
            return f"{file} {strange}"
        rows += count
    told = int(layout.lengths.sum())
    # How long the episodes were that are left out, nobody knows any more.
    if rows != told and not layout.left_out:
        return f"data/ has {rows} frames, its index tells {told}"
    return None


def _strange_column(features: Mapping[str, Mapping[str, Any]], schema: pa.Schema) -> str | None:
    """A column that is not as `meta/info.json` describes it."""
    expected = {name: f for name, f in features.items() if f.get("dtype") != "video"}
    for name in [*expected, *schema.names]:
        if name not in schema.names:
            return f"lacks {name}"
        if name not in expected:
            return f"holds {name}, of which meta/info.json does not tell"
        if _misfits(expected[name], schema.field(name).type):
            return f"stores {name} as {schema.field(name).type}"
    return None


def _misfits(feature: Mapping[str, Any], kind: pa.DataType) -> bool:
    """Whether LeRobot refuses values of this type: it takes single numbers in no lists."""
    if feature.get("dtype") == "image" or len(shape := list(feature.get("shape") or ())) != 1:
        return False
    return parquet.is_list(kind) == (shape == [1])
