"""Simulation: engines and peers on one network in memory, in virtual time, from one seed.

The same seed and the same script give the same run: the same driver calls with the same plaintext.

Tested in tests/drivers/test_sim.py.
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
from vcproxy.drivers.sim.lock_contention import LockContention
from vcproxy.drivers.sim.network import Acceptor, Network
from vcproxy.drivers.sim.peer import Peer
from vcproxy.drivers.sim.processes import ProcessFaults, SimProcesses
from vcproxy.drivers.sim.tls_stream import wrap_tls
from vcproxy.drivers.sim.virtual_clock import VirtualClock
from vcproxy.engine.engine import Engine
from vcproxy.engine.log_function import Level, LogFunction

if TYPE_CHECKING:
    import ssl

    from vcproxy.drivers.sim.link import Endpoint, HandshakeResult
    from vcproxy.engine.address import Address

MAX_STEPS = 200_000
"""Limit of steps at one virtual time: more are treated as an endless loop."""


class Stuck(AssertionError):
    """The condition of a run was not reached: no event is left, or the time limit has passed."""


class SimulatedServer:
    """A scripted server: it has one Peer for each connection."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.peers: list[Peer] = []


class Simulation:
    """A network with engines and peers, for tests.

    As a context manager it adds the seed to an exception, as a note.

        with Simulation(seed, NetworkFaults.all()) as sim:
            proxy = sim.driver("proxy")
            address = proxy.listen(Address.parse("tcp://proxy:0"), listener)
            client = sim.client(address)
            client.send(b"hello")
            sim.run(until=lambda: client.received == b"hello")
    """

    def __init__(
        self,
        seed: int,
        faults: NetworkFaults | None = None,
        *,
        process_faults: ProcessFaults | None = None,
        trace: bool = False,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.faults = faults or NetworkFaults()
        self.clock = VirtualClock()
        self.network = Network(self.clock, self.random, self.faults)
        self.files = self.network.files
        """The file system, which scripts change and sources (FileChanges) watch."""
        self.drivers: list[SimDriver] = []
        """Without those of processes."""
        self.log: list[tuple[float, Level, str]] = []
        """The engines' log lines: (virtual time, level, text)."""
        self.trace: list[TraceEntry] | None = [] if trace else None
        """Every driver call, with `trace`."""
        self._errors: list[Exception] = []
        self._steps = 0  # number of steps at the present virtual time
        self._contention = LockContention(self.network)
        self.processes = SimProcesses(
            self.network, process_faults or ProcessFaults(), self._process_driver
        )
        """The processes that engines have launched (ChildProcess)."""
        self.network.processes = self.processes
        self.programs = self.processes.programs
        """The programs that can be launched, by path: functions of a SimProcess."""
        self._turns = self.processes.turns

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

    # -- engines and peers -------------------------------------------------------------------

    def driver(
        self,
        name: str = "engine",
        *,
        memory: int = 64 << 20,
        bridges: bool = True,
        direct: bool = True,
        log: LogFunction | None = None,
    ) -> SimDriver:
        """Return the driver of a new engine. Without `log`, `run` raises callbacks' exceptions."""
        engine = Engine(
            name,
            memory=memory,
            random=self.random,
            log=log or self.record_log,
            bridges=bridges,
            direct=direct,
        )
        return self.attach(engine)

    def attach(self, engine: Engine, kind: Callable[..., SimDriver] = SimDriver) -> SimDriver:
        """Return a driver of class `kind` for an existing engine."""
        driver = kind(engine, self.network, self._contention, self.trace)
        self.drivers.append(driver)
        return driver

    def _process_driver(self, name: str) -> SimDriver:
        """Return the driver of an engine of a simulated process."""
        engine = Engine(name, memory=64 << 20, random=self.random, log=self.record_log)
        return SimDriver(engine, self.network, self._contention, self.trace)

    def client(
        self,
        address: Address,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        client_ip: str = "",
        handshake: HandshakeResult | None = None,
    ) -> Peer:
        """Return a peer that connects to an address; if that fails, its `error` is set.

        Args:
            address: where to connect to.
            tls: a client's SSL context; None: plain.
            server_name: the name that the server's certificate must contain; empty: the host.
            client_ip: the peer's own IP address; empty: any.
            handshake: handshake results to report at a tls:// address, without real TLS.
        """
        peer = Peer()

        def done(endpoint: Endpoint | None, error: OSError | None) -> None:
            if endpoint is None:
                peer.attach(None, error)
            else:
                endpoint.outgoing.sink.secure = handshake
                name = server_name or address.host
                peer.attach(wrap_tls(endpoint, tls, self.clock, server_side=False, name=name))

        self.network.connect(address, done, client_ip and f"{client_ip}:{self.network.free_port()}")
        return peer

    def server(
        self,
        address: Address,
        on_connect: Callable[[Peer], None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> SimulatedServer:
        """Return a server that listens at an address; `on_connect(peer)` is called for each client,
        before any of its data, and sets the peer's script."""
        acceptor = self.network.listen(address)
        server = SimulatedServer(acceptor.address)
        acceptor.on_edge = partial(self._serve, server, acceptor, on_connect, tls)
        return server

    def datagram_client(self, address: Address) -> DatagramPeer:
        """Return a peer connected to a udp address: it sends there and receives from there."""
        return DatagramPeer(self.network.datagrams.connect(address))

    def datagram_server(self, address: Address) -> DatagramPeer:
        """Return a peer bound to a udp address, or a member of a multicast group."""
        return DatagramPeer(self.network.datagrams.bind(address))

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
        peer.attach(wrap_tls(endpoint, tls, self.clock, server_side=True))

    # -- time --------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.clock.now

    def run(self, until: Callable[[], bool] | None = None, limit: float = 3600.0) -> None:
        """Run until the condition holds; without one, until no event is left.

        `limit` is in virtual seconds. Raises Stuck when it passes, or when no event is left and the
        condition does not hold; and the exception of a callback.
        """
        last = self.now + limit
        try:
            while until is None or not until():
                if not self.step():
                    if until is None:
                        return
                    raise Stuck(
                        f"seed={self.seed}: no event is left at {self.now}s, "
                        "and the condition does not hold"
                    )
                if self.now > last:
                    raise Stuck(f"seed={self.seed}: the condition does not hold after {limit} s")
        finally:
            self._contention.release_all()

    def step(self) -> bool:
        """Handle the next event, or advance the time to it; return False if no event is left.

        Of several events at one time, one is chosen at random. For scripts that check each step;
        other scripts use `run`.
        """
        now = self.now
        ready = [driver for driver in self.drivers if driver.wants_turn()]
        scheduled = self.clock.next_time()
        due = scheduled is not None and scheduled <= now
        first = len(ready) + due  # then follow the drivers of processes
        total = first + self._turns.due()
        if total:
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise Stuck(f"seed={self.seed}: endless loop at {now}s")
            chosen = self.random.choice(range(total))
            if chosen < len(ready):
                self._turn(ready[chosen])
            elif chosen < first:
                self.clock.step()
            else:
                driver = self._turns.take(chosen - first)
                if driver is not None:
                    self._turn(driver)
                    self._turns.done(driver)
            return True
        self._steps = 0
        when = self._next_time()
        if when is not None:
            self.clock.now = when
        return when is not None

    def elapse(self, seconds: float) -> None:
        """Run for a time, in virtual seconds."""
        end = self.now + seconds
        self.clock.at(end, _nothing)
        self.run(until=lambda: self.now >= end, limit=seconds)

    def suspend(self, seconds: float) -> None:
        """Suspend all drivers for a time (a sleeping computer); the network continues."""
        end = self.now + seconds
        running = self.processes.running.values()
        for driver in (*self.drivers, *(each for process in running for each in process.drivers)):
            driver.suspended_until = end
        self.clock.at(end, self._turns.wake_all)

    def _next_time(self) -> float | None:
        times = [
            driver.engine.next_deadline()
            for driver in self.drivers
            if driver.suspended_until <= self.now and not driver.halted
        ]
        times += self.clock.next_time(), self._turns.next_time()
        return min((time for time in times if time is not None), default=None)

    def _turn(self, driver: SimDriver) -> None:
        driver.turn()
        if self._errors:
            error = self._errors.pop()
            if isinstance(error.__cause__, KeyboardInterrupt):
                raise error.__cause__  # probably Ctrl-C: it must end the run of tests
            raise error

    def record_log(self, level: Level, text: str, error: Exception | None = None) -> None:
        """Keep a log line. See LogFunction. `run` raises the exception of a callback."""
        self.log.append((self.now, level, text))
        if error is not None:
            self._errors.append(error)


def _nothing() -> None:
    """Do nothing: the scheduled call only makes the time advance."""


def seeds(count: int) -> Iterator[int]:
    """Return a test's seeds: VCPROXY_SEED alone if set, else VCPROXY_SEEDS or `count` seeds."""
    if "VCPROXY_SEED" in os.environ:
        yield int(os.environ["VCPROXY_SEED"])
    else:
        yield from range(int(os.environ.get("VCPROXY_SEEDS", count)))
