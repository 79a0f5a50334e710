"""Balance: who gets the next connection or request. Pure: numbers in, a server out.

`pick` says whose turn it is among servers, at least one, that could all do it; it may be asked
again and again. `picked` says that this one has got it. `arrange` comes before, and whenever the
servers of the upstream have become others: each server's `position` is its place among them.

A server's `share` is its weight, or less while it warms up. A policy that `weighs` gives each just
that much. Others see a server that warms up less often: see ServerSet.
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
"""On the circle, for each unit of weight: shares are even within about a tenth then (the spread is
one part in the square root of it), and ten servers take 100 us to arrange."""


class Balance(Protocol):
    """A policy."""

    weighs: ClassVar[bool]
    """Whether each server gets exactly what its `share` says."""

    def arrange(self, servers: Sequence[Server]) -> None:
        """Take note of all servers that there are."""

    def pick(self, servers: Sequence[Server], key: str) -> Server:
        """Whose turn it is. `key` says what belongs together, where that matters."""

    def picked(self, server: Server, servers: Sequence[Server]) -> None:
        """Count the turn of a server that was picked among these."""


class RoundRobin:
    """Each server in its turn."""

    weighs: ClassVar[bool] = False

    def __init__(self) -> None:
        self._turn = 0

    def arrange(self, servers: Sequence[Server]) -> None:
        """See Balance."""

    def pick(self, servers: Sequence[Server], key: str) -> Server:
        """See Balance: the next of these."""
        turn = self._turn
        if turn < len(servers) and servers[turn].position == turn:  # all are there, as mostly
            return servers[turn]
        place = bisect(servers, turn - 1, key=attrgetter("position"))
        return servers[place % len(servers)]

    def picked(self, server: Server, servers: Sequence[Server]) -> None:
        """See Balance."""
        self._turn = server.position + 1


class Weighted:
    """Each server in its turn, as often as its share says, and evenly spread (nginx's way)."""

    weighs: ClassVar[bool] = True

    def __init__(self) -> None:
        self._credits: dict[Server, float] = {}
        """What its share has earned each server, and its turns have not yet cost."""

    def arrange(self, servers: Sequence[Server]) -> None:
        """See Balance."""
        self._credits = dict.fromkeys(servers, 0)

    def pick(self, servers: Sequence[Server], key: str) -> Server:
        """See Balance: who has earned most."""
        credit = self._credits
        return max(servers, key=lambda server: credit.get(server, 0) + server.share)

    def picked(self, server: Server, servers: Sequence[Server]) -> None:
        """See Balance: all have earned their share, and one has spent all of that."""
        credit = self._credits
        for each in servers:
            credit[each] = credit.get(each, 0) + each.share
        credit[server] -= sum(each.share for each in servers)


class LeastConnections:
    """The server that has least to do, for its share; of several, each in its turn."""

    weighs: ClassVar[bool] = False

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
    """Of two servers by chance, the one with less to do: many proxies, each of which sees but its
    own connections, do not all run to one server (Mitzenmacher, 2001)."""

    weighs: ClassVar[bool] = False

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
    """One key, one server, as long as it is there: keys and servers lie on a circle, and each key
    belongs to the server that comes next. Only the keys of a server that leaves go elsewhere."""

    weighs: ClassVar[bool] = False

    def __init__(self) -> None:
        self._points: list[int] = []
        self._owners: list[Server] = []

    def arrange(self, servers: Sequence[Server]) -> None:
        """See Balance."""
        circle = sorted(
            (_place(f"{server.name} {number}"), server.position, server)
            for server in servers
            for number in range(POINTS * server.weight)
        )
        self._points = [point for point, _, _ in circle]
        self._owners = [server for _, _, server in circle]

    def pick(self, servers: Sequence[Server], key: str) -> Server:
        """See Balance."""
        owners = self._owners
        place = bisect(self._points, _place(key)) % len(owners)
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
"""Each policy by its name; it is given what chance is."""

_load = attrgetter("load")


def _place(text: str) -> int:
    """A place on the circle that is the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
