"""ListenerWatch: whether a socket listens at an address, as a source.

eventdispatcher has it as a research project (`socket_events`). Linux reports no event when a
socket begins to listen, so the driver looks at intervals.

Tested in tests/conformance/test_listener_watch.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.sources.source import PRIORITY, Source

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.continuation import Continuation

EVERY_S = 10.0
"""The default interval: eventdispatcher's."""

SHORTEST_S = 0.1
"""The shortest interval: a look at another host is a connection, which its server may log."""

SCHEMES = ("tcp", "tls", "udp", "unix")


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket listens at the address."""

    name: str


@dataclass(frozen=True, slots=True)
class NotListening:
    """No socket listens at the address."""

    name: str


class ListenerWatch(Source):
    """Looks at once, and then every `every_s` seconds, whether a socket listens at an address.

    Events: Listening or NotListening for the first look, then one for each change. For an address
    of this host the kernel's table is read. Where that has nothing, and at other hosts, a
    connection is made and closed. A udp address must be one of this host.
    """

    __slots__ = ("address", "every_s")

    def __init__(
        self,
        cont: Continuation,
        name: str,
        address: Address,
        every_s: float = EVERY_S,
        priority: int = PRIORITY,
    ) -> None:
        """Raises ValueError for an address of another scheme, and an interval under 0.1 s."""
        if address.scheme not in SCHEMES:
            raise ValueError(f"{name}: {address}: use one of {', '.join(SCHEMES)}")
        if every_s < SHORTEST_S:
            raise ValueError(f"{name}: every_s is {every_s}: it must be at least {SHORTEST_S}")
        self.address = address
        self.every_s = every_s
        super().__init__(cont, name, priority)

    @property
    def request(self) -> str:
        """See Source."""
        return f"{super().request} {self.address} {self.every_s}"

    @property
    def detail(self) -> str:
        """See Source."""
        return str(self.address)

    def event(self, listening: bool) -> Listening | NotListening:
        """Return the event for what was seen."""
        return (Listening if listening else NotListening)(self.name)
