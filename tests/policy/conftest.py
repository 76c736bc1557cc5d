from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.policy.toy import install


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the toy family is installed."""
    site = tmp_path_factory.mktemp("site")
    install(site)
    return site


@pytest.fixture
def toy_installed(toy_site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy family, known by its kind."""
    monkeypatch.syspath_prepend(toy_site)
    yield
