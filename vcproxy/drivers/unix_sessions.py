"""Sessions of Unix datagrams: what differs from UDP; for real and for simulated sockets.

Tested in tests/conformance/test_messages.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vcproxy.drivers.datagram_sessions import DatagramSessions, PeerAddress, SessionPort
from vcproxy.engine.sources.unix_datagrams import LARGEST_UNIX

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block


class UnixSessions(DatagramSessions):
    """The sessions of a Unix datagram socket: one VC for each path that sends to it, and one for
    all senders without a path."""

    largest: ClassVar[int] = LARGEST_UNIX + 1

    def port(self, peer: PeerAddress) -> SessionPort:
        """See DatagramSessions."""
        return UnixSessionPort(self, peer)


class UnixSessionPort(SessionPort):
    """The port of one session."""

    __slots__ = ()

    def receive(self, data: bytes) -> None:
        """See SessionPort. A longer datagram is dropped: its end is missing."""
        if len(data) <= LARGEST_UNIX:
            super().receive(data)
        else:
            self._sessions.drops.drop(f"it is longer than {LARGEST_UNIX} bytes")

    def push(self, data: Block) -> int:
        """See DatagramPort."""
        if self._peer and len(data) <= LARGEST_UNIX:
            return super().push(data)
        why = f"it is longer than {LARGEST_UNIX} bytes" if self._peer else NO_NAME
        self._sessions.drops.drop(why)
        return len(data)


NO_NAME = "its client has not bound its socket, so nothing can be sent back"


def session_name(path: str) -> str:
    """Return the name of a client in logs. A colon would begin a port."""
    return path.replace(":", "%3A") or "unix"
