"""Notifications of a service manager, as its socket receives them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vcproxy.engine.log_function import Level
from vcproxy.listeners import service_manager
from vcproxy.listeners.service_manager import ServiceManager


class Manager(socket.socket):
    """The socket of a service manager."""

    def __init__(self, address: str) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.bind("\0" + address[1:] if address[0] == "@" else address)
        self.settimeout(0)  # a datagram is there as soon as it was sent

    def next(self) -> list[str]:
        """The lines of the next notification."""
        return self.recv(1000).decode().split("\n")


class Logged:
    """Lines of a log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, level: Level, text: str, error: Exception | None = None) -> None:
        assert error is None
        self.lines.append(f"{level}: {text}")


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address as it stands in NOTIFY_SOCKET: of a path, and of Linux's abstract names."""
    path = str(tmp_path / "notify")
    return path if request.param == "path" else f"@{path}"


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    """The other end of a ServiceManager."""
    with Manager(address) as manager:
        yield manager


def test_what_happens_is_notified(manager: Manager, address: str) -> None:
    log, environment = Logged(), {"NOTIFY_SOCKET": address, "OTHER": "1"}
    to = ServiceManager(log, environment)
    assert environment == {"OTHER": "1"}, "child processes do not get it"
    to.ready("serving")
    assert manager.next() == ["READY=1", f"MAINPID={os.getpid()}", "STATUS=serving"]
    before = time.monotonic_ns() // 1000
    to.reloading()
    reloading, at, status = manager.next()
    assert (reloading, status) == ("RELOADING=1", "STATUS=reloading")
    name, _, microseconds = at.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(microseconds) <= time.monotonic_ns() // 1000
    to.ready("not reloaded: a\nSTOPPING=1")
    assert manager.next()[2:] == ["STATUS=not reloaded: a"]
    to.stopping("draining")
    assert manager.next() == ["STOPPING=1", "STATUS=draining"]
    to.close()
    to.ready("serving")
    assert log.lines == []
    with pytest.raises(BlockingIOError):
        manager.next()


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "3 s"}, 0.0),
        ({}, 0.0),
    ],
)
def test_pulses_are_sent_only_to_a_watchdog_of_this_process(
    manager: Manager, address: str, variables: dict[str, str], seconds: float
) -> None:
    environment = {"NOTIFY_SOCKET": address, **variables}
    to = ServiceManager(Logged(), environment)
    assert environment == {}
    assert to.watchdog_s == seconds
    to.pulsed()
    to.stopping("draining")
    assert manager.next()[0] == ("WATCHDOG=1" if seconds else "STOPPING=1")
    to.close()


@pytest.mark.parametrize("address", ["", "@", "vsock:2:1234", "relative"])
def test_without_a_unix_socket_nothing_has_an_effect(address: str) -> None:
    log = Logged()
    to = ServiceManager(log, {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    assert to.watchdog_s == 0.0
    to.ready("serving")
    to.reloading()
    to.pulsed()
    to.stopping("draining")
    to.close()
    assert log.lines == []


def test_a_socket_that_is_gone_is_logged(tmp_path: Path) -> None:
    log = Logged()
    to = ServiceManager(log, {"NOTIFY_SOCKET": str(tmp_path / "notify")})
    to.ready("serving")
    to.close()
    assert log.lines == [
        "warning: the service manager was not notified of READY=1: no such file or directory"
    ]


def test_a_pulse_does_not_wait_for_a_manager_that_does_not_read(
    manager: Manager, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_manager, "SEND_S", 100)
    log = Logged()
    to = ServiceManager(log, {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    begin = time.monotonic()
    while not log.lines:
        to.pulsed()
    assert time.monotonic() - begin < 50
    to.close()
    reason = "resource temporarily unavailable"
    assert log.lines == [f"warning: the service manager was not notified of WATCHDOG=1: {reason}"]
