"""The wheel: what people install holds all that the proxy needs, and runs by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("vcproxy", "tunnels", "plugins")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, built from a copy: building leaves traces."""
    copy, wheels, installed = (tmp_path_factory.mktemp(name) for name in ("copy", "wheels", "site"))
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(copy))
    done = subprocess.run([*pip, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    ZipFile(wheel).extractall(installed)
    return installed


def test_it_holds_every_module_and_the_marks_of_typing(installed: Path) -> None:
    for package in PACKAGES:
        here = {file.relative_to(ROOT) for file in (ROOT / package).glob("**/*.py")}
        there = {file.relative_to(installed) for file in (installed / package).glob("**/*.py")}
        assert there == here
        assert (installed / package / "py.typed").exists()


def test_it_holds_nothing_else(installed: Path) -> None:
    assert {path.name for path in installed.iterdir()} == {*PACKAGES, "vcproxy-0.1.0.dist-info"}


def test_it_runs_by_itself(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[[listener]]\nname = "a"\nbind = "tcp://127.0.0.1:0"\nplugin = "echo"\n')
    where = ("-c", "import vcproxy.cli; print(vcproxy.cli.__file__)")
    check = ("-m", "vcproxy.cli", "-t", "-c", str(file))

    def python(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, *arguments]
        return subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)

    assert python(*where).startswith(str(installed))
    assert python(*check) == f"{file}: all is well\n"
