"""What holds for every test: checked shapes, and one core for each worker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jaxtyping import install_import_hook

from tests import typechecking
from tests.display import screen
from tests.once import made_once

if TYPE_CHECKING:
    from playwright.sync_api import Browser

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that each took every core would wait for one another.
    os.environ["OMP_NUM_THREADS"] = "1"

# Every call into these, and every dataclass of theirs, has its types and shapes checked. They must
# not have been imported yet: the hook rewrites modules on their way in.
CHECKED = ("outtakes.data.batches", "outtakes.policy", "outtakes.selection")
install_import_hook(CHECKED, f"{typechecking.__name__}.check")


LONGEST_FIRST = (
    *("experiments/test_study.py", "test_installation.py", "plugin/test_commands.py"),
    *("sim/metaworld/test_metaworld.py", "sim/robosuite/test_tabletop.py", "review/test_page.py"),
    *("test_tutorial.py", "sim/person/test_teleoperation.py", "experiments/test_screening.py"),
)
"""Test files that take longest: begun last, they would keep one worker busy and the others idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and leave the others in their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where frame caches live while the tests run."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTTAKES_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window: the system's where there is one, else Playwright's own."""
    from playwright.sync_api import Error, sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    installed = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except Error as error:
            pytest.fail(f"no Chromium to open pages with; run `make setup-tests`\n{error}")
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """A screen without a monitor; this process and its children open their windows there."""
    with screen() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", name)
        patch.delenv("WAYLAND_DISPLAY", raising=False)
        patch.delenv("XDG_SESSION_TYPE", raising=False)
        yield name


@pytest.fixture(scope="session")
def made_datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of small LeRobot datasets that no test may change.

    `lift` has three successes and three failures and a camera; `successes`, `failures`, `one`
    episode and the first `two` of each outcome have some of them; `pictures` lacks object poses,
    so that a policy must look, and `blind` the camera, too.
    """
    return made_once(tmp_path_factory, "datasets", write_datasets)


def write_datasets(folder: Path) -> None:
    from outtakes.data.lerobot.write import write_dataset
    from tests.data.episodes import LENGTHS, recording, without_camera, without_poses

    episodes = [recording(episode, length) for episode, length in enumerate(LENGTHS)]
    pictures = [without_poses(episode) for episode in episodes]
    sets = {
        "lift": episodes,
        "successes": episodes[0::2],
        "failures": episodes[1::2],
        "one": episodes[:1],
        "two": episodes[:4],
        "pictures": pictures,
        "blind": [without_camera(episode) for episode in pictures],
    }
    for name, chosen in sets.items():
        write_dataset(folder / name, chosen, fps=20)


@pytest.fixture
def lift_dataset(made_datasets: Path, tmp_path: Path) -> Path:
    """A copy of the dataset `lift`, free to be broken."""
    return Path(shutil.copytree(made_datasets / "lift", tmp_path / "lift"))
