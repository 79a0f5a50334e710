"""Admission: which clients a listener serves, and how often.

It decides at three places: the engine, for each accepted connection whose client is known; the
driver, for each datagram; and a session of HTTP, for each request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.admission.refusal import Refusal

if TYPE_CHECKING:
    from vcproxy.admission.networks import AdmittedAddresses
    from vcproxy.admission.rate import RateLimits

REMEMBERED = 1024
"""Addresses whose answer is remembered: most clients come again."""

NO_ADDRESS = ""
"""The address of a client at a Unix socket. No network contains it, and none excludes it: the mode
and the owner of the socket's file decide who may connect."""


class Admission:
    """The rules of one listener. All its engines share them.

    `addresses`: those that are admitted; None: all.
    """

    __slots__ = ("_addresses", "_known", "connections", "datagrams", "forwards", "requests")

    def __init__(self, addresses: AdmittedAddresses | None = None) -> None:
        self._addresses = addresses
        self._known: dict[str, bool] = {}
        self.connections: RateLimits | None = None
        """The limits for connections; None: there are none, as below."""
        self.datagrams: RateLimits | None = None
        """The limits for datagrams. They have buckets of their own, because a replay sees no
        refused datagram."""
        self.requests: RateLimits | None = None
        """The limits for the requests of HTTP, which are counted instead of connections."""
        self.forwards: Callable[[str], bool] | None = None
        """Whether a peer is a proxy that names its clients in each request: then the session checks
        their addresses, and not that of the peer. None: no peer is."""

    def permits(self, address: str) -> bool:
        """Return whether `allow` and `deny` admit an IP address; NO_ADDRESS: always."""
        addresses, known = self._addresses, self._known
        if addresses is None or not address:
            return True
        answer = known.get(address)
        if answer is None:
            if len(known) >= REMEMBERED:
                known.clear()
            answer = known[address] = address in addresses
        return answer

    @property
    def why_not(self) -> str:
        """Why an address is not permitted, in words."""
        return "" if self._addresses is None else self._addresses.why_not

    def refuses_datagram(
        self, address: str, now: float, *, known: bool
    ) -> tuple[Refusal, str] | None:
        """Decide about a datagram, and count it if it is admitted; returns the same as `refuses`.

        `known`: it belongs to a session, so its address was checked before.
        """
        if not (known or self.permits(address)):
            return Refusal.DENIED, self.why_not
        return _exceeded(self.datagrams, address, now)

    def refuses(self, address: str, now: float) -> tuple[Refusal, str] | None:
        """Decide about a new connection, and count it if it is admitted.

        Returns:
            None: it is admitted. Otherwise why not, also in words.
        """
        if not self.permits(address) and not (self.forwards and self.forwards(address)):
            return Refusal.DENIED, self.why_not
        return _exceeded(self.connections, address, now)


def _exceeded(limits: RateLimits | None, address: str, now: float) -> tuple[Refusal, str] | None:
    exceeded = None if limits is None else limits.take(limits.keys(address), now)
    return None if exceeded is None else (Refusal.RATE, f"more than {exceeded[1].text}")
