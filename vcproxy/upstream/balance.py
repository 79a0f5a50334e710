"""Balance: which server gets the next connection or request. No I/O and no timers.

`pick` chooses among at least one server that could all be used, and may be called any number of
times. `picked` records that this server was used. `arrange` is called first, and again whenever the
servers of the upstream change: each server's `position` is its index among them.

A server's `share` is its weight, or less during its slow start. A policy with `uses_share` gives
each server exactly that. For the others ServerSet leaves out servers in their slow start at random.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from random import Random

    from vcproxy.upstream.server import Server

POINTS = 100
"""Points on the hash circle for each unit of weight: shares are then even within about a tenth (the
spread is one part in the square root of it), and ten servers take 100 us to arrange."""


class Balance(Protocol):
    """A balancing policy."""

    uses_share: ClassVar[bool]
    """Whether each server gets exactly its `share`."""
    repeatable: ClassVar[bool]
    """Whether `pick` returns the same until `picked` is called, and changes nothing."""

    def arrange(self, servers: Sequence[Server]) -> None:
        """Prepare for these servers: all of the upstream, up or not."""

    def pick(self, servers: Sequence[Server], key: str) -> Server:
        """Return the server for the next connection. `key`: equal keys belong to one server."""

    def picked(self, server: Server, servers: Sequence[Server]) -> None:
        """Record that `pick` has returned a server of `among`, and that it is used."""


class RoundRobin:
    """Each server in turn."""

    uses_share: ClassVar[bool] = False
    repeatable: ClassVar[bool] = True

    def __init__(self) -> None:
        self._turn = 0

    def arrange(self, servers: Sequence[Server]) -> None:
        """See Balance."""

    def pick(self, servers: Sequence[Server], key: str) -> Server:
        """See Balance: the next of these."""
        turn = self._turn
        if turn < len(servers) and servers[turn].position == turn:  # usually all are up
            return servers[turn]
        place = bisect(servers, turn - 1, key=attrgetter("position"))
        return servers[place % len(servers)]

    def picked(self, server: Server, servers: Sequence[Server]) -> None:
        """See Balance."""
        self._turn = server.position + 1


class Weighted:
    """Each server in turn, in proportion to its share, evenly spread (nginx's algorithm)."""

    uses_share: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    def __init__(self) -> None:
        self._credits: dict[Server, float] = {}
        """The credit of each server: the shares added so far, less the cost of its turns."""

    def arrange(self, servers: Sequence[Server]) -> None:
        """See Balance."""
        self._credits = dict.fromkeys(servers, 0)

    def pick(self, servers: Sequence[Server], key: str) -> Server:
        """See Balance: the one with the highest credit."""
        credit = self._credits
        return max(servers, key=lambda server: credit.get(server, 0) + server.share)

    def picked(self, server: Server, servers: Sequence[Server]) -> None:
        """See Balance: add to each server its share; subtract the sum from the used server."""
        credit = self._credits
        for each in servers:
            credit[each] = credit.get(each, 0) + each.share
        credit[server] -= sum(each.share for each in servers)


class LeastConnections:
    """The server with the fewest connections relative to its share; equal ones in turn."""

    uses_share: ClassVar[bool] = False
    repeatable: ClassVar[bool] = True

    def __init__(self) -> None:
        self._turns = RoundRobin()

    def arrange(self, servers: Sequence[Server]) -> None:
        """See Balance."""

    def pick(self, servers: Sequence[Server], key: str) -> Server:
        """See Balance."""
        loads = [server.load for server in servers]
        least = min(loads)
        idlest = [server for server, load in zip(servers, loads, strict=True) if load == least]
        return self._turns.pick(idlest, key)

    def picked(self, server: Server, servers: Sequence[Server]) -> None:
        """See Balance."""
        self._turns.picked(server, servers)


class RandomOfTwo:
    """The less loaded of two servers chosen at random. Many proxies, each of which counts only its
    own connections, then do not all choose the same server (Mitzenmacher, 2001)."""

    uses_share: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False

    def __init__(self, random: Random) -> None:
        self._random = random

    def arrange(self, servers: Sequence[Server]) -> None:
        """See Balance."""

    def pick(self, servers: Sequence[Server], key: str) -> Server:
        """See Balance."""
        if len(servers) == 1:
            return servers[0]
        return min(self._random.sample(servers, 2), key=_load)

    def picked(self, server: Server, servers: Sequence[Server]) -> None:
        """See Balance."""


class ConsistentHash:
    """The same server for the same key: keys and servers are points on a circle, and each key
    belongs to the next server on it. When a server leaves, only its keys move to others."""

    uses_share: ClassVar[bool] = False
    repeatable: ClassVar[bool] = True

    def __init__(self) -> None:
        self._points: list[int] = []
        self._owners: list[Server] = []

    def arrange(self, servers: Sequence[Server]) -> None:
        """See Balance."""
        circle = sorted(
            (_point(f"{server.name} {number}"), server.position, server)
            for server in servers
            for number in range(POINTS * server.weight)
        )
        self._points = [point for point, _, _ in circle]
        self._owners = [server for _, _, server in circle]

    def pick(self, servers: Sequence[Server], key: str) -> Server:
        """See Balance."""
        owners = self._owners
        place = bisect(self._points, _point(key)) % len(owners)
        while owners[place] not in servers:
            place = (place + 1) % len(owners)
        return owners[place]

    def picked(self, server: Server, servers: Sequence[Server]) -> None:
        """See Balance."""


BALANCES: dict[str, Callable[[Random], Balance]] = {
    "round_robin": lambda _: RoundRobin(),
    "weighted": lambda _: Weighted(),
    "least_connections": lambda _: LeastConnections(),
    "random_of_two": RandomOfTwo,
    "hash": lambda _: ConsistentHash(),
}
"""The factory of each policy, by the policy's name; it gets the engine's source of randomness."""

_load = attrgetter("load")


def _point(text: str) -> int:
    """Return the point of a text on the circle: the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
