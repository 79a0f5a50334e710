"""SimSources: the sources of one engine, opened in a simulation.

Tested in tests/conformance/test_sources.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.child_pipes import ChildPipes
from vcproxy.drivers.opened_sources import OpenedSources
from vcproxy.drivers.sim import datagram_sources
from vcproxy.drivers.sim.child_processes import SimChild
from vcproxy.drivers.sim.files.opened_files import SimOpenedFile
from vcproxy.drivers.sim.files.watching import SimWatching
from vcproxy.drivers.sim.listener_watches import SimListenerWatch
from vcproxy.drivers.sim.local_streams import LocalEndpoint
from vcproxy.drivers.sim.own_threads import SimThread
from vcproxy.drivers.sim.port import SimPort
from vcproxy.drivers.thread_feed import ThreadFeed
from vcproxy.engine.sources.bus_messages import BusMessages
from vcproxy.engine.sources.child_process import ChildProcess, stream_of
from vcproxy.engine.sources.content_watch import ContentWatch
from vcproxy.engine.sources.datagrams import Datagrams
from vcproxy.engine.sources.file_changes import FileChanges
from vcproxy.engine.sources.listening import ListenerWatch
from vcproxy.engine.sources.own_thread import MOST_THREADS, OwnThread
from vcproxy.engine.sources.signals import Signal, Signals
from vcproxy.engine.sources.stored_file import StoredFile
from vcproxy.engine.sources.thread_messages import ThreadMessages
from vcproxy.engine.sources.unix_datagrams import UnixDatagrams

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.drivers.opened_sources import Opened
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.engine.commands import Connect
    from vcproxy.engine.sources.source import Source


class SimSignals:
    """What is opened for a Signals source."""

    def __init__(self, source: Signals) -> None:
        self.source = source

    def set_watched(self, watched: bool) -> None:
        """See Opened. The engine keeps its events."""

    def close(self) -> None:
        """Nothing is to be closed: a signal is passed to what is open."""


class SimSources(OpenedSources):
    """Opens sources in a simulation. See OpenedSources."""

    def __init__(self, driver: PortDriver, network: Network) -> None:
        super().__init__()
        self._driver = driver
        self._network = network
        self.watching: SimWatching | None = None
        """What watches files; None: nothing does."""

    def _open(self, source: Source, ended: Callable[[], object]) -> Opened | None:
        driver, network = self._driver, self._network
        if isinstance(source, Datagrams):
            return datagram_sources.opened(driver, network.datagrams, source)
        if isinstance(source, UnixDatagrams):
            return datagram_sources.opened_unix(driver, network.unix, source)
        if isinstance(source, ChildProcess):
            return SimChild(driver, network, source, self._pipes_of(source))
        if isinstance(source, Signals):
            return SimSignals(source)
        if isinstance(source, BusMessages):
            return network.bus.open(source, driver.complete)
        if isinstance(source, OwnThread):
            threads = sum(isinstance(each, SimThread) for each in self._opened.values())
            return SimThread(driver, network, source, ended, threads >= MOST_THREADS)
        if isinstance(source, ThreadMessages):
            return ThreadFeed(source, driver.complete)
        if isinstance(source, ListenerWatch):
            return SimListenerWatch(driver, network, source)
        if isinstance(source, StoredFile):
            return SimOpenedFile(driver, network, source, ended)
        if isinstance(source, FileChanges | ContentWatch):
            if self.watching is None:
                self.watching = SimWatching(driver, network)
            return self.watching.watcher.open(source)
        return None

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

    def _refuse(self, command: Connect, error: OSError) -> None:
        self._driver.trace_call("refused", command.outgoing.vc, str(error))
        super()._refuse(command, error)

    def signalled(self, number: int, pid: int = 0) -> bool:
        """Pass a signal to the Signals sources that take it; return whether there is one."""
        signals = [each.source for each in self._opened.values() if isinstance(each, SimSignals)]
        taking = [source for source in signals if number in source.numbers]
        for source in taking:
            happened = self._driver.engine.happened
            self._driver.complete(partial(happened, source, Signal(int(number), pid)))
        return bool(taking)

    def close(self, kill: bool) -> None:
        """Close all; `kill`: also the child processes, which go on otherwise."""
        opened = list(self._opened.values())
        self._opened.clear()
        for each in opened:
            if kill or not isinstance(each, SimChild):
                each.close()
        if self.watching is not None:
            self.watching.close()
