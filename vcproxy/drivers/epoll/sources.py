"""Sources: the sources of one engine, opened with the epoll driver.

Tested in tests/conformance/test_sources.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from vcproxy.drivers.child_pipes import number_of, stream_of
from vcproxy.drivers.epoll import datagram_sources
from vcproxy.drivers.epoll.process_signals import PROCESS_SIGNALS
from vcproxy.engine.address import CHILD
from vcproxy.engine.bus_messages import BusMessages
from vcproxy.engine.child_process import ChildProcess
from vcproxy.engine.datagrams import Datagrams
from vcproxy.engine.signals import Signals
from vcproxy.engine.unix_datagrams import UnixDatagrams

if TYPE_CHECKING:
    from vcproxy.drivers.child_pipes import ChildPipes
    from vcproxy.drivers.datagram_source import DatagramSource
    from vcproxy.drivers.epoll.child_processes import Child
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.drivers.epoll.opening import Opened
    from vcproxy.drivers.unix_datagram_source import UnixDatagramSource
    from vcproxy.drivers.watching.content_watcher import ContentWatcher
    from vcproxy.drivers.watching.file_watcher import WatchedPaths
    from vcproxy.engine.commands import (
        CloseSource,
        Connect,
        DisableSource,
        EnableSource,
        OpenSource,
        SendDatagram,
        SignalChild,
        UnwatchPath,
        WatchContent,
        WatchPath,
    )
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.source import Source


class Sources:
    """Performs the commands of sources. What it opens is kept by the number of the source."""

    def __init__(self, driver: EpollDriver) -> None:
        self._driver = driver
        self._sockets: dict[int, DatagramSource | UnixDatagramSource] = {}
        self._children: dict[int, Child] = {}
        self._pipes: dict[int, ChildPipes[int]] = {}
        self._signals: dict[int, Signals] = {}
        self._messages: dict[int, BusMessages] = {}
        self._opened: dict[int, Opened] = {}

    def open(self, command: OpenSource) -> None:
        """Open a source."""
        source = command.source
        if source.cont is None:
            return  # closed in the same turn
        if isinstance(source, Datagrams):
            sockets = datagram_sources.opened(self._driver, source)
            if sockets is not None:
                self._sockets[source.number] = sockets
        elif isinstance(source, UnixDatagrams):
            unix_socket = datagram_sources.opened_unix(self._driver, source)
            if unix_socket is not None:
                self._sockets[source.number] = unix_socket
        elif isinstance(source, ChildProcess):
            # Most proxies need no children.
            from vcproxy.drivers.epoll import child_pipe_ports
            from vcproxy.drivers.epoll.child_processes import Child

            finished = partial(self._pipes.pop, source.number, None)
            pipes = child_pipe_ports.pipes_of(self._driver, source, finished)
            if pipes is not None:
                self._pipes[source.number] = pipes
            self._children[source.number] = Child(self._driver, source, self._ended, pipes)
        elif isinstance(source, Signals):
            self._signals[source.number] = source
            PROCESS_SIGNALS.open(source)
        elif isinstance(source, BusMessages):
            self._messages[source.number] = source
            self._driver.bus.open(source, self._driver.engine.inbox.feed)
        else:
            from vcproxy.drivers.epoll.opening import opened

            other = opened(self._driver, source, partial(self._ended, source.number))
            if other is not None:
                self._opened[source.number] = other

    def _ended(self, number: int) -> None:
        """Forget what has ended by itself."""
        self._children.pop(number, None)
        self._opened.pop(number, None)

    def close_source(self, command: CloseSource) -> None:
        """Close a source."""
        number = command.source.number
        sockets = self._sockets.pop(number, None)
        pipes = self._pipes.pop(number, None)
        if pipes is not None:
            pipes.fail("the child process was closed")
        if sockets is not None:
            sockets.close()
        elif number in self._children:
            self._children[number].kill()
        elif number in self._signals:
            PROCESS_SIGNALS.close(self._signals.pop(number))
        elif number in self._messages:
            self._driver.bus.close(self._messages.pop(number))
        elif number in self._opened:
            self._opened.pop(number).close()

    def disable(self, command: DisableSource) -> None:
        """Stop watching a source. Of signals and children the engine keeps what it is passed."""
        self._watch(command.source, False)

    def enable(self, command: EnableSource) -> None:
        """Watch a source again."""
        self._watch(command.source, True)

    def _watch(self, source: Source, enabled: bool) -> None:
        sockets = self._sockets.get(source.number)
        if sockets is not None:
            sockets.receive(enabled)
        elif source.number in self._messages:
            self._driver.bus.watch(self._messages[source.number], enabled)
        elif source.number in self._opened:
            self._opened[source.number].set_watched(enabled)

    def connect_pipe(self, command: Connect) -> bool:
        """Connect a VC to a pipe of a child process, now or when it is launched. Return whether
        that is what it connects to."""
        if command.address.scheme != CHILD:
            return False
        pipes = self._pipes.get(number_of(command.address))
        if pipes is not None:
            pipes.connect(command)
        elif not command.outgoing.vc.closed:
            error = OSError("the child process was closed")
            command.outgoing.refused(command.address, error)
        return True

    def abandon_pipe(self, vc: NetVConnection) -> None:
        """Close a pipe whose VC was closed before it was connected, if it is one of a pipe."""
        outgoing = vc.outgoing
        if outgoing is None or outgoing.target.scheme != CHILD:
            return
        pipes = self._pipes.get(number_of(outgoing.target))
        if pipes is not None:
            pipes.abandon(stream_of(outgoing.target))

    def signal_child(self, command: SignalChild) -> None:
        """Send a signal to a child process."""
        child = self._children.get(command.source.number)
        if child is not None:
            child.signal(command.number)

    def send(self, command: SendDatagram) -> None:
        """Send a datagram."""
        sockets = self._sockets.get(command.source.number)
        if sockets is not None:
            sockets.send(command.data, command.to)

    def watch_path(self, command: WatchPath) -> None:
        """Watch a path."""
        paths = self._opened.get(command.source.number)
        if paths is not None:  # it is not closed
            cast("WatchedPaths", paths).watch(command.watch)

    def unwatch_path(self, command: UnwatchPath) -> None:
        """Stop watching a path."""
        paths = self._opened.get(command.source.number)
        if paths is not None:
            cast("WatchedPaths", paths).unwatch(command.path)

    def watch_content(self, command: WatchContent) -> None:
        """Watch the content of files."""
        files = self._opened.get(command.source.number)
        if files is not None:
            cast("ContentWatcher", files).watch(command.paths)

    def close(self) -> None:
        """Close all; kill and reap all children."""
        for child in self._children.values():
            child.kill()
        for pipes in list(self._pipes.values()):
            pipes.fail("the driver has ended")
        self._pipes.clear()
        for child in list(self._children.values()):
            child.end()
        for sockets in self._sockets.values():
            sockets.close()
        self._sockets.clear()
        for source in self._signals.values():
            PROCESS_SIGNALS.close(source)
        self._signals.clear()
        for messages in self._messages.values():
            self._driver.bus.close(messages)
        self._messages.clear()
        if self._driver.watching is not None:
            self._driver.watching.close()  # first, so that no watch is removed on its own
        self._close_opened()

    def _close_opened(self) -> None:
        if self._opened:
            from vcproxy.drivers.epoll.opening import wait_for_ends

            closed = list(self._opened.values())
            for each in closed:
                each.close()
            wait_for_ends(closed)
            self._opened.clear()
