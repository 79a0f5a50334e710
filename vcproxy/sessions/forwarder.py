"""Forwarder: connects each client to a server of the upstream, and moves bytes both ways.

The client is not read before a server is connected. After a server that refuses or does not answer
in time, the next one is tried; if none is left, the client is closed. Connecting ends when the
client's connection fails or one of its timeouts expires.

    CONNECTING --CONNECTED--> RELAYING --TunnelDone--> CLOSED
        +------ refused, no server is left, the client failed -----^
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.vio import VIO
from vcproxy.machine.state import State
from vcproxy.sessions.session import Session
from vcproxy.tunnels.done import TunnelDone

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.tunnels.transform import Transform

REFUSED = "REFUSED"
"""Tag: this client is not served."""


class Forwarder(Session):
    """Tunnels each client to a server of the upstream. Subclasses can refuse clients, change bytes.

        class Upper(Forwarder):
            def downward(self):
                return Capitals()

    By default all clients are served and no byte is changed.
    """

    __slots__ = ()

    needs_upstream = True

    CONNECTING = State(initial=True)
    RELAYING = State()
    CLOSED = State(final=True)

    # -- for authors -------------------------------------------------------------------------

    def refusal(self) -> bytes | None:
        """Return the bytes to refuse the client with; None: serve it. To be overridden."""
        return None

    def unserved(self) -> bytes:
        """Return the bytes to send to the client if no server can be reached. To be overridden."""
        return b""

    def upward(self) -> Transform | None:
        """Return the transform of the bytes to the server. To be overridden."""
        return None

    def downward(self) -> Transform | None:
        """Return the transform of the bytes to the client. To be overridden."""
        return None

    # -- connecting --------------------------------------------------------------------------

    @CONNECTING.enter
    def connecting(self) -> None:
        """Refuse the client, or connect to the first server."""
        self.client.do_io_read(self, 0, self.engine.no_buffer)  # read 0 bytes: only get its errors
        refusal = self.refusal()
        if refusal is None:
            self.connect_first()
        else:
            self.count("refused")
            if self.record is not None:
                self.record.note("P", "refused by the plugin")
            self.answer(refusal)
            self.engine.schedule(self, REFUSED, None)

    CONNECTING.goes(REFUSED, CLOSED)

    @CONNECTING.on(Event.ERROR, to=(CLOSED,))
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

    @CONNECTING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def expired(self, _: VIO) -> None:
        """Close: a timeout of the client expired before a server was connected."""
        self.log("connection timed out before a server answered")

    # -- relaying ----------------------------------------------------------------------------

    CONNECTING.goes(Event.CONNECTED, RELAYING)

    @RELAYING.enter
    def relaying(self) -> None:
        """Lend both sides to a tunnel."""
        self.lend(upward=self.upward(), downward=self.downward())

    @RELAYING.on(TunnelDone, to=CLOSED)
    def relayed(self, done: TunnelDone) -> None:
        """Reset both sides after an abnormal end: a peer must not mistake it for an orderly end."""
        if not self.ended_cleanly(done):
            if not self.was_probe:
                self.log(done)
            self.close(done.error or ConnectionAbortedError(done.reason.value))
