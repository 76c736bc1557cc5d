"""Bad files: one line that says what, where and the way out, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from outtakes.errors import DatasetError
from outtakes.importers.hdf5 import LARGEST_ARRAY
from tests.importers.conftest import Import
from tests.importers.robomimic_files import opened, without_rewards


def replace_array(demo: Any, name: str, values: np.ndarray) -> None:
    del demo[name]
    demo[name] = values


def spoil_number(demo: Any) -> None:
    demo["obs/object"][7, 3] = np.nan


def overflow_action(demo: Any) -> None:
    demo["actions"][5, 0] = 1e300


def drop_actions(demo: Any) -> None:
    del demo["actions"]


def drop_state(demo: Any) -> None:
    del demo["obs/robot0_eef_pos"]


def shorten_film(demo: Any) -> None:
    replace_array(demo, "obs/agentview_image", demo["obs/agentview_image"][:-1])


def shorten_all(demo: Any) -> None:
    for name in ("actions", "rewards", *(f"obs/{key}" for key in demo["obs"])):
        replace_array(demo, name, demo[name][:-1])


def empty_all(demo: Any) -> None:
    demo.attrs["num_samples"] = 0
    for name in ("actions", "rewards", *(f"obs/{key}" for key in demo["obs"])):
        replace_array(demo, name, demo[name][:0])


def float_film(demo: Any) -> None:
    film = demo["obs/agentview_image"][:] / np.float32(255)
    replace_array(demo, "obs/agentview_image", film)


def channels_first(demo: Any) -> None:
    film = demo["obs/agentview_image"][:].transpose(0, 3, 1, 2)
    replace_array(demo, "obs/agentview_image", film)


def smaller_film(demo: Any) -> None:
    replace_array(demo, "obs/agentview_image", demo["obs/agentview_image"][:, :40, :40])


def text_actions(demo: Any) -> None:
    replace_array(demo, "actions", np.full((len(demo["actions"]), 7), b"left"))


def short_rewards(demo: Any) -> None:
    replace_array(demo, "rewards", demo["rewards"][:-1])


def odd_samples(demo: Any) -> None:
    demo.attrs["num_samples"] = np.array([20, 20])


def group_for_array(demo: Any) -> None:
    del demo["actions"]
    demo.create_group("actions/left")


def bare_array(demo: Any) -> None:
    del demo["obs"]
    demo["obs"] = np.zeros(3)


def overwrite_chunk(demo: Any) -> None:
    film = demo["obs/agentview_image"]
    film.id.write_direct_chunk((4, 0, 0, 0), b"not gzip at all")


def endless_array(demo: Any) -> None:
    length = LARGEST_ARRAY // 8 + 1
    for name in ("actions", "rewards", *(f"obs/{key}" for key in demo["obs"])):
        shape = (length, *demo[name].shape[1:])
        kind = demo[name].dtype
        del demo[name]
        demo.create_dataset(name, shape, kind, chunks=(1, *shape[1:]))
    demo.attrs["num_samples"] = length


DAMAGE = [
    (spoil_number, "NaN or infinity at frame 7", "obs/object"),
    (overflow_action, "NaN or infinity at frame 5", "actions"),
    (drop_actions, "no array actions, only dones, obs, rewards", ""),
    (drop_state, "no array obs/robot0_eef_pos, only agentview_image, object", ""),
    (shorten_film, "arrays have lengths", ""),
    (shorten_all, "num_samples tells 20 frames, there are 19 actions", ""),
    (odd_samples, "num_samples tells [20 20] frames", ""),
    (empty_all, "0 frames, two are the least", ""),
    (float_film, "float32 of shape (20, 64, 64, 3) where images belong", "obs/agentview_image"),
    (channels_first, "images of shape (3, 64, 64)", "obs/agentview_image"),
    (smaller_film, "(40, 40, 3)", ""),
    (text_actions, "where a vector a frame belongs", "actions"),
    (short_rewards, "rewards are float64 of shape (19,)", "rewards"),
    (group_for_array, "no array actions", ""),
    (bare_array, "no group obs", ""),
    (overwrite_chunk, "damaged or cut short", "obs/agentview_image"),
    (endless_array, "an array of", "rewards"),
]
NAMES = [damage.__name__ for damage, _, _ in DAMAGE]


def damage_demo(path: Path, damage: Callable[[Any], None], demo: str = "demo_2") -> None:
    with opened(path) as file:
        damage(file[f"data/{demo}"])


def line(imported: Import, path: Path) -> str:
    """The one line that an import ends with."""
    with pytest.raises(DatasetError) as caught:
        imported(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("damage", "what", "where"), DAMAGE, ids=NAMES)
def test_a_bad_demonstration_is_named(
    damage: Callable[[Any], None], what: str, where: str, imported: Import, demos: Path, tmp_path
):
    damage_demo(demos, damage)
    message = line(imported, demos)
    assert what in message and "demo_2" in message
    place = "demo_2" if damage is smaller_film else f"data/demo_2/{where}".rstrip("/")
    assert f"({demos}, {place}" in message and "--skip-bad" in message
    assert not (tmp_path / "dataset").exists()


def test_bad_demonstrations_are_skipped_and_listed(imported: Import, demos: Path):
    for demo, damage in (("demo_0", drop_actions), ("demo_2", overwrite_chunk)):
        damage_demo(demos, damage, demo)
    damage_demo(demos, smaller_film, "demo_5")
    manifest = imported(demos, skip_bad=True)
    assert [entry.demo for entry in manifest.imported] == ["demo_1", "demo_3", "demo_4"]
    skipped = {entry.demo: entry.reason for entry in manifest.skipped}
    assert set(skipped) == {"demo_0", "demo_2", "demo_5"}
    assert "no array actions" in skipped["demo_0"] and "damaged" in skipped["demo_2"]
    assert "features" in skipped["demo_5"]
    assert "6 demonstrations: 1 successes and 2 failures imported, 3 skipped" in manifest.text


def test_with_nothing_left_there_is_no_dataset(imported: Import, demos: Path, tmp_path: Path):
    for i in range(6):
        damage_demo(demos, overwrite_chunk, f"demo_{i}")
    with pytest.raises(DatasetError, match="all 6 demonstrations are bad, demo_0 for one"):
        imported(demos, skip_bad=True)
    assert not (tmp_path / "dataset").exists()


# The file itself


def test_a_file_that_is_not_hdf5(imported: Import, tmp_path: Path):
    path = tmp_path / "demo.hdf5"
    path.write_text("hello")
    assert "not an HDF5 file" in line(imported, path)
    assert "no such file" in line(imported, tmp_path / "nowhere.hdf5")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short(share: float, imported: Import, demos: Path):
    content = demos.read_bytes()
    demos.write_bytes(content[: int(share * len(content))])
    assert "damaged or cut short" in line(imported, demos)


def test_a_file_of_something_else(imported: Import, tmp_path: Path):
    path = tmp_path / "other.hdf5"
    with h5py.File(path, "w") as file:
        file["weights"] = np.zeros(3)
    assert "neither data nor action in it, only weights" in line(imported, path)


FREQUENCIES = ['"x"', "NaN", "Infinity", "12.5", "0", "[20]"]


@pytest.mark.parametrize(
    "settings",
    ["{", "[1]", "{}", *(f'{{"env_kwargs": {{"control_freq": {f}}}}}' for f in FREQUENCIES)],
)
def test_settings_that_do_not_tell_the_frame_rate(settings: str, imported: Import, demos: Path):
    with opened(demos) as file:
        file["data"].attrs["env_args"] = settings
    message = line(imported, demos)
    assert "env_args is no JSON" in message or "--fps" in message


# Files that point at others


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file whose content must not come along."""
    path = tmp_path / "secret.hdf5"
    with h5py.File(path, "w") as file:
        file["actions"] = np.full((20, 7), 42.0)
    return path


