"""The man pages: read by mandoc, groff and man without a complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.man_pages import COMMAND, CONFIGURATION
from tests.e2e.conftest import Tools
from tests.e2e.conftest import tools as tools

UNRELEASED = 'WARNING: missing date, using ""'
"""What mandoc reports until the changelog has the date of the version."""

each_page = pytest.mark.parametrize("page", [COMMAND, CONFIGURATION], ids=lambda page: page.name)


@each_page
def test_mandoc_finds_no_fault(page: Path, tools: Tools) -> None:
    found = tools.run("mandoc", "-T", "lint", "-W", "warning", str(page), status=None).decode()
    assert [line for line in found.splitlines() if UNRELEASED not in line] == []


@each_page
def test_groff_finds_no_fault(page: Path, tools: Tools) -> None:
    assert tools.run("groff", "-man", "-ww", "-z", str(page)) == b""


def test_commands_and_keys_are_there(tools: Tools) -> None:
    tools.require("man")
    assert b"vcproxy ctl show" in tools.run("man", "-l", "-Tutf8", "-P", "cat", str(COMMAND))
    shown = tools.run("man", "-l", "-P", "cat", str(CONFIGURATION)).decode()
    assert 'drain_timeout (duration, default: "10s")' in shown
    assert 'plugin = "http_proxy"' in shown
    assert "routes (default: [])" in shown
