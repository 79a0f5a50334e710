"""forward: connect each client to a server of the upstream, and move what both say.

The client is not read before there is somewhere to send it. A server that refuses, or does not
answer in time, is followed by the next one; with none left the client is closed. Connecting ends
when the client's connection breaks or its time is up.
"""

from tunnels.done import TunnelDone
from vcproxy.business.session import Session
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.vio import VIO
from vcproxy.machine.state import State


class Forward(Session):
    """Accept, pick a server, connect, tunnel."""

    needs_upstream = True

    CONNECTING = State(initial=True)
    RELAYING = State()
    CLOSED = State(final=True)

    @CONNECTING.enter
    def connecting(self) -> None:
        """Begin with the server whose turn it is."""
        self.client.do_io_read(self, 0, self.engine.buffer())  # of nothing: to see it break
        self.seek()

    @CONNECTING.on(Event.ERROR, to=(CLOSED,))
    def failed(self, failed: NetVConnection | VIO) -> State | None:
        """Try the next server, if there is one and the client is still there."""
        if failed is self.server:
            return None if self.seek_on() else self.CLOSED
        self.log(f"the client failed before a server answered: {failed.error}")
        return self.CLOSED

    @CONNECTING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def waited(self, _: VIO) -> None:
        """No server has answered while the client's time lasted."""
        self.log("the client's time was up before a server answered")

    CONNECTING.goes(Event.CONNECTED, RELAYING)

    @RELAYING.enter
    def relaying(self) -> None:
        """Lend both sides to a tunnel."""
        self.lend()

    @RELAYING.on(TunnelDone, to=CLOSED)
    def relayed(self, done: TunnelDone) -> None:
        """An abnormal end is passed on as one: the other side must not take it for the end."""
        if not done.reason.clean:
            self.log(done)
            self.close(done.error or ConnectionAbortedError(done.reason.value))
