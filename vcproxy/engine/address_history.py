"""AddressHistory: addresses that did not answer lately are tried after all others."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine

SILENT_S = 60.0
"""How long one that did not answer comes last. RFC 6555 (4.2) would keep it for ten minutes, but a
try costs no more than the attempt delay, and one that is back should be found."""

MOST = 1024
"""Addresses that are remembered: the oldest is forgotten for one more."""


class AddressHistory:
    """What one engine's attempts to connect have taught it."""

    __slots__ = ("_engine", "_silent")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._silent: dict[Address, float] = {}  # until when, the first first

    def ordered(self, addresses: Iterable[Address]) -> list[Address]:
        """The addresses of a name in the order in which to try them.

        The resolver's, with the families by turns (RFC 8305, 4), and behind all others those that
        did not answer lately.
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
        """A connection was made."""
        self._silent.pop(address, None)

    def silent(self, address: Address) -> None:
        """There was no answer for longer than it should take."""
        self._silent.pop(address, None)
        self._silent[address] = self._engine.now + SILENT_S
        if len(self._silent) > MOST:
            del self._silent[next(iter(self._silent))]
