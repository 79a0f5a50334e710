"""AddressHistory: moves addresses that recently did not answer to the end of the list.

Tested in tests/engine/test_outgoing.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.event_dispatcher import EventDispatcher

SILENT_S = 60.0
"""How long an address that did not answer is tried last. RFC 6555 (4.2) suggests ten minutes, but
an attempt costs no more than the attempt delay, and an address that works again should be found."""

MOST = 1024
"""The most addresses stored; one more removes the oldest."""


class AddressHistory:
    """The addresses that did not answer one engine's attempts to connect."""

    __slots__ = ("_engine", "_silent")

    def __init__(self, engine: EventDispatcher) -> None:
        self._engine = engine
        # the end of each address's penalty, the earliest first
        self._silent: dict[Address, float] = {}

    def ordered(self, addresses: Iterable[Address]) -> list[Address]:
        """Return the addresses of a name in the order in which to try them.

        It is the resolver's order with the families alternating (RFC 8305, 4), and addresses that
        did not answer lately last.
        """
        addresses = list(addresses)
        if len(addresses) < 2:
            return addresses
        first: list[Address] = []
        second: list[Address] = []
        for address in dict.fromkeys(addresses):
            same = not first or (":" in address.host) is (":" in first[0].host)
            (first if same else second).append(address)
        turns = chain.from_iterable(zip_longest(first, second))
        mixed = [address for address in turns if address is not None]
        now = self._engine.now
        return sorted(mixed, key=lambda address: self._silent.get(address, now) > now)

    def answered(self, address: Address) -> None:
        """Record that a connection to the address was made."""
        self._silent.pop(address, None)

    def silent(self, address: Address) -> None:
        """Record that the address did not answer within the attempt delay."""
        self._silent.pop(address, None)
        self._silent[address] = self._engine.now + SILENT_S
        if len(self._silent) > MOST:
            del self._silent[next(iter(self._silent))]
