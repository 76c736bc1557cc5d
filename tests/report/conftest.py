"""A report and a browser to open it with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from outtakes.report.content import ReportContent
from outtakes.report.html import write_report
from tests.report.example import example_content


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="session")
def content(folder: Path) -> ReportContent:
    return example_content(folder)


@pytest.fixture
def report(content: ReportContent, folder: Path) -> Path:
    """Written anew for every test, as tests write other reports beside the same videos."""
    return write_report(content, folder)


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(10_000)
    page.goto(report.as_uri())
    yield page
    page.close()
