"""Forwarder: connect each client to a server of the upstream, and move what both say.

The client is not read before there is somewhere to send it. A server that refuses, or does not
answer in time, is followed by the next one; with none left the client is closed. Connecting ends
when the client's connection breaks or its time is up.

    CONNECTING --CONNECTED--> RELAYING --TunnelDone--> CLOSED
        +------ refused, no server is left, the client has gone ---^
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
    """Accept, pick a server, connect, tunnel. A subclass says who is served, and changes the bytes.

        class Shout(Forwarder):
            def downward(self):
                return Capitals()

    As it is, all are served and nothing is changed.
    """

    needs_upstream = True

    CONNECTING = State(initial=True)
    RELAYING = State()
    CLOSED = State(final=True)

    # -- for authors -------------------------------------------------------------------------

    def refusal(self) -> bytes | None:
        """Return what a client is told that is not served; None: it is. To be overridden."""
        return None

    def unserved(self) -> bytes:
        """Return what the client is told when no server can be reached. To be overridden."""
        return b""

    def upward(self) -> Transform | None:
        """Return what changes the bytes on their way to the server. To be overridden."""
        return None

    def downward(self) -> Transform | None:
        """Return what changes the bytes on their way to the client. To be overridden."""
        return None

    # -- connecting --------------------------------------------------------------------------

    @CONNECTING.enter
    def connecting(self) -> None:
        """Begin with the server whose turn it is, unless the client is not served at all."""
        self.client.do_io_read(self, 0, self.engine.buffer())  # of nothing: to see it break
        refusal = self.refusal()
        if refusal is None:
            self.seek()
        else:
            self.count("refused")
            self.answer(refusal)
            self.engine.schedule(self, REFUSED, None)

    CONNECTING.goes(REFUSED, CLOSED)

    @CONNECTING.on(Event.ERROR, to=(CLOSED,))
    def failed(self, failed: NetVConnection | VIO) -> State | None:
        """Try the next server, if there is one and the client is still there."""
        if isinstance(failed, VIO):
            if self.client.unread:
                return None  # what it had sent before still goes to a server
            if not self.only_checked:
                self.log(f"the client failed before a server answered: {failed.error}")
            return self.CLOSED
        if self.seek_on():
            return None
        self.count("unserved")
        self.answer(self.unserved())
        return self.CLOSED

    @CONNECTING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def waited(self, _: VIO) -> None:
        """No server has answered while the client's time lasted."""
        self.log("the client's time was up before a server answered")

    # -- relaying ----------------------------------------------------------------------------

    CONNECTING.goes(Event.CONNECTED, RELAYING)

    @RELAYING.enter
    def relaying(self) -> None:
        """Lend both sides to a tunnel."""
        self.lend(upward=self.upward(), downward=self.downward())

    @RELAYING.on(TunnelDone, to=CLOSED)
    def relayed(self, done: TunnelDone) -> None:
        """An abnormal end is passed on as one: the other side must not take it for the end."""
        if not self.as_usual(done):
            if not self.only_checked:
                self.log(done)
            self.close(done.error or ConnectionAbortedError(done.reason.value))
