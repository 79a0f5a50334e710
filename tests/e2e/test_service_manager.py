"""What a service manager is notified of, by one process and by a master with workers."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import PATIENCE_S, Running, eventually
from tests.e2e.several import WHO, listener, two_workers, who, workers


class ServiceManager(socket.socket):
    """The socket of a service manager at an abstract address."""

    def __init__(self, name: str) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.bind(f"\0{name}")
        self.settimeout(PATIENCE_S)
        self.environment = ("env", f"NOTIFY_SOCKET=@{name}")

    def next(self) -> list[str]:
        """The lines of the next notification that is not a pulse."""
        while (received := self.recv(4096)) == b"WATCHDOG=1":
            pass
        return received.decode().split("\n")

    def pulses(self) -> int:
        """How many notifications wait; all of them are pulses."""
        self.setblocking(False)
        count = 0
        try:
            while True:
                assert self.recv(4096) == b"WATCHDOG=1"
                count += 1
        except BlockingIOError:
            return count
        finally:
            self.settimeout(PATIENCE_S)


@pytest.fixture
def manager() -> Iterator[ServiceManager]:
    """The service manager."""
    with ServiceManager(f"vcproxy-test-{os.getpid()}") as manager:
        yield manager


@pytest.mark.parametrize("count", [1, 2])
def test_the_start_reloads_and_the_end_are_notified(
    proxy: Starter, tmp_path: Path, manager: ServiceManager, count: int
) -> None:
    text = two_workers(tmp_path).replace("workers = 2", f"workers = {count}")
    running = proxy(text, wrapper=manager.environment)
    status = "STATUS=serving" if count == 1 else "STATUS=serving with 2 workers"
    ready = ["READY=1", f"MAINPID={running.pid}", status]
    assert manager.next() == ready
    before = time.monotonic_ns() // 1000
    running.signal(signal.SIGHUP)
    assert is_reloading(manager.next(), before)
    assert manager.next() == ready
    running.file.write_text("bad")
    before = time.monotonic_ns() // 1000
    running.signal(signal.SIGHUP)
    assert is_reloading(manager.next(), before)
    *_, status = manager.next()
    assert status.startswith(f"STATUS=not reloaded: {running.file}:1:4: ")
    for pid in workers(running):
        assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
    running.signal(signal.SIGTERM)
    assert manager.next() == ["STOPPING=1", "STATUS=draining"]
    assert running.wait() == 0
    assert manager.pulses() == 0


def is_reloading(lines: list[str], before: int) -> bool:
    """Whether the lines are those of RELOADING, with a time not before `before` (microseconds)."""
    reloading, at, status = lines
    name, _, microseconds = at.partition("=")
    assert (reloading, name, status) == ("RELOADING=1", "MONOTONIC_USEC", "STATUS=reloading")
    return before <= int(microseconds) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("count", [1, 2])
def test_pulses_are_sent_while_the_process_turns(
    proxy: Starter, tmp_path: Path, manager: ServiceManager, count: int
) -> None:
    text = two_workers(tmp_path).replace("workers = 2", f"workers = {count}")
    running = proxy(text, wrapper=(*manager.environment, "WATCHDOG_USEC=400000"))
    manager.next()  # READY
    for _ in range(5):
        assert manager.recv(4096) == b"WATCHDOG=1"
    os.kill(running.pid, signal.SIGSTOP)
    eventually(lambda: stopped(running.pid), "it is stopped")
    manager.pulses()
    time.sleep(0.5)
    assert manager.pulses() == 0
    os.kill(running.pid, signal.SIGCONT)
    assert manager.recv(4096) == b"WATCHDOG=1"


def stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_no_pulse_is_sent_while_a_callback_hangs(
    proxy: Starter, tmp_path: Path, manager: ServiceManager
) -> None:
    """One of two net threads hangs."""
    hangs, goes_on = tmp_path / "hangs", tmp_path / "goes on"
    (tmp_path / "who.py").write_text(
        WHO.replace(
            "        self.answer",
            f"        open({str(hangs)!r}, 'w').close()\n"
            f"        while not os.path.exists({str(goes_on)!r}): pass\n"
            "        self.answer",
        )
    )
    text = '[proxy]\nnet_threads = 2\nslow_callback = "0s"\n' + listener()
    running = proxy(text, wrapper=(*manager.environment, "WATCHDOG_USEC=400000"))
    manager.next()  # READY
    with closing(running.connect("who")) as client:
        client.sendall(b"?\n")
        eventually(hangs.exists, "the callback hangs")
        manager.pulses()
        time.sleep(0.6)  # of six pulses, the thread that turns completes one at most
        assert manager.pulses() <= 1
        goes_on.touch()
        assert manager.recv(4096) == b"WATCHDOG=1"
        assert who(client) == running.pid


def test_a_recording_does_not_contain_notifications(
    proxy: Starter, tmp_path: Path, manager: ServiceManager
) -> None:
    (tmp_path / "who.py").write_text(WHO)
    text = listener() + '[record]\nfile = "run.log"\n'
    running: Running = proxy(text, wrapper=(*manager.environment, "WATCHDOG_USEC=100000"))
    assert manager.next()[0] == "READY=1"
    for _ in range(5):
        assert manager.recv(4096) == b"WATCHDOG=1"
    with running.connect("who") as client:
        who(client)
    running.stop()
    assert manager.next()[0] == "STOPPING=1"
