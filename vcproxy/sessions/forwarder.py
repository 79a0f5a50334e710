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
from vcproxy.machine.state import State
from vcproxy.sessions.forwarding import Forwarding
from vcproxy.tunnels.done import TunnelDone

if TYPE_CHECKING:
    from vcproxy.tunnels.transform import Transform

REFUSED = "REFUSED"
"""Tag: this client is not served."""


class Forwarder(Forwarding):
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

    def upward(self) -> Transform | None:
        """Return the transform of the bytes to the server. To be overridden."""
        return None

    def downward(self) -> Transform | None:
        """Return the transform of the bytes to the client. To be overridden."""
        return None

    # -- its course --------------------------------------------------------------------------

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
    CONNECTING.on(Event.ERROR, to=(CLOSED,))(Forwarding.failed)
    CONNECTING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)(Forwarding.expired)
    CONNECTING.goes(Event.CONNECTED, RELAYING)

    @RELAYING.enter
    def relaying(self) -> None:
        """Lend both sides to a tunnel."""
        self.lend(upward=self.upward(), downward=self.downward())

    RELAYING.on(TunnelDone, to=CLOSED)(Forwarding.relayed)
