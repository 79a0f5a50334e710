"""What many permanent connections do when their server goes away and comes back.

The figures are those of the attempts to connect: from the loss to the moment when all are back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic

from vcproxy.bus.connections.message_listener import MessageListener
from vcproxy.bus.connections.permanent_connection import ConnectionUp, PermanentConnection
from vcproxy.bus.dispatch.dispatcher import Dispatcher
from vcproxy.drivers.epoll import EpollDriver
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.mutex import Mutex
from vcproxy.upstream.pauses import Pauses

WINDOW_S = 0.1
ADDRESS = Address.parse("tcp://service:1")


@dataclass(frozen=True)
class Returned:
    """The figures of one return."""

    longest_s: float
    """The longest pause."""
    back_s: float
    """From the moment when the server listens again until all are connected."""
    attempts: int
    most: int
    """The most attempts in any window of WINDOW_S, wherever it begins."""
    mean: float
    """The mean number of attempts in such a window."""

    @property
    def crowd(self) -> float:
        """How many times the mean the most are."""
        return self.most / self.mean


def figures(
    attempts: Sequence[float], longest_s: float, lost: float, listens: float, back: float
) -> Returned:
    """Return the figures; the times are those of each attempt, and of what happened."""
    within = sorted(when for when in attempts if lost <= when <= back)
    most = max(bisect_left(within, when + WINDOW_S) - at for at, when in enumerate(within))
    mean = len(within) * WINDOW_S / (back - lost)
    return Returned(longest_s, back - listens, len(within), most, mean)


class NotedPauses(Pauses):
    """Notes when the attempt after each pause is made."""

    def __init__(self, engine: Engine, pauses: Sequence[float], attempts: list[float]) -> None:
        super().__init__(engine.random, pauses)
        self._engine = engine
        self._attempts = attempts

    def next_s(self) -> float:
        seconds = super().next_s()
        self._attempts.append(self._engine.now + seconds)
        return seconds


class Clients(Continuation):
    """Permanent connections to one address, and when their attempts were made."""

    def __init__(
        self, engine: Engine, address: Address, count: int, pauses: Sequence[float]
    ) -> None:
        super().__init__(engine, Mutex())
        self.attempts: list[float] = []
        self.last_up = 0.0
        """When the last connection was made."""
        with self.mutex.hold(engine):
            self.connections = [
                PermanentConnection(
                    self,
                    address,
                    name=f"client {number}",
                    backoff=NotedPauses(engine, pauses, self.attempts),
                )
                for number in range(count)
            ]

    @property
    def up(self) -> int:
        """How many are connected."""
        return sum(connection.up for connection in self.connections)

    def handle_event(self, key: Hashable, data: object) -> None:
        if key is ConnectionUp:
            self.last_up = self.engine.now

    def close(self) -> None:
        """Close all of them."""
        with self.mutex.hold(self.engine):
            for connection in self.connections:
                connection.close()


def listener(engine: Engine, count: int) -> MessageListener:
    """Return a service for that many."""
    dispatcher = Dispatcher("service", log=engine.log)
    return MessageListener(engine, "service", dispatcher, max_connections=count)


def simulated(
    count: int, pauses: Sequence[float], outage_s: float, seed: int, *, whole: bool
) -> Returned:
    """Take the server away for a time, in virtual time.

    `whole`: the attempts of the whole outage count; else those since the server listens again.
    """
    with Simulation(seed) as sim:
        service = sim.driver("service")
        clients = sim.driver("clients", memory=1 << 30)
        sim.random = clients.engine.random = Random(seed)
        address = service.listen(ADDRESS, listener(service.engine, count))
        made = Clients(clients.engine, address, count, pauses)
        sim.run(until=lambda: made.up == count)
        sim.elapse(max(pauses) + 1)
        lost = sim.now
        service.close()
        sim.elapse(outage_s)
        assert made.up == 0
        listens = sim.now
        service = sim.driver("service again")
        service.listen(ADDRESS, listener(service.engine, count))
        sim.run(until=lambda: made.last_up > listens and made.up == count)
        made.close()
        return figures(
            made.attempts, max(pauses), lost if whole else listens, listens, made.last_up
        )


def real(count: int, pauses: Sequence[float], outage_s: float, *, whole: bool) -> Returned:
    """The same with sockets of this host. One thread runs the driver of the clients and that of
    the server. Raises TimeoutError if a phase takes more than a minute longer than it must."""
    drivers = {"clients": _driver("clients"), "service": _driver("service")}

    def turn(until: Callable[[], bool], at_most_s: float) -> None:
        last = monotonic() + at_most_s
        while not until():
            for driver in drivers.values():
                driver.turn(0.002)
            if monotonic() > last:
                raise TimeoutError(f"{made.up} of {count} are connected after {at_most_s} s")

    def elapse(seconds: float) -> None:
        end = monotonic() + seconds
        turn(lambda: monotonic() >= end, seconds + 60)

    try:
        service, clients = drivers["service"], drivers["clients"]
        address = service.listen(
            Address.parse("tcp://127.0.0.1:0"), listener(service.engine, count)
        )
        made = Clients(clients.engine, address, count, pauses)
        turn(lambda: made.up == count, 60)
        elapse(max(pauses) + 1)
        lost = monotonic()
        drivers.pop("service").close()
        elapse(outage_s)
        assert made.up == 0
        service = drivers["service"] = _driver("service again")
        listens = monotonic()
        service.listen(address, listener(service.engine, count))
        turn(lambda: made.last_up > listens and made.up == count, 60)
        made.close()
        turn(lambda: not clients.engine.vcs, 60)
        begin = lost if whole else listens
        return figures(made.attempts, max(pauses), begin, listens, made.last_up)
    finally:
        for driver in drivers.values():
            driver.close()


def _driver(name: str) -> EpollDriver:
    return EpollDriver(Engine(name, memory=1 << 30, random=Random(), log=_ignore))


def _ignore(level: str, text: str, error: Exception | None = None) -> None:
    """Log errors only: each loss is logged as info."""
    if level == "error":
        raise AssertionError(text) from error
