"""Which code is running, also where it was copied to a machine and never installed."""

from importlib import metadata

import pytest

from outtakes import version


@pytest.fixture
def copied(monkeypatch):
    """Neither git nor an installation to ask."""

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(version.metadata, "version", missing)
    monkeypatch.setenv("PATH", "")
    version.commit.cache_clear()
    yield
    version.commit.cache_clear()


@pytest.mark.usefixtures("copied")
def test_copied_sources_can_still_be_named():
    assert version.commit() == version.release() == "not installed"
