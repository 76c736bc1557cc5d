"""Stored simulator states become the observations and pictures of the time."""

from __future__ import annotations

import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest

from outtakes.data.lerobot.read import read_dataset
from outtakes.errors import DatasetError, UnknownName
from outtakes.importers.open import open_source
from outtakes.importers.options import ImportOptions
from tests.importers.conftest import Import
from tests.importers.robomimic_files import opened
from tests.importers.robosuite_files import CAMERAS, SIZE, Lived, record_lift

RAW = {"fps": 20, "outcome": "success"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Lived]]:
    """A raw file, which no test may change, and what was seen while it was recorded."""
    path = tmp_path_factory.mktemp("robosuite") / "demo.hdf5"
    return path, record_lift(path)


@pytest.fixture
def raw(recorded: tuple[Path, list[Lived]], tmp_path: Path) -> Path:
    """A copy of the file, free to be broken."""
    return Path(shutil.copy(recorded[0], tmp_path / "demo.hdf5"))


def test_pictures_are_those_rendered_live(recorded: tuple[Path, list[Lived]]):
    path, lived = recorded
    options = ImportOptions(render=CAMERAS, image_size=SIZE, fps=20, outcome="success")
    source = open_source(path, options)
    for demo, seen in zip(source.demos, lived, strict=True):
        features = source.read(demo)
        for camera in CAMERAS:
            pictures = features[f"observation.images.{camera}"]
            error = np.abs(pictures.astype(int) - seen.pictures[camera])
            # The XML rounds the model's numbers to six digits, which moves edges a little.
            assert (error > 1).mean() < 1e-3 and error.mean() < 0.01
            assert pictures.std() > 10


def test_observations_are_robosuites_own(recorded: tuple[Path, list[Lived]]):
    path, lived = recorded
    source = open_source(path, ImportOptions(fps=20, outcome="success"))
    names = source.facts(source.demos[0]).names
    assert names["observation.state"][-2:] == ["robot0_gripper_qpos_0", "robot0_gripper_qpos_1"]
    for demo, seen in zip(source.demos, lived, strict=True):
        features, told = source.read(demo), seen.observations
        keys = ("joint_pos", "eef_pos", "eef_quat", "gripper_qpos")
        state = np.concatenate([told[f"robot0_{key}"] for key in keys], axis=1)
        np.testing.assert_allclose(features["observation.state"], state, atol=1e-5)
        cube = np.concatenate([told["cube_pos"], np.roll(told["cube_quat"], 1, axis=1)], axis=1)
        np.testing.assert_allclose(features["observation.environment_state"], cube, atol=1e-5)


def test_a_raw_file_becomes_a_dataset(raw: Path, imported: Import, tmp_path: Path):
    manifest = imported(raw, **RAW, render=CAMERAS, image_size=SIZE)
    assert [entry.demo for entry in manifest.imported] == ["demo_1", "demo_2"]
    assert manifest.facts.origins["observation.images.overhead"] == ["states, rendered"]
    dataset = read_dataset(tmp_path / "dataset")
    assert set(dataset[0].images) == set(CAMERAS) and list(dataset.lengths) == [8, 8]


def test_without_pictures_the_states_still_tell_the_state(
    raw: Path, imported: Import, tmp_path: Path
):
    imported(raw, **RAW, state=("robot0_joint_pos",))
    (demo, _) = read_dataset(tmp_path / "dataset")
    assert demo.state.shape == (8, 7) and demo.environment_state.shape == (8, 7)


def test_what_a_raw_file_does_not_tell_is_asked_for(raw: Path, imported: Import):
    with pytest.raises(DatasetError, match=r"no outcome.*--outcome"):
        imported(raw, fps=20)
    with pytest.raises(DatasetError, match=r"control_freq is None.*--fps"):
        imported(raw, outcome="success")
    with pytest.raises(UnknownName, match="did you mean 'agentview'"):
        imported(raw, **RAW, render=("agentvew",))


def edit_scene(path: Path, old: str, new: str, demo: str = "demo_2") -> None:
    with opened(path) as file:
        attributes = file[f"data/{demo}"].attrs
        assert old in attributes["model_file"]
        attributes["model_file"] = attributes["model_file"].replace(old, new)


@pytest.fixture
def forbidden(tmp_path: Path) -> Path:
    """A mesh outside robosuite's assets, which would load."""
    path = tmp_path / "robosuite" / "models" / "assets" / "box.obj"
    path.parent.mkdir(parents=True)
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
    return path


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("<asset>", '<asset><mesh name="x" file="/etc/hostname"/>', "outside robosuite's assets"),
        ("<asset>", '<asset><mesh name="x" file="{forbidden}"/>', "lacks"),
        ("<asset>", '<asset><texture name="x" type="cube" fileup="/x.png"/>', "outside"),
        (
            "<asset>",
            '<asset><mesh name="x" file="robosuite/models/assets/../../__init__.py"/>',
            "leads out of robosuite's assets",
        ),
        (
            "<asset>",
            '<asset><model name="x" file="robosuite/models/assets/arenas/table_arena.xml"/>',
            "outside robosuite's assets",
        ),
        ("<asset>", '<include file="/etc/hostname"/><asset>', "outside robosuite's assets"),
        ("<asset>", '<extension><plugin plugin="a.b"/></extension><asset>', "MuJoCo extension"),
        ("<mujoco", "<!DOCTYPE mujoco><mujoco", "DOCTYPE"),
        ("</mujoco>", "", "no XML"),
        ('type="free"', 'type="fee"', "MuJoCo cannot build the scene"),
        ("gripper0_right_finger_joint2", "lid", "the scene gives"),
        ("cube_joint0", "robot0_joint8", "the scene has no object"),
    ],
)
def test_a_scene_reads_robosuites_assets_and_nothing_else(
    old: str, new: str, what: str, raw: Path, imported: Import, forbidden: Path
):
    edit_scene(raw, old, new.format(forbidden=forbidden))
    with pytest.raises(DatasetError) as caught:
        imported(raw, **RAW)
    message = str(caught.value)
    assert what in message and "data/demo_2" in message and "--skip-bad" in message
    assert "\n" not in message
    manifest = imported(raw, **RAW, skip_bad=True)
    assert [entry.demo for entry in manifest.skipped] == ["demo_2"]


def test_the_folders_that_a_scene_names_are_ignored(
    raw: Path, imported: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    edit_scene(raw, 'meshdir="meshes/"', f'meshdir="{tmp_path}" texturedir="/" assetdir="/"')
    assert len(imported(raw, **RAW).imported) == 2


def test_states_of_another_scene_are_named(raw: Path, imported: Import):
    with opened(raw) as file:
        states = file["data/demo_2/states"][:, :-1]
        del file["data/demo_2/states"]
        file["data/demo_2/states"] = states
    with pytest.raises(DatasetError, match=r"states of shape \(8, 31\), the scene has 32"):
        imported(raw, **RAW)


def test_states_and_actions_go_together(raw: Path, imported: Import):
    with opened(raw) as file:
        actions = file["data/demo_1/actions"][:-1]
        del file["data/demo_1/actions"]
        file["data/demo_1/actions"] = actions
    with pytest.raises(DatasetError, match=r"8 states for 7 actions"):
        imported(raw, **RAW)


def test_the_asset_that_would_have_loaded_is_a_sound_one(forbidden: Path):
    """So that its refusal above shows the check, and not a broken mesh."""
    xml = f'<mujoco><asset><mesh name="x" file="{forbidden}"/></asset></mujoco>'
    assert mujoco.MjModel.from_xml_string(xml).nmesh == 1
