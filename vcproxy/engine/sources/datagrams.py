"""Datagrams: a UDP socket that exchanges datagrams with any peer, as a source of events.

Connections over UDP are VCs: see `Engine.connect` and listeners. This is for protocols with their
own rules for each peer, such as the mailbox. For Unix sockets there is UnixDatagrams.

Tested in tests/engine/sources/test_source.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Generic, TypeAlias, TypeVar

from vcproxy.engine.commands import SendDatagram
from vcproxy.engine.mutex import current
from vcproxy.engine.sources.source import PRIORITY, Source

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation

HostPort: TypeAlias = tuple[str, int]
"""A numeric IPv4 or IPv6 address without brackets, and a port."""

Peer = TypeVar("Peer", bound=HostPort | str)
"""What identifies a peer: a HostPort, or the path of a Unix socket."""


@lru_cache(maxsize=4096)  # as many as a mailbox has peers: each message shows its peer in a log
def show_peer(peer: HostPort) -> str:
    """Return "host:port", an IPv6 host in brackets."""
    host, port = peer
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Bound:
    """The socket is bound, and has joined its groups."""

    name: str
    address: HostPort
    """With its actual port."""


@dataclass(frozen=True, slots=True)
class BindFailed:
    """The socket cannot be bound, or a group cannot be joined. The last event."""

    name: str
    reason: str
    in_use: bool = False
    """Whether another socket has the address: it may become free."""


@dataclass(slots=True)
class Arrived:
    """One datagram. It is not frozen, because making a frozen one takes three times as long."""

    name: str
    data: bytes
    source: HostPort
    """The sender."""
    group: str = ""
    """The multicast group that it was sent to; "": it was sent to the address of the socket."""


class SendingSource(Source, Generic[Peer]):
    """A socket that also sends datagrams, to any peer."""

    __slots__ = ("outlet",)

    def __init__(self, cont: Continuation, name: str, priority: int = PRIORITY) -> None:
        self.outlet: Callable[[bytes, Peer], None] | None = None
        """Sends a datagram now; set by the driver that has opened the source."""
        super().__init__(cont, name, priority)

    def send(self, data: bytes, to: Peer) -> None:
        """Send a datagram to a peer, before or after the socket is bound.

        It is dropped, counted and logged at intervals, if it is too long, the address is not one to
        which such a socket can send, or the system does not take it.
        """
        engine = self.engine
        if self.cont is None:
            return
        if (
            self.outlet is None
            or not engine.direct
            or engine.commands  # they must not be overtaken
            or current.engine is not engine
        ):
            engine.command(SendDatagram(self, data, to))
        else:
            self.outlet(data, to)


class Datagrams(SendingSource[HostPort]):
    """A UDP socket at an address; it also receives what is sent to multicast groups.

    Events: Bound or BindFailed, then Arrived for each datagram, as they come: lost ones are
    missing, and there may be duplicates. Without backpressure: what the socket's receive buffer
    cannot hold is lost, as in a network. `send` takes up to 65,507 bytes, to a numeric address or a
    multicast group.
    """

    __slots__ = ("address", "broadcast", "groups")

    last: ClassVar[tuple[type, ...]] = (BindFailed,)
    at_once: ClassVar[type | None] = Arrived

    def __init__(
        self,
        cont: Continuation,
        name: str,
        address: HostPort,
        groups: tuple[HostPort, ...] = (),
        priority: int = PRIORITY,
        broadcast: bool = False,
    ) -> None:
        """`address`: port 0 is any free port. `groups`: each is joined on the interface of the
        address, and receives at its own port. `broadcast`: it may send to broadcast addresses, as
        255.255.255.255 (SO_BROADCAST in socket(7)). Only a socket at 0.0.0.0 receives broadcasts.
        """
        self.address = address
        self.groups = groups
        self.broadcast = broadcast
        super().__init__(cont, name, priority)

    @property
    def detail(self) -> str:
        """See Source."""
        return show_peer(self.address)

    @property
    def request(self) -> str:
        """See Source."""
        broadcast = " broadcast" if self.broadcast else ""
        return f"{super().request} {self.address} {self.groups}{broadcast}"
