"""ControlThread: the net thread of the doors of a proxy.

A door binds its sockets at the start, and imports its code when its first client comes, as most
proxies get none for long. Tested in tests/e2e/test_control.py and test_http_control.py.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from random import Random
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Final, Protocol

from vcproxy.app.control.bus_control import BusControl
from vcproxy.app.control.http_control import HttpControl
from vcproxy.app.control.metrics_control import MetricsControl
from vcproxy.control.controlled import Controlled
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.engine.engine import Engine

if TYPE_CHECKING:
    from vcproxy.app.control.control_sockets import ControlSockets
    from vcproxy.app.logs.log import LineLog
    from vcproxy.config.loader import Configuration

MEMORY: Final = 16 << 20
"""Bytes for all that is held for the clients of the doors."""

SHARE: Final = 0.2
"""The share of a processor that the thread may use for long. So a flood of messages does not take
the interpreter from the net threads; it is enough for thousands of messages a second."""

BURST_S: Final = 0.2
"""Processor time that it may use at once: the import of its modules, and some commands."""


class ControlledProcess(Controlled, Protocol):
    """What the commands act on, with the thread of its control."""

    def begin(self, thread: ControlThread) -> None:
        """The first client has come. `thread` is for `Gathering`."""


class ControlDoor(Protocol):
    """One way to reach the proxy: its sockets, and what serves their clients."""

    label: str
    """What the log calls it, as "control"."""

    @property
    def sockets(self) -> ControlSockets:
        """Its sockets, after `bind`."""

    def bind(self) -> None:
        """Bind its sockets. Raises StartError."""

    def open(self, driver: EpollDriver) -> None:
        """Serve its clients from now on: the first one has come. Called in the thread."""

    def finish(self) -> None:
        """Close all connections, each after its output. Called in the thread, if at all."""

    def close(self) -> None:
        """Close its sockets, and remove their files. The thread has ended."""


class ControlThread:
    """The control of one process. `close` must be called, whether it was started or not."""

    def __init__(
        self, configuration: Configuration, proxy: ControlledProcess, log: LineLog
    ) -> None:
        """Without sockets. `proxy`: what the commands act on."""
        self._proxy = proxy
        self._log = log
        self._doors: Sequence[ControlDoor] = (
            BusControl(configuration, proxy, log),
            HttpControl(configuration, proxy, log),
            MetricsControl(configuration, proxy, log),
        )
        self._driver: EpollDriver | None = None
        self._stopping = False
        self._wakeup = -1
        self._thread: threading.Thread | None = None

    def bind(self) -> None:
        """Bind the sockets. Raises StartError, except for a default socket: that is logged."""
        for door in self._doors:
            door.bind()

    # -- for the proxy -----------------------------------------------------------------------

    def start(self) -> None:
        """Take messages from now on, if there are sockets."""
        used = [door for door in self._doors if door.sockets.addresses]
        for door in used:
            for address in door.sockets.addresses:
                self._log("info", f"{door.label} at {address.text}")  # without its mode
        if not used:
            return
        self._driver = EpollDriver(Engine("control", memory=MEMORY, random=Random(), log=self._log))
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="control")
        # The thread inherits the signal mask: it must not get signals that others wait for.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def feed(self, call: Callable[[], None]) -> None:
        """Make a call in the thread. Any thread may call it, after the start."""
        assert self._driver is not None
        self._driver.engine.inbox.feed(partial(self._make, call))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Make a call in the thread after a time. To be called in the thread."""
        assert self._driver is not None
        self._driver.after(seconds, partial(self._make, call))

    def close(self) -> None:
        """End the thread, close the sockets and remove their files."""
        self._stopping = True
        if self._thread is not None:
            os.eventfd_write(self._wakeup, 1)
            self._thread.join()
            self._thread = None
            os.close(self._wakeup)
        for door in self._doors:
            door.close()

    # -- the thread --------------------------------------------------------------------------

    def _make(self, call: Callable[[], None]) -> None:
        """Make a call. A mistake in it ends what it was for, and no other client's request."""
        try:
            call()
        except Exception as error:
            self._log("error", "a step of the control has failed: its client gets no answer", error)

    def _run(self) -> None:
        try:
            assert self._driver is not None
            with closing(self._driver) as driver:
                if not any(door.sockets.datagrams for door in self._doors):
                    self._wait()
                if not self._stopping:
                    self._serve(driver)
        except Exception as error:
            self._log("error", "the control has failed: this proxy takes no more messages", error)

    def _wait(self) -> None:
        """Wait for the first client, or the end."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        for door in self._doors:
            for sock in door.sockets.listening.values():
                poll.register(sock, select.POLLIN)
        poll.poll()

    def _serve(self, driver: EpollDriver) -> None:
        self._proxy.begin(self)
        driver.watch(self._wakeup, _Wakeup(), select.EPOLLIN)
        for door in self._doors:
            _FirstClient(door, driver)
        self._turn(driver)
        for door in self._doors:
            door.finish()
        driver.turn(0.0)  # sends what is left

    def _turn(self, driver: EpollDriver) -> None:
        """Turn until the end, within SHARE."""
        credit, at, used = BURST_S, monotonic(), thread_time()
        while not self._stopping:
            driver.turn()
            now, then = monotonic(), thread_time()
            credit = min(credit + SHARE * (now - at), BURST_S) - (then - used)
            at, used = now, then
            if credit < 0.0:
                self._pause(-credit / SHARE)

    def _pause(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        poll.poll(seconds * 1000)


class _FirstClient:
    """Opens a door when its first client comes, or at once if it takes datagrams. A Watcher."""

    def __init__(self, door: ControlDoor, driver: EpollDriver) -> None:
        self._door = door
        self._driver = driver
        self._watched = list(door.sockets.listening.values())
        if door.sockets.datagrams:
            door.open(driver)
            return
        for sock in self._watched:
            driver.watch(sock.fileno(), self, select.EPOLLIN)

    def ready(self, mask: int) -> None:
        """Open the door: its listener accepts the client."""
        for sock in self._watched:
            self._driver.unwatch(sock.fileno())
        self._door.open(self._driver)


class _Wakeup:
    """Wakes the thread for its end. A Watcher."""

    def ready(self, mask: int) -> None:
        """Do nothing: the turn ends."""
