"""The pytest plugin: a test of an author's own runs the real program."""

from __future__ import annotations

import subprocess
import sys
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


def test_the_fixture_runs_the_program(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TEST)
    # By its entry point it would be a plugin only once it is installed, and then a second time.
    plugins = ("-p", "no:vcproxy", "-p", "vcproxy.testing.pytest_plugin", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