def link_outside(demo: Any, secret: Path) -> None:
    demo["actions"] = h5py.ExternalLink(secret, "actions")


def link_inside(demo: Any, secret: Path) -> None:
    demo.file["outside"] = h5py.ExternalLink(secret, "actions")
    demo["actions"] = h5py.SoftLink("/outside")


def store_outside(demo: Any, secret: Path) -> None:
    demo.create_dataset("actions", (20, 7), "f8", external=[(secret, 0, 20 * 7 * 8)])


def compose_outside(demo: Any, secret: Path) -> None:
    layout = h5py.VirtualLayout((20, 7), "f8")
    layout[:] = h5py.VirtualSource(secret, "actions", (20, 7))
    demo.create_virtual_dataset("actions", layout)


@pytest.mark.parametrize(
    "point", [link_outside, link_inside, store_outside, compose_outside], ids=lambda f: f.__name__
)
def test_nothing_outside_the_file_is_read(
    point: Callable[[Any, Path], None], secret: Path, imported: Import, demos: Path
):
    with opened(demos) as file:
        del file["data/demo_2/actions"]
        point(file["data/demo_2"], secret)
    message = line(imported, demos)
    assert "data/demo_2/actions" in message and "trust" in message


@pytest.mark.parametrize("value", ["no", np.ones(2), np.nan, 2])
def test_an_attribute_that_is_no_truth_value(value: object, imported: Import, demos: Path):
    without_rewards(demos)
    with opened(demos) as file:
        file["data/demo_0"].attrs["success"] = value
    message = line(imported, demos)
    assert "the attribute success" in message and "data/demo_0" in message


def test_a_linked_demonstration_is_not_followed(secret: Path, imported: Import, demos: Path):
    with opened(demos) as file:
        file["data/demo_6"] = h5py.ExternalLink(secret, "/")
    assert "a link" in line(imported, demos)
