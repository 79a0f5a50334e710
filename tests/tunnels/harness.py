"""Harness: scripted peers, their VCs, and an owner that lends the VCs and records its events."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.blocks import SLAB
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.iobuffer import Reader
from vcproxy.engine.listener import Listener
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vio import VIO
from vcproxy.machine.machine import Machine
from vcproxy.tunnels.done import SinkDone, TunnelDone
from vcproxy.tunnels.two_way import TwoWayTunnel

M = TypeVar("M", bound=Machine)

BULK = bytes(range(256)) * 8192
"""2 MiB: enough for a bridge, more than any buffer holds."""

NETWORK = 256 * 1024
"""Bytes that the simulated network holds, each way."""

BACKLOG = BULK[: NETWORK + 5000]
"""More than the simulated network holds by less than a buffer: a sink that does not read leaves
some of it in the buffer."""

BUFFER = 2 * SLAB
"""A water mark and one slab: the most that one buffer may hold."""


class Owner(Continuation):
    """Records its events; an event that is a callable is called."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, Mutex())
        self.events: list[Hashable] = []
        self.done: list[TunnelDone] = []
        self.removed: list[SinkDone] = []
        self.reports: list[object] = []
        """All other reports of tunnels."""

    def __repr__(self) -> str:
        return "<Owner>"

    def handle_event(self, key: Hashable, data: object) -> None:
        if callable(data):
            data()
            return
        self.events.append(key)
        if isinstance(data, TunnelDone):
            self.done.append(data)
        elif isinstance(data, SinkDone):
            self.removed.append(data)
        else:
            self.reports.append(data)


@dataclass(eq=False)
class Line:
    """A connection: the scripted peer at one end, the VC at the other."""

    peer: Peer
    vc: NetVConnection

    @property
    def name(self) -> str:
        return self.vc.name


class Harness:
    """One engine, or two that accept connections alternately, and an owner on the first."""

    two_way: type[TwoWayTunnel] = TwoWayTunnel
    """The class of two-way tunnels that the tests use."""

    def __init__(
        self,
        seed: int = 0,
        *,
        engines: int = 1,
        bridges: bool = True,
        faults: NetworkFaults | None = None,
    ) -> None:
        self.sim = Simulation(seed, faults)
        drivers = [self.sim.driver(f"engine {n}", bridges=bridges) for n in range(engines)]
        self.engines = [driver.engine for driver in drivers]
        self.engine = self.engines[0]
        self.owner = Owner(self.engine)
        self._came: list[NetVConnection] = []
        listener = Listener("line", self._accept, self.engine)
        drivers[0].group = drivers
        self._address = drivers[0].listen(Address("tcp", "proxy"), listener)

    def line(self) -> Line:
        """Return a new connection, under the owner's mutex."""
        peer = self.sim.client(self._address)
        self.sim.run(until=lambda: peer.connected and bool(self._came))
        return Line(peer, self._came.pop())

    def lines(self, count: int = 2) -> Iterator[Line]:
        return (self.line() for _ in range(count))

    def held(self) -> AbstractContextManager[None]:
        """Hold the owner's mutex, as in a callback of the owner."""
        return self.owner.mutex.hold(self.engine)

    def lend(self, make: Callable[[], M]) -> M:
        """Make a tunnel and start it, with the mutex held."""
        with self.held():
            tunnel = make()
            tunnel.start()
        return tunnel

    def read(self, line: Line, nbytes: int | None = None) -> tuple[VIO, Reader]:
        """Read a connection as the owner."""
        buffer = self.engine.buffer()
        reader = buffer.reader()
        with self.held():
            return line.vc.do_io_read(self.owner, nbytes, buffer), reader

    def read_all(self, line: Line) -> bytes:
        """Read a connection as the owner, until no more data arrives; return the data."""
        vio, reader = self.read(line)
        data = b""
        self.run()
        while reader.avail:
            data += reader.read()
            vio.reenable()
            self.run()
        return data

    def write(self, line: Line, data: bytes) -> None:
        """Write to a connection as the owner."""
        buffer = self.engine.buffer()
        reader = buffer.reader()
        buffer.write(data)
        with self.held():
            line.vc.do_io_write(self.owner, len(data), reader)

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Run until no event is left."""
        self.sim.run(until)

    def run_within(self, used: int) -> None:
        """Run until no event is left; the buffers of each engine never occupy more than `used`."""
        while self.sim.step():
            for engine in self.engines:
                assert engine.memory.used <= used

    @property
    def done(self) -> TunnelDone:
        """The one TunnelDone."""
        [done] = self.owner.done
        return done

    def _accept(self, vc: NetVConnection) -> None:
        vc.join(self.owner.mutex)
        self._came.append(vc)
