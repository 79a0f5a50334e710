"""TunnelStart: waits until client and server are ready for a tunnel, then starts it.

    WAITING --server connected, and all answers sent to the client--> OVER
       +------ no server is left, or the client failed: TunnelDone ----> OVER

Tested in tests/sessions/test_message_reader.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.event import Event
from vcproxy.engine.vio import VIO
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.tunnels.done import Flow, Reason, TunnelDone

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.sessions.streams import OutputStream


class LendingSession(Protocol):
    """The part of a session that TunnelStart uses. See Session."""

    engine: Engine
    mutex: Mutex
    name: str
    client: NetVConnection
    server: NetVConnection | None
    answers: OutputStream | None

    def connect_first(self, *, notify: Continuation | None = None) -> None:
        """Connect to the first server."""

    def connect_next(self, *, notify: Continuation | None = None) -> bool:
        """Connect to the next server; False: none is left."""


class TunnelStart(Machine):
    """Connects to a server, sends the remaining answers, then starts the tunnel.

    Args:
        start: called with the server, to start the tunnel.
        fail: called instead with a TunnelDone, if the tunnel cannot be started.
    """

    __slots__ = ("_fail", "_server", "_session", "_start", "_writing")

    WAITING = State(initial=True)
    OVER = State(final=True)

    def __init__(
        self,
        session: LendingSession,
        start: Callable[[NetVConnection], None],
        fail: Callable[[TunnelDone], None],
    ) -> None:
        super().__init__(session.engine, session.mutex, name=f"{session.name} lending")
        self._session = session
        self._start = start
        self._fail = fail
        self._server: NetVConnection | None = None
        self._writing: VIO | None = None

    @WAITING.enter
    def waiting(self) -> None:
        """Send the answers, and connect to a server. From the client, get only errors."""
        session = self._session
        client, answers = session.client, session.answers
        client.do_io_read(self, 0, self.engine.no_buffer)
        if answers is not None:
            self._writing = client.do_io_write(self, answers.reader.avail, answers.reader)
        if session.server is None:
            session.connect_first(notify=self)
        else:
            self.engine.schedule(self, Event.CONNECTED, session.server)

    @WAITING.on(Event.CONNECTED, to=(OVER,))
    def connected(self, server: NetVConnection) -> State | None:
        """Start the tunnel if all answers have been sent."""
        self._server = server
        return self._start_if_ready()

    @WAITING.on(Event.WRITE_READY)
    def written(self, _: VIO) -> None:
        """Do nothing: some of the answers have been sent."""

    @WAITING.on(Event.WRITE_COMPLETE, to=(OVER,))
    def all_written(self, _: VIO) -> State | None:
        """Start the tunnel if a server is connected."""
        return self._start_if_ready()

    def _start_if_ready(self) -> State | None:
        session, server, writing = self._session, self._server, self._writing
        if server is None or (writing is not None and writing.ntodo):
            return None
        if session.answers is not None:
            session.answers.close()
            session.answers = None
        self._start(server)
        return self.OVER

    @WAITING.on(Event.ERROR, to=(OVER,))
    def failed(self, failed: NetVConnection | VIO) -> State | None:
        """Connect to the next server, unless the client has failed."""
        client, server = self._session.client, self._session.server
        if isinstance(failed, VIO):
            if client.unread and self._writing is None:
                return None  # what the client sent before its error still goes to the server
            return self._give_up(Reason.ERROR, client, client.error)
        assert server is not None
        if self._session.connect_next(notify=self):
            return None
        return self._give_up(Reason.ERROR, server, server.error)

    @WAITING.on(Event.INACTIVITY_TIMEOUT, to=OVER)
    def inactive(self, _: VIO) -> None:
        """Report that the client's inactivity timeout expired before a server was connected."""
        self._give_up(Reason.INACTIVITY, self._session.client)

    @WAITING.on(Event.ACTIVE_TIMEOUT, to=OVER)
    def expired(self, _: VIO) -> None:
        """Report that the client's active timeout expired before a server was connected."""
        self._give_up(Reason.ACTIVE, self._session.client)

    def _give_up(self, reason: Reason, vc: VConnection, error: Exception | None = None) -> State:
        names = self._session.client.name, "no server"
        flows = Flow(*names, 0, 0), Flow(*names[::-1], 0, 0)
        self._fail(TunnelDone(self, reason, vc.name, error, flows))
        return self.OVER
