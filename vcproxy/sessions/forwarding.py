"""Forwarding: what sessions have in common that connect each client to one server, and move bytes.

It is a base without states: Forwarder and TlsRouter declare these. Tested in
tests/sessions/test_forwarder.py and tests/plugins/test_forward.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vcproxy.engine.vio import VIO
from vcproxy.sessions.session import Session

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.machine.state import State
    from vcproxy.tunnels.done import TunnelDone


class Forwarding(Session):
    """What they do when a server or a client fails, and when the tunnel has ended."""

    __slots__ = ()

    CLOSED: ClassVar[State]
    """The final state of the subclass."""

    # -- for authors -------------------------------------------------------------------------

    def unserved(self) -> bytes:
        """Return the bytes to send to the client if no server can be reached. To be overridden."""
        return b""

    # -- while a server is connected ---------------------------------------------------------

    def failed(self, failed: NetVConnection | VIO) -> State | None:
        """Try the next server, if one is left and the client has not failed."""
        if isinstance(failed, VIO):
            if self.client.unread:
                return None  # what the client sent before its error still goes to a server
            if not self.was_probe:
                self.log(f"client connection failed before a server answered: {failed.error}")
            return self.CLOSED
        if self.connect_next():
            return None
        self.count("unserved")
        self.answer(self.unserved())
        return self.CLOSED

    def expired(self, _: VIO) -> None:
        """Close: a timeout of the client expired before a server was connected."""
        self.log("connection timed out before a server answered")

    # -- the tunnel --------------------------------------------------------------------------

    def relayed(self, done: TunnelDone) -> None:
        """Reset both sides after an abnormal end: a peer must not mistake it for an orderly end."""
        if not self.ended_cleanly(done):
            if not self.was_probe:
                self.log(done)
            self.close(done.error or ConnectionAbortedError(done.reason.value))
