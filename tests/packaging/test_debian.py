"""The files for the Debian package, as far as they are checked without building it.

`make release-check` builds it and runs lintian, which takes minutes: packaging/check_release.py.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.e2e.conftest import Tools
from tests.e2e.conftest import tools as tools
from vcproxy.config.loader import load

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "packaging" / "debian"


def test_the_version_is_that_of_the_project(tools: Tools) -> None:
    tools.require("dpkg-parsechangelog")
    changelog = str(DEBIAN / "changelog")
    found = tools.run("dpkg-parsechangelog", "-S", "Version", "-l", changelog).decode().strip()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert re.fullmatch(re.escape(project["version"]) + r"-\d+", found)


def test_make_reads_its_rules(tools: Tools) -> None:
    shown = tools.run("make", "-n", "-f", str(DEBIAN / "rules"), "override_dh_auto_install")
    assert b"-m venv --without-pip debian/vcproxy/usr/lib/vcproxy\n" in shown


def test_files_that_the_rules_copy_exist() -> None:
    rules = (DEBIAN / "rules").read_text()
    named = set(re.findall(r"packaging/[\w/@.]+", rules))
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []
    (examples,) = (DEBIAN / "vcproxy.examples").read_text().split()
    assert list(ROOT.glob(examples))


def test_its_configuration_is_valid() -> None:
    (listener,) = load(DEBIAN / "proxy.toml").settings.listener
    assert listener.bind[0].host == "127.0.0.1", "it is reachable only once it is configured"
