"""What holds for every test: checked shapes, and one core for each worker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from jaxtyping import install_import_hook

from tests import typechecking

if TYPE_CHECKING:
    from playwright.sync_api import Browser

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that each took every core would wait for one another.
    os.environ["OMP_NUM_THREADS"] = "1"

# Every call into these, and every dataclass of theirs, has its types and shapes checked. They must
# not have been imported yet: the hook rewrites modules on their way in.
CHECKED = ("outtakes.data.batches", "outtakes.policy", "outtakes.selection")
install_import_hook(CHECKED, f"{typechecking.__name__}.check")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window: the system's where there is one, else Playwright's own."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    installed = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        yield browser
        browser.close()
