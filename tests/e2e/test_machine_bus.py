"""The bus of a machine that is a script: a Unix socket of its own."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import PATIENCE_S, eventually

LAMP = """\
from vcproxy.api import Process, State, on_message


class Lamp(Process):
    OFF = State(initial=True)
    ON = State(parent=OFF)
    OFF.goes("on", ON)
    ON.goes("off", OFF)

    @on_message("SWITCH")
    def switch(self, received):
        '''Switch the lamp on.'''
        self.handle_event("on", None)
        received.reply("SWITCHED", state=self.state.name)
        self.engine.schedule_in(0.1, self, "off", None)


if __name__ == "__main__":
    Lamp.main()
"""


class RunningLamp:
    """The script as a process, with its bus."""

    def __init__(self, folder: Path) -> None:
        (folder / "lamp.py").write_text(LAMP)
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-B", folder / "lamp.py", "house/Lamp", "127.0.0.1:0", ":0"],
                env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
                stdout=output,
                stderr=output,
            )
        self.path = folder / "vcproxy" / f"machine.{self.process.pid}.sock"

    def log(self) -> str:
        return self.output.read_text()

    def ask(self, *messages: str) -> list[str]:
        """Send messages on one connection; return a reply to each."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(os.fspath(self.path))
            replies = sock.makefile()
            answers = []
            for message in messages:
                sock.sendall(f"{message}\n".encode())
                answers.append(replies.readline().rstrip())
            replies.close()
            return answers


@pytest.fixture
def lamp(tmp_path: Path) -> Iterator[RunningLamp]:
    lamp = RunningLamp(tmp_path)
    try:
        eventually(lambda: "transitioned to OFF" in lamp.log(), "the machine runs")
        yield lamp
    finally:
        if lamp.process.poll() is None:
            lamp.process.send_signal(signal.SIGKILL)
        lamp.process.wait(PATIENCE_S)


def test_a_machine_answers_and_ends_in_order(lamp: RunningLamp) -> None:
    assert stat.S_IMODE(lamp.path.stat().st_mode) == 0o600
    assert f"house/Lamp: bus at unix:{lamp.path}" in lamp.log()
    switched, listed, usage, unknown = lamp.ask(
        "SWITCH", "Lamp/HELP", "HELP command=SWITCH", "JUMP"
    )
    assert switched == "SWITCHED state=ON"
    assert "SWITCH" in listed.removeprefix("COMMANDS list=").split(",")
    assert usage == "COMMANDS list=SWITCH;usage=SWITCH: Switch the lamp on."
    assert unknown == "UNKNOWN command=JUMP"
    assert lamp.ask("other/STOP")[0].startswith("INVALID command=STOP;message=")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(os.fspath(lamp.path))
        sock.sendall(b"STOP\n")
        assert lamp.process.wait(PATIENCE_S) == 0
    assert "failed" not in lamp.log()
    assert not lamp.path.exists()


def test_without_a_folder_it_runs_without_a_bus(tmp_path: Path) -> None:
    (tmp_path / "vcproxy").write_text("not a folder")
    lamp = RunningLamp(tmp_path)
    try:
        eventually(lambda: "transitioned to OFF" in lamp.log(), "the machine runs")
        eventually(
            lambda: (
                f"house/Lamp: takes no messages of the bus: no socket at {lamp.path}" in lamp.log()
            ),
            "the reason is logged",
        )
    finally:
        lamp.process.send_signal(signal.SIGTERM)
        assert lamp.process.wait(PATIENCE_S) == 0
