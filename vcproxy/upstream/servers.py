"""Servers: an upstream's list, and the order in which to try it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vcproxy.engine.address import Address


@dataclass(frozen=True, slots=True)
class Server:
    """One server of an upstream."""

    address: Address
    tls: object = None
    """What the driver needs to speak TLS to it; None: plain."""


class RoundRobin:
    """Each connection begins with the server after the one that the last began with.

    One for each engine: nothing is shared between net threads.
    """

    __slots__ = ("_next", "_servers")

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = tuple(servers)
        self._next = 0

    def order(self) -> list[Server]:
        """The servers to try for a new connection, in turn, each once."""
        start = self._next
        self._next = (start + 1) % len(self._servers)
        return [*self._servers[start:], *self._servers[:start]]
