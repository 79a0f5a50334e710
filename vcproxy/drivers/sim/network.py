"""Network: who listens where, how connections come about, and which faults befall them."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from vcproxy.drivers.sim.link import Endpoint, Link, Sign, nobody
from vcproxy.drivers.sim.post import Post
from vcproxy.engine.address import Address
from vcproxy.engine.failures import NotResolved, Unroutable

if TYPE_CHECKING:
    from random import Random

    from vcproxy.drivers.sim.faults import NetworkFaults, Span
    from vcproxy.drivers.sim.timeline import Timeline

ANY_HOST = ("0.0.0.0", "::")

FIRST_FREE_PORT = 40_000

EPOCH = 1_767_225_600
"""The first second of 2026, UTC: when simulations begin."""

Connected: TypeAlias = Callable[[Endpoint | None, OSError | None], None]


class Acceptor:
    """A listening endpoint: connections wait in `backlog` until its owner takes them."""

    __slots__ = ("address", "backlog", "on_edge")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.backlog: deque[Endpoint] = deque()
        self.on_edge: Callable[[], None] = nobody

    def close(self) -> None:
        """Refuse those that nobody has taken."""
        while self.backlog:
            self.backlog.popleft().reset()


class Network:
    """Every host of a simulation, on one wire."""

    def __init__(self, timeline: Timeline, random: Random, faults: NetworkFaults) -> None:
        self.timeline = timeline
        self.random = random
        self.faults = faults
        self.names: dict[str, list[str]] = {}
        """The hosts that a name stands for, in order; one that is missing stands for itself."""
        self.unroutable: set[str] = set()
        """Hosts that there is no way to."""
        self.silent: set[str] = set()
        """The hosts that answer nothing: a connection to one is neither made nor refused."""
        self.epoch: int | None = EPOCH
        """The time of day when the simulation began; None: nobody knows what time it is."""
        self.cut_until = 0.0
        self.post = Post(self)
        """Where datagrams go."""
        self._acceptors: dict[tuple[str, int, str], Acceptor] = {}
        self._last_port = FIRST_FREE_PORT - 1

    # -- faults ------------------------------------------------------------------------------

    def happens(self, chance: float) -> bool:
        """Whether something of that chance happens this time."""
        return chance > 0 and self.random.random() < chance

    def span(self, span: Span) -> float:
        """How long something takes this time."""
        least, most = span
        return self.random.uniform(least, most) if most else 0.0

    def portion(self, count: int) -> int:
        """How many of `count` bytes are moved this time."""
        if self.happens(self.faults.one_byte):
            return min(count, 1)
        if count and self.happens(self.faults.short):
            return self.random.randint(1, count)
        return count

    def disturb(self, link: Link) -> None:
        """Let befall a link what befalls it this time."""
        faults, now = self.faults, self.timeline.now
        if self.happens(faults.stall):
            link.held_until = now + self.span(faults.stall_s)
        if self.happens(faults.partition):
            self.partition(self.span(faults.partition_s))
        if self.happens(faults.reset):
            for way in (link, link.sink.outgoing):
                way.lose()
                way.carry(Sign.RESET)

    def partition(self, seconds: float) -> None:
        """Cut the network for a while: what is on its way arrives afterwards."""
        self.cut_until = max(self.cut_until, self.timeline.now + seconds)

    # -- time --------------------------------------------------------------------------------

    def time_of_day(self) -> int:
        """Seconds since 1970, UTC; 0: nobody knows."""
        return 0 if self.epoch is None else self.epoch + int(self.timeline.now)

    # -- connections -------------------------------------------------------------------------

    def resolve(self, address: Address) -> list[Address]:
        """The addresses that an address stands for. Raises OSError when its host is unknown."""
        hosts = self.names.get(address.host, [address.host])
        if not hosts:
            raise NotResolved(f"{address.host}: name or service not known")
        return [replace(address, host=host) for host in hosts]

    def listen(self, address: Address) -> Acceptor:
        """Listen; port 0 gets a free one. Raises OSError when the address is taken."""
        if address.scheme != "unix" and not address.port:
            address = address.with_port(self.free_port())
        key = _key(address)
        if key in self._acceptors:
            raise OSError(errno.EADDRINUSE, f"{address}: {os.strerror(errno.EADDRINUSE)}")
        acceptor = self._acceptors[key] = Acceptor(address)
        return acceptor

    def unlisten(self, acceptor: Acceptor) -> None:
        """Stop listening."""
        del self._acceptors[_key(acceptor.address)]
        acceptor.close()

    def connect(self, address: Address, done: Connected, here: str = "") -> None:
        """Connect, from an address (empty: any); `done` gets the endpoint, or why there is none."""
        arrival = self.timeline.now + self.span(self.faults.latency)
        self.timeline.at(max(arrival, self.cut_until), lambda: self._knock(address, done, here))

    def pair(self, here: str, there: str) -> tuple[Endpoint, Endpoint]:
        """Both ends of a connection: the one that is here, and the one that is there."""
        out, back = Link(self), Link(self)
        return Endpoint(self, back, out, here, there), Endpoint(self, out, back, there, here)

    def _knock(self, address: Address, done: Connected, here: str) -> None:
        if address.host in self.silent:
            return
        acceptor = self._find(address)
        way_back = self.span(self.faults.latency)
        if address.host in self.unroutable:
            done(None, Unroutable(f"{address}: network is unreachable"))
            return
        if acceptor is None or self.happens(self.faults.refuse):
            error = ConnectionRefusedError(f"{address}: connection refused")
            self.timeline.after(way_back, lambda: done(None, error))
            return
        unix = address.scheme == "unix"
        here = here or ("unix:" if unix else f"10.0.0.1:{self.free_port()}")
        there = address.path if unix else f"{address.host}:{address.port}"
        client, accepted = self.pair(here, there)
        acceptor.backlog.append(accepted)
        self.timeline.after(way_back, lambda: done(client, None))
        acceptor.on_edge()

    def _find(self, address: Address) -> Acceptor | None:
        hosts = (address.host, *ANY_HOST) if address.host else ("",)
        for host in hosts:
            acceptor = self._acceptors.get(_key(replace(address, host=host)))
            if acceptor is not None:
                return acceptor
        return None

    def free_port(self) -> int:
        """A port that nobody has."""
        self._last_port += 1
        return self._last_port


def _key(address: Address) -> tuple[str, int, str]:
    return address.host, address.port, address.path
