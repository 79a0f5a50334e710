"""The wheel: it contains everything that the proxy needs, and runs on its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("vcproxy", "tunnels", "plugins", "packaging/man")
FILES = ("pyproject.toml", "README.md", "LICENSE")
"""All that a wheel is built from."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the content of the wheel, built from a copy of the sources."""
    copy, wheels, installed = (tmp_path_factory.mktemp(name) for name in ("copy", "wheels", "site"))
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True)
    for file in FILES:
        shutil.copy(ROOT / file, copy)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(copy))
    done = subprocess.run([*pip, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    ZipFile(wheel).extractall(installed)
    return installed


def test_wheel_contains_every_module_and_py_typed(installed: Path) -> None:
    here = {file.relative_to(ROOT) for file in modules(ROOT / "vcproxy")}
    assert {file.relative_to(installed) for file in modules(installed / "vcproxy")} == here
    assert Path("vcproxy/tunnels/two_way.py") in here
    assert Path("vcproxy/plugins/echo.py") in here
    assert (installed / "vcproxy" / "py.typed").exists()
    assert (installed / "vcproxy/bus/message/builtin/STOP.conf").exists()
    assert (installed / "vcproxy/control/dashboard/page/index.html").exists()


def modules(package: Path) -> Iterator[Path]:
    """Yield the modules of a package, also those behind links."""
    for folder, _, names in os.walk(package, followlinks=True):
        yield from (Path(folder, name) for name in names if name.endswith(".py"))


def test_wheel_contains_nothing_else(installed: Path) -> None:
    version = "vcproxy-0.1.0"
    found = {path.name for path in installed.iterdir()}
    assert found == {"vcproxy", f"{version}.dist-info", f"{version}.data"}
    data = installed / f"{version}.data"
    assert {str(path.relative_to(data)) for path in data.rglob("*.[1-8]")} == {
        "data/share/man/man1/vcproxy.1",
        "data/share/man/man5/vcproxy.toml.5",
    }


def test_the_wheel_runs_on_its_own(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[[listener]]\nname = "a"\nbind = "tcp://127.0.0.1:0"\nplugin = "echo"\n')
    for other in ("tunnels", "plugins", "tests"):  # other packages, first on the path
        (tmp_path / f"{other}.py").write_text("raise SystemExit('this is not vcproxy')")
    where = ("-c", "import vcproxy.app.cli; print(vcproxy.app.cli.__file__)")
    check = ("-m", "vcproxy.app.cli", "-t", "-c", str(file))

    def python(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, *arguments]
        return subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)

    assert python(*where).startswith(str(installed))
    assert python(*check) == f"{file}: the configuration is valid\n"
