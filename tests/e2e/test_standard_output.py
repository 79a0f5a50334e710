"""Commands whose standard output cannot be written."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.machine_server import MachineServer
from tests.e2e.running import PATIENCE_S, VCPROXY

CONF = Path(__file__).parents[2] / "conf"

COMMANDS = [
    ["-T", "-c", CONF / "proxy.toml"],
    ["-t", "-c", CONF / "proxy.toml"],
    ["diagram", "forward"],
    ["plugin", "check", "forward"],
    ["--version"],
]


def without_a_reader(command: list[str | Path], stderr: int = subprocess.PIPE) -> tuple[int, str]:
    """Run a command whose output has no reader; return its status and standard error."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*VCPROXY, *command],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing if stderr == subprocess.STDOUT else stderr,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(map(str, command[:2])))
def test_a_command_whose_reader_has_gone_ends_quietly(command: list[str | Path]) -> None:
    assert without_a_reader(command) == (128 + signal.SIGPIPE, "")


def test_errors_whose_reader_has_gone(tmp_path: Path) -> None:
    command: list[str | Path] = ["-t", "-c", tmp_path / "missing.toml"]
    assert without_a_reader(command, subprocess.STDOUT) == (128 + signal.SIGPIPE, "")


def test_a_list_of_machines_whose_reader_has_gone(tmp_path: Path) -> None:
    server = MachineServer(tmp_path)
    try:
        assert without_a_reader(["machine", "list", server.host]) == (128 + signal.SIGPIPE, "")
    finally:
        server.close()


def test_a_full_disk() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*VCPROXY, "-T", "-c", CONF / "proxy.toml"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1, "the output cannot be written: no space left on device\n"
    )  # fmt: skip
