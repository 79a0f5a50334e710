"""TunnelStart: waits until client and server are both ready, then starts the tunnel.

    WAITING --there is a server, and the client was told all that was answered--> OVER
       +------ no server is left, or the client has gone: TunnelDone says so ----> OVER

The tunnel begins with what the client has said and nobody has heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vcproxy.engine.event import Event
from vcproxy.engine.vio import VIO
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.tunnels.done import Flow, Reason, TunnelDone

if TYPE_CHECKING:
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.sessions.session import Session
    from vcproxy.tunnels.two_way import TwoWayTunnel


class TunnelStart(Machine):
    """Gets what is missing and starts the tunnel, or gives the session TunnelDone in its place.

    `unheard` is where the tunnel begins in what the client has said; `options` are the tunnel's.
    """

    __slots__ = ("_options", "_saying", "_server", "_session", "_tunnel", "_unheard")

    WAITING = State(initial=True)
    OVER = State(final=True)

    def __init__(
        self,
        session: Session,
        tunnel: type[TwoWayTunnel],
        options: dict[str, Any],
        unheard: Reader | None,
    ) -> None:
        super().__init__(session.engine, session.mutex, name=f"{session.name} lending")
        self._session = session
        self._tunnel = tunnel
        self._options = options
        self._unheard = unheard
        self._server: NetVConnection | None = None
        self._saying: VIO | None = None

    @WAITING.enter
    def waiting(self) -> None:
        """Read nothing meanwhile, but see the client break."""
        session = self._session
        client, answers = session.client, session.answers
        client.do_io_read(self, 0, self.engine.buffer())
        if answers is not None:
            self._saying = client.do_io_write(self, answers.reader.avail, answers.reader)
        if session.server is None:
            session.seek(told=self)
        else:
            self.engine.schedule(self, Event.CONNECTED, session.server)

    @WAITING.on(Event.CONNECTED, to=(OVER,))
    def connected(self, server: NetVConnection) -> State | None:
        """There is a server."""
        self._server = server
        return self._lend()

    @WAITING.on(Event.WRITE_READY)
    def going(self, _: VIO) -> None:
        """Some of the answers have gone."""

    @WAITING.on(Event.WRITE_COMPLETE, to=(OVER,))
    def told(self, _: VIO) -> State | None:
        """All of them have."""
        return self._lend()

    def _lend(self) -> State | None:
        session, server, saying = self._session, self._server, self._saying
        if server is None or (saying is not None and saying.ntodo):
            return None
        if session.answers is not None:
            session.answers.close()
            session.answers = None
        options: dict[str, Any] = {
            "half_close": session.service.half_close,
            "request": self._unheard,
            **self._options,
        }
        self._tunnel(session, session.client, server, **options).start()
        return self.OVER

    @WAITING.on(Event.ERROR, to=(OVER,))
    def failed(self, failed: NetVConnection | VIO) -> State | None:
        """Try the next server, unless it was the client that broke."""
        client, server = self._session.client, self._session.server
        if isinstance(failed, VIO):
            if client.unread and self._saying is None:
                return None  # what it had sent before still goes to the server
            return self._give_up(Reason.ERROR, client, client.error)
        assert server is not None
        if self._session.seek_on(told=self):
            return None
        return self._give_up(Reason.ERROR, server, server.error)

    @WAITING.on(Event.INACTIVITY_TIMEOUT, to=OVER)
    def idled(self, _: VIO) -> None:
        """No server has answered while the client's time lasted."""
        self._give_up(Reason.INACTIVITY, self._session.client)

    @WAITING.on(Event.ACTIVE_TIMEOUT, to=OVER)
    def outlived(self, _: VIO) -> None:
        """No server has answered while the client's time lasted."""
        self._give_up(Reason.ACTIVE, self._session.client)

    def _give_up(self, reason: Reason, who: VConnection, error: Exception | None = None) -> State:
        session = self._session
        names = session.client.name, "no server"
        flows = Flow(*names, 0, 0), Flow(*names[::-1], 0, 0)
        self.engine.schedule(session, TunnelDone, TunnelDone(self, reason, who.name, error, flows))
        if self._unheard is not None:
            self._unheard.close()
        return self.OVER
