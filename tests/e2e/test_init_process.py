"""The proxy as process 1 of a PID namespace, as in a container: signals, orphans, exit statuses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.running import ECHO, PATIENCE_S, VCPROXY, Running, eventually, exactly
from tests.e2e.test_activation import ACTIVATE
from tests.e2e.test_service_manager import ServiceManager

UNSHARE = ("unshare", "--pid", "--mount-proc", "--fork", "--kill-child")

ORPHANING = """
import subprocess
from vcproxy.api import Message, Session, State, lines

class Orphans(Session):
    needs_upstream = False
    framing = lines(limit="1KiB")
    TALKING = State(initial=True)

    @TALKING.on(Message, to=())
    def asked(self, message):
        subprocess.run(["sh", "-c", "sleep 0.1 &"], check=True)  # it ends before its child
        self.answer(b"%d\\n" % subprocess.run(["sh", "-c", "exit 7"]).returncode)
"""


@pytest.fixture(autouse=True)
def namespaces() -> None:
    """Skip where no PID namespace can be made."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may make no PID namespaces")


def first_child(pid: int) -> int:
    """The pid of the only child of a process, once it is there."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    eventually(lambda: len(children.read_text().split()) == 1, f"{pid} has a child")
    return int(children.read_text())


class Container:
    """A proxy as process 1. The pids are those outside the namespace."""

    def __init__(self, file: Path, wrapper: tuple[str, ...] = ()) -> None:
        self.running = Running(file, wrapper=(*UNSHARE, *wrapper))
        self.init = first_child(self.running.pid)
        self.proxy = first_child(self.init)

    def wait(self) -> int:
        """Its exit status, as unshare passes it on."""
        return self.running.wait()


@contextmanager
def contained(tmp_path: Path, text: str, wrapper: tuple[str, ...] = ()) -> Iterator[Container]:
    """A proxy with this configuration as process 1."""
    file = tmp_path / "own.toml"
    file.write_text(text)
    container = Container(file, wrapper)
    try:
        yield container
    finally:
        container.running.kill()


@pytest.mark.parametrize("workers", [1, 2])
def test_term_drains_and_hup_reloads(tmp_path: Path, workers: int) -> None:
    with contained(tmp_path, f"[proxy]\nworkers = {workers}\n{ECHO}") as container:
        running = container.running
        with running.connect("echo") as client:
            os.kill(container.init, signal.SIGHUP)
            running.wait_for("reloaded")
            client.sendall(b"still here")
            assert exactly(client, 10) == b"still here"
            os.kill(container.init, signal.SIGTERM)
            running.wait_for("draining")
            client.sendall(b"and here")
            assert exactly(client, 8) == b"and here"
        assert container.wait() == 0


def test_one_interrupt_drains_a_second_one_stops(tmp_path: Path) -> None:
    with contained(tmp_path, f'[proxy]\ndrain_timeout = "5m"\n{ECHO}') as container:
        running = container.running
        with running.connect("echo") as client:
            client.sendall(b"x")
            assert exactly(client, 1) == b"x"
            os.kill(container.init, signal.SIGINT)
            running.wait_for("draining connections: 1")
            os.kill(container.init, signal.SIGINT)
            assert container.wait() == 0


def test_orphans_are_reaped_and_plugins_get_their_statuses(tmp_path: Path) -> None:
    (tmp_path / "orphans.py").write_text(ORPHANING)
    text = ECHO.replace('plugin = "echo"', 'plugin = "orphans.py:Orphans"')
    with contained(tmp_path, text) as container:
        with container.running.connect("echo") as client:
            for _ in range(20):
                client.sendall(b"?\n")
                assert exactly(client, 2) == b"7\n"
        children = Path(f"/proc/{container.init}/task/{container.init}/children")
        eventually(lambda: children.read_text().split() == [str(container.proxy)], "all are reaped")


def test_the_exit_status_is_that_of_the_proxy(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("bad")
    command = [*UNSHARE, *VCPROXY, "-c", str(file)]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S * 2, check=False)
    assert (done.returncode, done.stderr.count(b"own.toml:1:4")) == (1, 1)


def test_a_proxy_that_is_killed_ends_the_container(tmp_path: Path) -> None:
    with contained(tmp_path, ECHO) as container:
        os.kill(container.proxy, signal.SIGKILL)
        assert container.wait() == 128 + signal.SIGKILL
        assert "the proxy was ended by SIGKILL" in container.running.log


def test_sockets_and_notifications_are_those_of_the_proxy(tmp_path: Path) -> None:
    """LISTEN_PID and WATCHDOG_PID name process 1."""
    unix = ECHO.replace("tcp://127.0.0.1:0", "unix:echo.sock")
    activate = (sys.executable, "-c", ACTIVATE, "0", str(tmp_path / "echo.sock"))
    with ServiceManager(f"vcproxy-init-{os.getpid()}") as manager:
        wrapper = (*manager.environment, "WATCHDOG_USEC=400000", "WATCHDOG_PID=1", *activate)
        with contained(tmp_path, unix, wrapper) as container:
            ready, pid, _ = manager.next()
            assert ready == "READY=1"
            assert int(pid.partition("=")[2]) > 1
            assert manager.recv(4096) == b"WATCHDOG=1"
            with container.running.connect("echo") as client:
                client.sendall(b"x")
                assert exactly(client, 1) == b"x"
            # Of the two sockets that ACTIVATE passes on, the one of TCP is at no address.
            assert "is not used: no listener has this address" in container.running.log
            os.kill(container.init, signal.SIGTERM)
            assert container.wait() == 0


def test_a_terminal_interrupts_the_proxy_once(tmp_path: Path) -> None:
    """^C reaches the process group of the terminal: that of the proxy, without process 1."""
    file = tmp_path / "own.toml"
    file.write_text(ECHO)
    ours, theirs = os.openpty()
    command = [*UNSHARE, sys.executable, "-c", TERMINAL, *VCPROXY, "-c", str(file)]
    process = subprocess.Popen(command, stdin=theirs, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        assert any(line == b"ready\n" for line in lines)
        os.write(ours, b"\x03")
        log = b"".join(lines)
        assert process.wait(PATIENCE_S) == 0, log
        assert b"stopping: no connection is open" in log
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
        os.close(ours)
        os.close(theirs)


TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A program that makes its standard input the terminal of its session, and runs a command."""
