"""Simulation: engines and peers on one network in memory, in virtual time, from one seed.

The same seed and the same script give the same run, call by call at the level of plaintext.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.datagram_peer import DatagramPeer
from vcproxy.drivers.sim.driver import SimDriver, TraceEntry
from vcproxy.drivers.sim.faults import NetworkFaults
from vcproxy.drivers.sim.network import Acceptor, Network
from vcproxy.drivers.sim.peer import Peer
from vcproxy.drivers.sim.phantom import Phantom
from vcproxy.drivers.sim.secure import over
from vcproxy.drivers.sim.timeline import Timeline
from vcproxy.engine.engine import Engine, Level, LogFunction

if TYPE_CHECKING:
    import ssl

    from vcproxy.drivers.sim.link import Endpoint, Secured
    from vcproxy.engine.address import Address

SPIN = 200_000
"""So many turns without time going on are a loop that will not end."""


class Stuck(AssertionError):
    """What a run was to reach will not happen, or not in time."""


class SimulatedServer:
    """A scripted server: a Peer for each connection."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.peers: list[Peer] = []


class Simulation:
    """A world for tests.

    It is also a context manager: an exception that leaves it carries the seed as a note.

        with Simulation(seed, Faults.all()) as sim:
            proxy = sim.driver("proxy")
            address = proxy.listen(Address.parse("tcp://proxy:0"), listener)
            client = sim.client(address)
            client.send(b"hello")
            sim.run(until=lambda: client.received == b"hello")
    """

    def __init__(
        self, seed: int, faults: NetworkFaults | None = None, *, trace: bool = False
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.faults = faults or NetworkFaults()
        self.timeline = Timeline()
        self.network = Network(self.timeline, self.random, self.faults)
        self.drivers: list[SimDriver] = []
        self.log: list[tuple[float, Level, str]] = []
        """What the engines logged, and when."""
        self.trace: list[TraceEntry] | None = [] if trace else None
        """Every call into an engine, if asked for."""
        self._mistakes: list[Exception] = []
        self._spinning = 0  # steps since time went on
        self._phantom = Phantom(self.network)

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(f"seed={self.seed} (VCPROXY_SEED={self.seed} repeats it)")

    # -- who takes part ----------------------------------------------------------------------

    def driver(
        self,
        name: str = "engine",
        *,
        memory: int = 64 << 20,
        bridges: bool = True,
        log: LogFunction | None = None,
    ) -> SimDriver:
        """An engine and its driver. Without a `log`, a programmer's mistake is raised by `run`."""
        engine = Engine(
            name, memory=memory, random=self.random, log=log or self.note, bridges=bridges
        )
        return self.drive(engine)

    def drive(self, engine: Engine, kind: Callable[..., SimDriver] = SimDriver) -> SimDriver:
        """A driver for an engine that was made elsewhere, of this kind."""
        driver = kind(engine, self.network, self._phantom, self.trace)
        self.drivers.append(driver)
        return driver

    def client(
        self,
        address: Address,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        here: str = "",
        handshake: Secured | None = None,
    ) -> Peer:
        """A peer that connects, from any IP address or from `here`. `error` tells of a refusal.

        `handshake`: what its handshake has told, at a tls address where no TLS is spoken.
        """
        peer = Peer()

        def done(endpoint: Endpoint | None, error: OSError | None) -> None:
            if endpoint is None:
                peer.attach(None, error)
            else:
                endpoint.outgoing.sink.secure = handshake
                name = server_name or address.host
                peer.attach(over(endpoint, tls, self.timeline, server_side=False, name=name))

        self.network.connect(address, done, here and f"{here}:{self.network.free_port()}")
        return peer

    def server(
        self,
        address: Address,
        on_connect: Callable[[Peer], None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> SimulatedServer:
        """Peers that are connected to; `on_connect` gives each its script."""
        acceptor = self.network.listen(address)
        server = SimulatedServer(acceptor.address)
        acceptor.on_edge = partial(self._serve, server, acceptor, on_connect, tls)
        return server

    def datagram_client(self, address: Address) -> DatagramPeer:
        """A peer that sends to a udp address, and hears what comes from there."""
        return DatagramPeer(self.network.post.connect(address))

    def datagram_server(self, address: Address) -> DatagramPeer:
        """A peer at a udp address, or a member of a multicast group."""
        return DatagramPeer(self.network.post.bind(address))

    def _serve(
        self,
        server: SimulatedServer,
        acceptor: Acceptor,
        on_connect: Callable[[Peer], None] | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        peer = Peer()
        server.peers.append(peer)
        if on_connect is not None:
            on_connect(peer)
        endpoint = acceptor.backlog.popleft()
        peer.attach(over(endpoint, tls, self.timeline, server_side=True))

    # -- time --------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.timeline.now

    def run(self, until: Callable[[], bool] | None = None, limit: float = 3600.0) -> None:
        """Run until the condition holds; without one, until nothing is left to happen.

        `limit` is in virtual seconds. Raises Stuck when it passes, or when nothing is left to
        happen and the condition does not hold; and what a continuation raised.
        """
        last = self.now + limit
        try:
            while until is None or not until():
                if not self.step():
                    if until is None:
                        return
                    raise Stuck(
                        f"seed={self.seed}: nothing is left to happen at {self.now}s, "
                        "and what was waited for has not"
                    )
                if self.now > last:
                    raise Stuck(f"seed={self.seed}: not done within {limit}s of virtual time")
        finally:
            self._phantom.leave()

    def step(self) -> bool:
        """Let one thing happen, the next in time; one of them by chance. False: there is none.

        For scripts that look at each step; `run` is for all others.
        """
        now = self.now
        waiting: list[Callable[[], None]] = [
            partial(self._turn, driver) for driver in self.drivers if driver.wants_turn()
        ]
        arranged = self.timeline.next_time()
        if arranged is not None and arranged <= now:
            waiting.append(self.timeline.step)
        if waiting:
            self._spinning += 1
            if self._spinning > SPIN:
                raise Stuck(f"seed={self.seed}: turning for ever at {now}s")
            self.random.choice(waiting)()
            return True
        self._spinning = 0
        when = self._next_time()
        if when is not None:
            self.timeline.now = when
        return when is not None

    def elapse(self, seconds: float) -> None:
        """Run for so long."""
        end = self.now + seconds
        self.timeline.at(end, _nothing)
        self.run(until=lambda: self.now >= end, limit=seconds)

    def stop(self, seconds: float) -> None:
        """Stop the process for so long (SIGSTOP, a suspended laptop): the network goes on."""
        end = self.now + seconds
        for driver in self.drivers:
            driver.stopped_until = end
        self.timeline.at(end, _nothing)

    def _next_time(self) -> float | None:
        times = [
            driver.engine.next_deadline()
            for driver in self.drivers
            if driver.stopped_until <= self.now
        ]
        times.append(self.timeline.next_time())
        return min((time for time in times if time is not None), default=None)

    def _turn(self, driver: SimDriver) -> None:
        driver.turn()
        if self._mistakes:
            mistake = self._mistakes.pop()
            if isinstance(mistake.__cause__, KeyboardInterrupt):
                raise mistake.__cause__  # Ctrl-C, as likely as not: it ends a run of tests
            raise mistake

    def note(self, level: Level, text: str, error: Exception | None = None) -> None:
        """Take what an engine logs: see Log. A mistake is raised by `run`."""
        self.log.append((self.now, level, text))
        if error is not None:
            self._mistakes.append(error)


def _nothing() -> None:
    """Time has passed."""


def seeds(count: int) -> Iterator[int]:
    """The seeds to run: VCPROXY_SEED alone if it is set, else VCPROXY_SEEDS or `count` of them."""
    if "VCPROXY_SEED" in os.environ:
        yield int(os.environ["VCPROXY_SEED"])
    else:
        yield from range(int(os.environ.get("VCPROXY_SEEDS", count)))
