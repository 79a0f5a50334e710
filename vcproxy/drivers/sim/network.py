"""Network: the listeners, names and connections of a simulation, and the faults of its network.

Tested in tests/drivers/test_sim.py.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from vcproxy.drivers.bus_exchange import BusExchange
from vcproxy.drivers.sim.conditions import Conditions
from vcproxy.drivers.sim.datagram_network import DatagramNetwork
from vcproxy.drivers.sim.files.files import SimFiles
from vcproxy.drivers.sim.link import Endpoint, Link, do_nothing
from vcproxy.drivers.sim.local_streams import ABSENT, BUSY, NATURES, local_pair
from vcproxy.drivers.sim.packets import packet_pair
from vcproxy.drivers.sim.unix_network import UnixNetwork
from vcproxy.engine.address import LOCAL, PACKETS, STANDARD, Address
from vcproxy.engine.failures import NotResolved, Unroutable

if TYPE_CHECKING:
    from random import Random

    from vcproxy.drivers.sim.faults import NetworkFaults
    from vcproxy.drivers.sim.processes import SimProcesses
    from vcproxy.drivers.sim.virtual_clock import VirtualClock

ANY_HOST = ("0.0.0.0", "::")

EPOCH = 1_767_225_600
"""The time of day at the start of a simulation: the first second of 2026, UTC."""

Connected: TypeAlias = Callable[[Endpoint | None, OSError | None], None]


class Acceptor:
    """A listening socket: connections wait in `backlog` until its owner accepts them."""

    __slots__ = ("address", "backlog", "last", "on_edge")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.backlog: deque[Endpoint] = deque()
        self.on_edge: Callable[[], None] = do_nothing
        self.last: Endpoint | None = None
        """The end of the last client."""

    def close(self) -> None:
        """Reset the connections in the backlog."""
        while self.backlog:
            self.backlog.popleft().reset()


class Network(Conditions):
    """All hosts of a simulation, on one network."""

    def __init__(self, clock: VirtualClock, random: Random, faults: NetworkFaults) -> None:
        super().__init__(clock, random, faults)
        self.names: dict[str, list[str]] = {}
        """The hosts of a name, in order. A name without an entry is its own host."""
        self.unroutable: set[str] = set()
        """Hosts without a route: a connect fails with "network is unreachable"."""
        self.unresponsive: set[str] = set()
        """Hosts that do not reply: a connect neither succeeds nor fails."""
        self.epoch: int | None = EPOCH
        """The time of day at the start, in seconds since 1970; None: the time of day is unknown."""
        self.processes: SimProcesses
        """The programs and the processes of the simulation, which sets it."""
        self.datagrams = DatagramNetwork(self)
        """The UDP sockets of the simulation."""
        self.files = SimFiles()
        self.files.clock = lambda: self.time_of_day() * 1_000_000_000
        """The file system of the simulation."""
        self.bus = BusExchange()
        """The BusMessages sources of the simulation."""
        self.unix = UnixNetwork()
        """Its Unix datagram sockets."""
        self._acceptors: dict[tuple[str, int, str], Acceptor] = {}

    # -- time --------------------------------------------------------------------------------

    def time_of_day(self) -> int:
        """Return the seconds since 1970, UTC; 0: unknown."""
        return 0 if self.epoch is None else self.epoch + int(self.clock.now)

    # -- connections -------------------------------------------------------------------------

    def resolve(self, address: Address) -> list[Address]:
        """Return the addresses of an address's host. Raises NotResolved for an unknown host."""
        hosts = self.names.get(address.host, [address.host])
        if not hosts:
            raise NotResolved(f"{address.host}: name or service not known")
        return [replace(address, host=host) for host in hosts]

    def listen(self, address: Address) -> Acceptor:
        """Listen at an address; port 0: a free one. Raises OSError if the address is in use."""
        if address.scheme not in LOCAL and not address.port:
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

    def listens(self, address: Address) -> bool:
        """Return whether a socket listens at an address; udp: is bound. Nothing is sent."""
        if address.scheme == "udp":
            return self.datagrams.is_bound((address.host, address.port))
        if {address.host} & (self.unroutable | self.unresponsive):
            return False
        hosts = self.names.get(address.host, [address.host])
        return any(self._find(replace(address, host=host)) is not None for host in hosts)

    def connect(self, address: Address, done: Connected, local: str = "") -> None:
        """Connect to an address; `done(endpoint, error)` is called with the result.

        `local`: the client's own address; empty: a free one.
        """
        arrival = self.clock.now + self.span(self.faults.latency)
        self.clock.at(
            max(arrival, self.partitioned_until), lambda: self._arrive(address, done, local)
        )

    def pair(self, local: str, peer: str) -> tuple[Endpoint, Endpoint]:
        """Return both endpoints of a new connection: the local one, then the peer's."""
        out, back = Link(self), Link(self)
        return Endpoint(self, back, out, local, peer), Endpoint(self, out, back, peer, local)

    def _arrive(self, address: Address, done: Connected, local: str) -> None:
        """Handle a connection request at its destination."""
        if address.host in self.unresponsive:
            return
        acceptor = self._find(address)
        scheme = address.scheme
        reply_s = self.span(self.faults.latency)
        if address.host in self.unroutable:
            done(None, Unroutable(f"{address}: network is unreachable"))
            return
        error: OSError | None = None
        if acceptor is None or self.happens(self.faults.refuse):
            absent = ABSENT.get(scheme) if acceptor is None else None
            error = (
                ConnectionRefusedError(f"{address}: connection refused")
                if absent is None
                else absent()
            )
        elif scheme in BUSY and acceptor.last is not None and not acceptor.last.over:
            error = OSError(BUSY[scheme])
        if error is not None or acceptor is None:
            self.clock.after(reply_s, lambda: done(None, error))
            return
        client, accepted = self._pair_at(address, local)
        acceptor.last = client
        acceptor.backlog.append(accepted)
        self.clock.after(reply_s, lambda: done(client, None))
        acceptor.on_edge()

    def _pair_at(self, address: Address, local: str) -> tuple[Endpoint, Endpoint]:
        """Return both endpoints of a connection at an address, as its scheme has them."""
        scheme = address.scheme
        if scheme in NATURES:
            return local_pair(self, scheme, *NATURES[scheme])
        if scheme == PACKETS:
            return packet_pair(self, scheme, address.path)
        unix = scheme == "unix"
        local = local or ("unix" if unix else f"10.0.0.1:{self.free_port()}")
        return self.pair(local, address.path if unix else f"{address.host}:{address.port}")

    def _find(self, address: Address) -> Acceptor | None:
        hosts = (address.host, *ANY_HOST) if address.host else ("",)
        for host in hosts:
            acceptor = self._acceptors.get(_key(replace(address, host=host)))
            if acceptor is not None:
                return acceptor
        return None


def _key(address: Address) -> tuple[str, int, str]:
    if address.scheme in STANDARD:
        return address.scheme, 0, ""
    return address.host, address.port, address.path
