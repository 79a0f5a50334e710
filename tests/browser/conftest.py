"""Fixtures: a browser, and pages. Without selenium the tests of this folder are not collected:
`make e2e-browser` installs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.control.dashboard.busy_proxy import BusyProxy

if TYPE_CHECKING:
    from selenium import webdriver

    from tests.browser.chromium import Page

collect_ignore_glob = [] if find_spec("selenium") else ["test_*.py"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One browser for the tests of a module: it takes a second to start."""
    from tests.browser.chromium import started_chromium

    profile: Path = tmp_path_factory.mktemp("profile")
    with started_chromium(profile) as driver:
        yield driver


@pytest.fixture
def page(chromium: webdriver.Chrome) -> Iterator[Page]:
    """A page without cookies and preferences, in its own window."""
    from tests.browser.chromium import Page

    first = chromium.current_window_handle
    chromium.switch_to.new_window("window")
    page = Page(chromium)
    page.prefer()
    page.complaints()
    yield page
    chromium.delete_all_cookies()
    chromium.close()
    chromium.switch_to.window(first)


@pytest.fixture
def busy() -> BusyProxy:
    """A proxy with some of everything."""
    from tests.browser.busy_dashboard import LateProxy

    return LateProxy()


@pytest.fixture
def address(busy: BusyProxy) -> Iterator[Callable[[], str]]:
    """A function that returns a new address of its dashboard."""
    from tests.browser.busy_dashboard import served

    with served(busy) as new:
        yield new
