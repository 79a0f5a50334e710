"""UnixDatagrams: a Unix datagram socket that exchanges datagrams with any peer of this host.

As Datagrams, for paths (unix(7), SOCK_DGRAM). Tested in tests/conformance/test_unix_datagrams.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vcproxy.engine.sources.datagrams import BindFailed, SendingSource
from vcproxy.engine.sources.source import PRIORITY

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.continuation import Continuation

LARGEST_UNIX = 65_536
"""Bytes of the largest datagram that is sent or received: eventdispatcher's limit. Linux would take
about three times as many (net.core.wmem_default), and a receiver needs a buffer of that size."""


@dataclass(frozen=True, slots=True)
class UnixBound:
    """The socket is bound."""

    name: str
    path: str
    """Where: its path, or "@" and the name that the system has chosen."""


@dataclass(slots=True)
class UnixArrived:
    """One datagram. See Arrived."""

    name: str
    data: bytes
    source: str
    """The sender: a path, or "@" and a name of the abstract namespace; "": its socket is not bound,
    so that nothing can be sent back."""


class UnixDatagrams(SendingSource[str]):
    """A Unix datagram socket at a path.

    Events: UnixBound or BindFailed, then UnixArrived for each datagram, in order and complete: a
    sender waits, or gets an error, while the queue of the receiver is full. A stale file at the
    path is replaced, and the file is removed at the end. `mode`, `owner` and `group` of the address
    are set before anything can be received.

    `send(data, path)` takes up to LARGEST_UNIX bytes. It never waits: what a full queue does not
    take (net.unix.max_dgram_qlen datagrams) is dropped, counted and logged at intervals.
    """

    __slots__ = ("address",)

    last: ClassVar[tuple[type, ...]] = (BindFailed,)
    at_once: ClassVar[type | None] = UnixArrived

    def __init__(
        self,
        cont: Continuation,
        name: str,
        address: Address | None = None,
        priority: int = PRIORITY,
    ) -> None:
        """`address`: unixgram:PATH; None: a name that the system chooses, for a socket that sends
        and receives the answers. Raises ValueError for another scheme, and LockNotHeld."""
        if address is not None and address.scheme != "unixgram":
            raise ValueError(f"{address}: UnixDatagrams needs an address as unixgram:/run/app.sock")
        self.address = address
        super().__init__(cont, name, priority)

    @property
    def detail(self) -> str:
        """See Source."""
        return str(self.address or "")

    @property
    def request(self) -> str:
        """See Source."""
        return f"{super().request} {self.address or ''}".rstrip()
