"""The pytest plugin: a test of a plugin author runs the real program."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

TEST = '''
def test_it_echoes(vcproxy):
    running = vcproxy("""
        [[listener]]
        name = "echo"
        bind = "tcp://127.0.0.1:0"
        plugin = "echo"
    """)
    with running.connect("echo") as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"


def test_it_has_ended_with_its_test(vcproxy):
    running = vcproxy('[[listener]]\\nname = "a"\\nbind = "tcp://127.0.0.1:0"\\nplugin = "echo"')
    running.stop()
    assert running.status == 0
'''


UNRELATED = """
import sys

def test_nothing_unused_is_imported():
    ours = {"vcproxy", "pydantic", "h11", "tomli_w"}
    loaded = [name for name in sys.modules if name.partition(".")[0] in ours]
    assert sorted(loaded) == ["vcproxy", "vcproxy.pytest_plugin"]
"""


def run(test: str, directory: Path) -> None:
    """Run a test in a separate process, with the pytest plugin loaded."""
    (directory / "test_mine.py").write_text(test)
    # Entry points are disabled: they exist only after an installation, and would load it twice.
    plugins = ("-p", "no:vcproxy", "-p", "vcproxy.pytest_plugin", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unrelated_test_imports_nothing_of_vcproxy(tmp_path: Path) -> None:
    run(UNRELATED, tmp_path)


def test_the_entry_point_names_the_module() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"vcproxy": "vcproxy.pytest_plugin"}


def test_the_fixture_runs_the_program(tmp_path: Path) -> None:
    run(TEST, tmp_path)
