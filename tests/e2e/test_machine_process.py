"""Process.main(): machines that are scripts with a shebang, started by the real server."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import PATIENCE_S, VCPROXY, eventually

SWITCH = """\
from vcproxy.api import Letter, Process, State


class Switch(Process):
    OFF = State(initial=True)
    ON = State(parent=OFF)
    OFF.goes("off", OFF)

    @OFF.on("on", to=ON)
    def switched_on(self, letter: Letter) -> None:
        print("Switch is ON, says", *self.arguments)
        self.send(letter.sender, "done")

    @OFF.on("break")
    def broken(self, letter: Letter) -> None:
        raise LookupError("no bulb")


if __name__ == "__main__":
    Switch.main()
"""


class Server:
    """A machine server with its own loopback address: all use port 42000."""

    def __init__(self, folder: Path) -> None:
        self.machines = folder / "machines"
        (self.machines / "switch").mkdir(parents=True)
        self.script = self.machines / "switch" / "Switch"
        self.script.write_text(f"#!{sys.executable}\n{SWITCH}")
        self.script.chmod(0o755)
        pid = os.getpid()
        self.host = f"127.{pid >> 16 & 127 | 128}.{pid >> 8 & 255}.{pid & 255}"
        self.output = folder / "server.txt"
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [*VCPROXY, "machine", "serve", "--address", self.host, self.machines],
                stdout=output,
                stderr=output,
            )
        self._parents: list[subprocess.Popen[str]] = []
        eventually(lambda: "ready" in self.output.read_text(), "the server is ready")

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `vcproxy machine`."""
        command = [*VCPROXY, "machine", *words]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    def start(self, name: str, *words: str) -> str:
        """Start a machine; return its address. Its parent is a client that runs until it exits."""
        parent = subprocess.Popen(
            [
                *VCPROXY, "machine", "start", "--address", self.host, "--follow", name,
                f"{self.host}:0", *words,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self._parents.append(parent)
        assert parent.stdout is not None
        parent.stdout.readline()  # what is sent
        line = parent.stdout.readline()
        found = re.search(rf" < (\S+) started {name}$", line.strip())
        assert found, (line, self.log())
        return found[1]

    @property
    def parent(self) -> subprocess.Popen[str]:
        """The client that has started a machine last."""
        return self._parents[-1]

    def log(self) -> str:
        """Return what the server and its machines have printed."""
        return self.output.read_text()

    def stop(self) -> int:
        """Stop it and its machines; return its exit status."""
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(PATIENCE_S)
        for parent in self._parents:
            parent.communicate(timeout=PATIENCE_S)
        return status


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    assert server.stop() == 0


def pid_of(server: Server) -> int:
    """Return the pid of the only machine."""
    listed = server.call("list", "--plain", "-a", server.host, server.host).stdout.split()
    return int(listed[1].split(",")[1])


def test_a_script_is_a_machine(server: Server) -> None:
    switch = server.start("switch/Switch", "hello", "world")
    sent = server.call("send", "--address", server.host, "-r", "1", switch, "on")
    assert sent.returncode == 0
    assert sent.stdout.strip().endswith(f" < {switch} done")
    log = server.log()
    for line in (
        f"INFO switch/Switch@{switch} started",
        f"INFO switch/Switch@{switch} transitioned to OFF",
        "Switch is ON, says hello world",
        f"INFO switch/Switch@{switch} transitioned from OFF to ON",
    ):
        assert line in log
    assert log.index("Switch is ON") < log.index("from OFF to ON")  # what is printed is in order


def test_it_ends_in_order_by_a_signal(server: Server) -> None:
    switch = server.start("switch/Switch")
    assert server.call("stop", "--address", server.host, switch).returncode == 0
    eventually(lambda: "switch/Switch, exit status 0" in server.log(), "it has ended")
    assert f"INFO switch/Switch@{switch} exited" in server.log()


def test_a_message_that_it_does_not_receive_ends_it_without_a_traceback(server: Server) -> None:
    switch = server.start("switch/Switch")
    server.call("send", "--address", server.host, switch, "dim 50")
    eventually(lambda: "switch/Switch, exit status 1" in server.log(), "it has ended")
    log = server.log()
    assert "ERROR switch/Switch@" in log
    assert "no receiver for dim (Letter); it receives off, on, break" in log
    assert "Traceback" not in log


def test_an_exception_is_logged_with_the_history_of_the_machine(server: Server) -> None:
    switch = server.start("switch/Switch")
    server.call("send", "--address", server.host, switch, "break")
    eventually(lambda: "switch/Switch, exit status 1" in server.log(), "it has ended")
    log = server.log()
    assert re.search(r"switch/Switch @ OFF got 'break' from 127\S+", log)
    assert log.count("Traceback") == 1
    assert "LookupError: no bulb" in log
    assert "errored switch/Switch no bulb\n" in log


def test_an_exception_outside_its_states_ends_it_too(server: Server) -> None:
    """In code that the lifecycle calls unguarded: nothing could follow, so it must not run on."""
    broken = "    def receive_letter(self, verb, letter):\n        raise OSError('broken base')\n"
    text = server.script.read_text().replace("\n\nif __name__", f"\n{broken}\n\nif __name__")
    server.script.write_text(text)
    switch = server.start("switch/Switch")
    server.call("send", "--address", server.host, switch, "exit")
    eventually(lambda: "switch/Switch, exit status 1" in server.log(), "it has ended")
    assert "OSError: broken base" in server.log()
    os.kill(server.parent.pid, signal.SIGTERM)  # it gets no `exited`


def test_a_new_version_at_the_old_port(server: Server) -> None:
    switch = server.start("switch/Switch")
    old = pid_of(server)
    server.script.write_text(f"#!{sys.executable}\n{SWITCH.replace('done', 'done better')}")
    assert server.call("start", "--address", server.host, "switch/Switch", switch).returncode == 0
    sent = server.call("send", "--address", server.host, "-r", "1", switch, "on")
    assert sent.stdout.strip().endswith("done better")
    new = pid_of(server)
    assert new != old
    os.kill(new, signal.SIGKILL)  # its parent is gone: it would wait 10 s at its end


def test_without_arguments_it_prints_its_usage(server: Server) -> None:
    done = subprocess.run([server.script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"usage: {server.script} NAME ADDRESS PARENT [ARGUMENT]..., as in: {server.script} "
        "family/Parent :0 :42000; a machine server passes these arguments\n"
    )


def test_a_port_that_stays_in_use(server: Server) -> None:
    """It is awaited, and an end by a signal is possible meanwhile."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind((server.host, 0))
        place = f"{server.host}:{holder.getsockname()[1]}"
        machine = subprocess.Popen(
            [server.script, "switch/Switch", place, ":0"], stderr=subprocess.PIPE, text=True
        )
        assert machine.stderr is not None
        with machine.stderr as errors:
            waits = f"switch/Switch: waits until it can bind: {place}: the port is in use"
            assert waits in errors.readline()
            machine.send_signal(signal.SIGTERM)
            assert machine.wait(PATIENCE_S) == 0


def test_a_full_disk_does_not_end_it(server: Server) -> None:
    with open("/dev/full", "wb") as full:
        machine = subprocess.Popen(
            [server.script, "switch/Switch", f"{server.host}:0", ":0"], stderr=full
        )
    eventually(lambda: f"register switch/Switch {machine.pid}" in server.log(), "it runs")
    machine.send_signal(signal.SIGTERM)
    assert machine.wait(PATIENCE_S) == 0


def test_closed_standard_descriptors_are_not_reused_for_a_socket(server: Server) -> None:
    closing = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    machine = subprocess.Popen([*closing, str(server.script), "switch/Switch", ":0", ":0"])
    try:
        _descriptors_are_null(machine.pid)
    finally:
        machine.kill()
        machine.wait()


def _descriptors_are_null(pid: int) -> None:
    def bound() -> bool:
        folder = f"/proc/{pid}/fd"
        try:
            targets = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]
        except FileNotFoundError:
            return False  # one was closed in between: look again
        return any(target.startswith("socket:") for target in targets)

    eventually(bound, "the machine is bound")
    for number in range(3):
        assert os.readlink(f"/proc/{pid}/fd/{number}") == "/dev/null"
