"""Sources: the sources of one engine, opened with the epoll driver.

Tested in tests/conformance/test_sources.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.sources import datagram_sources
from vcproxy.drivers.opened_sources import Opened, OpenedSources
from vcproxy.engine.sources.child_process import ChildProcess
from vcproxy.engine.sources.datagrams import Datagrams
from vcproxy.engine.sources.signals import Signals

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.drivers.epoll.sources.child_processes import Child
    from vcproxy.engine.sources.source import Source


class Sources(OpenedSources):
    """Opens sources with the epoll driver. See OpenedSources."""

    def __init__(self, driver: EpollDriver) -> None:
        super().__init__()
        self._driver = driver
        self._wait_for_ends: Callable[[list[Opened]], None] = lambda closed: None
        self._children: dict[int, Child] = {}  # also those that are closed, until they are reaped

    def _open(self, source: Source, ended: Callable[[], object]) -> Opened | None:
        if isinstance(source, Datagrams):
            return datagram_sources.opened(self._driver, source)
        if isinstance(source, ChildProcess):
            return self._launched(source)
        if isinstance(source, Signals):
            from vcproxy.drivers.epoll.sources.process_signals import TakenSignals

            return TakenSignals(source)
        from vcproxy.drivers.epoll.sources import opening

        self._wait_for_ends = opening.wait_for_ends
        return opening.opened(self._driver, source, ended)

    def _launched(self, source: ChildProcess) -> Child:
        # Most proxies need no children.
        from vcproxy.drivers.epoll.sources import child_pipe_ports
        from vcproxy.drivers.epoll.sources.child_processes import Child

        number = source.number
        pipes = child_pipe_ports.pipes_of(
            self._driver, source, lambda: self._pipes.pop(number, None)
        )
        if pipes is not None:
            self._pipes[number] = pipes
        child = self._children[number] = Child(self._driver, source, self._reaped, pipes)
        return child

    def _reaped(self, number: int) -> None:
        self._children.pop(number, None)
        self._opened.pop(number, None)

    def close(self) -> None:
        """Close all; kill and reap all children."""
        for child in self._children.values():
            child.close()
        for pipes in list(self._pipes.values()):
            pipes.fail("the driver has ended")
        self._pipes.clear()
        for child in list(self._children.values()):
            child.end()
        if self._driver.watching is not None:
            self._driver.watching.close()  # first, so that no watch is removed on its own
        closed = list(self._opened.values())
        self._opened.clear()
        for each in closed:
            each.close()
        self._wait_for_ends(closed)
