"""A stage: scripted peers, their VCs, and an owner who lends the VCs and notes what he hears."""

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

M = TypeVar("M", bound=Machine)

BULK = bytes(range(256)) * 8192
"""2 MiB: enough for a bridge, more than any buffer holds."""

NETWORK = 256 * 1024
"""Bytes that the simulated network holds, each way."""

OWED = BULK[: NETWORK + 5000]
"""What a sink that does not read is owed at the end: it fills the network, and no buffer."""

BUFFER = 2 * SLAB
"""A water mark, and one slab: all that one buffer may hold."""


class Owner(Continuation):
    """Writes down what he hears, and does what he is scheduled to do."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, Mutex())
        self.heard: list[Hashable] = []
        self.done: list[TunnelDone] = []
        self.gone: list[SinkDone] = []
        self.news: list[object] = []
        """All else that tunnels say."""

    def __repr__(self) -> str:
        return "<Owner>"

    def handle_event(self, key: Hashable, data: object) -> None:
        if callable(data):
            data()
            return
        self.heard.append(key)
        if isinstance(data, TunnelDone):
            self.done.append(data)
        elif isinstance(data, SinkDone):
            self.gone.append(data)
        else:
            self.news.append(data)


@dataclass(eq=False)
class Line:
    """A connection: the scripted peer at one end, the VC at the other."""

    peer: Peer
    vc: NetVConnection

    @property
    def name(self) -> str:
        return self.vc.name


class Stage:
    """One engine, or two that lines come in at in turn, and an owner at home on the first."""

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
        """A new connection, in the owner's conversation."""
        peer = self.sim.client(self._address)
        self.sim.run(until=lambda: peer.connected and bool(self._came))
        return Line(peer, self._came.pop())

    def lines(self, count: int = 2) -> Iterator[Line]:
        return (self.line() for _ in range(count))

    def held(self) -> AbstractContextManager[None]:
        """What happens within happens as in a callback of the owner."""
        return self.owner.mutex.hold(self.engine)

    def lend(self, make: Callable[[], M]) -> M:
        """Make a tunnel and start it."""
        with self.held():
            tunnel = make()
            tunnel.start()
        return tunnel

    def read(self, line: Line, nbytes: int | None = None) -> tuple[VIO, Reader]:
        """The owner reads a line himself."""
        buffer = self.engine.buffer()
        reader = buffer.reader()
        with self.held():
            return line.vc.do_io_read(self.owner, nbytes, buffer), reader

    def read_all(self, line: Line) -> bytes:
        """What the owner reads from a line, until nothing more comes."""
        vio, reader = self.read(line)
        data = b""
        self.run()
        while reader.avail:
            data += reader.read()
            vio.reenable()
            self.run()
        return data

    def say(self, line: Line, data: bytes) -> None:
        """The owner writes to a line himself."""
        buffer = self.engine.buffer()
        reader = buffer.reader()
        buffer.write(data)
        with self.held():
            line.vc.do_io_write(self.owner, len(data), reader)

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Run, until nothing is left to happen."""
        self.sim.run(until)

    def run_within(self, used: int) -> None:
        """The same, and the buffers of each engine never occupy more than that."""
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
