"""SimSources: the sources of one engine, opened in a simulation.

Tested in tests/conformance/test_sources.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from vcproxy.drivers.child_pipes import ChildPipes, number_of, stream_of
from vcproxy.drivers.sim import datagram_sources
from vcproxy.drivers.sim.child_processes import SimChild
from vcproxy.drivers.sim.files.watching import SimWatching
from vcproxy.drivers.sim.listener_watches import SimListenerWatch
from vcproxy.drivers.sim.local_streams import LocalEndpoint
from vcproxy.drivers.sim.own_threads import SimThread
from vcproxy.drivers.sim.port import SimPort
from vcproxy.drivers.thread_feed import ThreadFeed
from vcproxy.drivers.watching.content_watcher import ContentWatcher
from vcproxy.drivers.watching.file_watcher import WatchedPaths
from vcproxy.engine.address import CHILD
from vcproxy.engine.bus_messages import BusMessages
from vcproxy.engine.child_process import ChildProcess
from vcproxy.engine.content_watch import ContentWatch
from vcproxy.engine.datagrams import Datagrams
from vcproxy.engine.file_changes import FileChanges
from vcproxy.engine.listening import ListenerWatch
from vcproxy.engine.own_thread import MOST_THREADS, OwnThread
from vcproxy.engine.signals import Signal, Signals
from vcproxy.engine.thread_messages import ThreadMessages
from vcproxy.engine.unix_datagrams import UnixDatagrams

if TYPE_CHECKING:
    from vcproxy.drivers.datagram_source import DatagramSource
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.drivers.unix_datagram_source import UnixDatagramSource
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


class SimSources:
    """Performs the commands of sources. What it opens is kept by the number of the source."""

    def __init__(self, driver: PortDriver, network: Network) -> None:
        self._driver = driver
        self._network = network
        self._sockets: dict[int, DatagramSource | UnixDatagramSource] = {}
        self._children: dict[int, SimChild] = {}
        self._pipes: dict[int, ChildPipes[LocalEndpoint]] = {}
        self._signals: dict[int, Signals] = {}
        self._messages: dict[int, BusMessages] = {}
        self._opened: dict[
            int, ThreadFeed | SimThread | SimListenerWatch | WatchedPaths | ContentWatcher
        ] = {}
        self.watching: SimWatching | None = None
        """What watches files; None: nothing does."""

    def open(self, command: OpenSource) -> None:
        """Open a source."""
        source = command.source
        if source.cont is None:
            return  # closed in the same turn
        if isinstance(source, Datagrams):
            sockets = datagram_sources.opened(self._driver, self._network.datagrams, source)
            if sockets is not None:
                self._sockets[source.number] = sockets
        elif isinstance(source, UnixDatagrams):
            unix_socket = datagram_sources.opened_unix(self._driver, self._network.unix, source)
            if unix_socket is not None:
                self._sockets[source.number] = unix_socket
        elif isinstance(source, ChildProcess):
            pipes = self._pipes_of(source)
            self._children[source.number] = SimChild(self._driver, self._network, source, pipes)
        elif isinstance(source, Signals):
            self._signals[source.number] = source
        elif isinstance(source, BusMessages):
            self._messages[source.number] = source
            self._network.bus.open(source, self._driver.complete)
        elif isinstance(source, OwnThread):
            self._opened[source.number] = SimThread(
                self._driver,
                self._network,
                source,
                partial(self._opened.pop, source.number, None),
                sum(isinstance(each, SimThread) for each in self._opened.values()) >= MOST_THREADS,
            )
        elif isinstance(source, ThreadMessages):
            self._opened[source.number] = ThreadFeed(source, self._driver.complete)
        elif isinstance(source, ListenerWatch):
            self._opened[source.number] = SimListenerWatch(self._driver, self._network, source)
        elif isinstance(source, FileChanges | ContentWatch):
            if self.watching is None:
                self.watching = SimWatching(self._driver, self._network)
            self._opened[source.number] = self.watching.watcher.open(source)

    def close_source(self, command: CloseSource) -> None:
        """Close a source."""
        number = command.source.number
        self._signals.pop(number, None)
        sockets, child = self._sockets.pop(number, None), self._children.pop(number, None)
        pipes = self._pipes.pop(number, None)
        if pipes is not None:
            pipes.fail("the child process was closed")
        if sockets is not None:
            sockets.close()
        if child is not None:
            child.kill()
        if number in self._messages:
            self._network.bus.close(self._messages.pop(number))
        if number in self._opened:
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
            self._network.bus.watch(self._messages[source.number], enabled)
        elif source.number in self._opened:
            self._opened[source.number].set_watched(enabled)

    def _pipes_of(self, source: ChildProcess) -> ChildPipes[LocalEndpoint] | None:
        streams = source.launch.pipes
        if not streams:
            return None
        finished = partial(self._pipes.pop, source.number, None)
        made = ChildPipes(streams, self._attach, LocalEndpoint.close, finished)
        self._pipes[source.number] = made
        return made

    def _attach(self, command: Connect, endpoint: LocalEndpoint) -> None:
        port = SimPort(self._driver, endpoint)
        port.vc = command.outgoing.vc
        stream = stream_of(command.address)
        self._driver.trace_call("connected", port.vc)
        command.outgoing.connected(command.address, port, lambda: stream, stream)
        port.continue_handshake()
        self._driver.edge(port)

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
            self._driver.trace_call("refused", command.outgoing.vc, str(error))
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

    def signalled(self, number: int, pid: int = 0) -> bool:
        """Pass a signal to the Signals sources that take it; return whether there is one."""
        taking = [source for source in self._signals.values() if number in source.numbers]
        for source in taking:
            happened = self._driver.engine.happened
            self._driver.complete(partial(happened, source, Signal(int(number), pid)))
        return bool(taking)

    def send(self, command: SendDatagram) -> None:
        """Send a datagram."""
        sockets = self._sockets.get(command.source.number)
        if sockets is not None:
            sockets.send(command.data, command.to)

    def watch_path(self, command: WatchPath) -> None:
        """Watch a path."""
        paths = self._opened.get(command.source.number)
        if paths is not None:  # it is not closed
            cast(WatchedPaths, paths).watch(command.watch)

    def unwatch_path(self, command: UnwatchPath) -> None:
        """Stop watching a path."""
        paths = self._opened.get(command.source.number)
        if paths is not None:
            cast(WatchedPaths, paths).unwatch(command.path)

    def watch_content(self, command: WatchContent) -> None:
        """Watch the content of files."""
        files = self._opened.get(command.source.number)
        if files is not None:
            cast(ContentWatcher, files).watch(command.paths)

    def close(self, kill: bool) -> None:
        """Close all; `kill`: also the child processes, which go on otherwise."""
        for child in self._children.values() if kill else ():
            child.kill()
        self._children.clear()
        self._signals.clear()
        for sockets in self._sockets.values():
            sockets.close()
        self._sockets.clear()
        for messages in self._messages.values():
            self._network.bus.close(messages)
        self._messages.clear()
        for opened in list(self._opened.values()):
            opened.close()
        self._opened.clear()
        if self.watching is not None:
            self.watching.close()
