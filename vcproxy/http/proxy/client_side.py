"""ClientSide: what the exchanges of one client connection share, apart from its machine.

Tested in tests/http/proxy/test_clients.py and test_keep_alive.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.http.proxy.deadline import Deadline
from vcproxy.http.proxy.failure import Failure
from vcproxy.http.proxy.listener_context import ListenerContext
from vcproxy.http.proxy.wire import PIPELINED, Wire

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.filters import Phases
    from vcproxy.http.message.limits import MessageLimits
    from vcproxy.http.message.messages import Body, Response
    from vcproxy.http.proxy.options import Options
    from vcproxy.http.proxy.transaction import TransactionContext
    from vcproxy.sessions.service import Service

DEADLINE = "DEADLINE"
"""Tag: the deadline may have passed."""


class ClientSide:
    """A client's connection, its wire, its deadline, and the configuration it is served by.

    `cont` receives the events of the connection, of the deadline, and of the server connections
    that its requests use: one continuation for all, because one request is served at a time.
    """

    __slots__ = (
        "chains", "cont", "context", "deadline", "limits", "listener", "log", "options", "service",
        "vc", "wire",
    )  # fmt: skip

    def __init__(
        self,
        cont: Continuation,
        vc: NetVConnection,
        service: Service,
        options: Options,
        session: Phases | None,
    ) -> None:
        """`session`: the first filter, if it is the session itself."""
        self.cont = cont
        self.vc = vc
        self.service = service
        self.options = options
        self.limits: MessageLimits = options.limits
        self.listener = listener = ListenerContext.of(service, vc.engine)
        self.chains = listener.chains if session is None else listener.chains.after(session)
        """The phases to call."""
        self.log = None if service.access_log is None else listener.follow(vc)
        """The access log of the connection; None: there is none."""
        self.wire = Wire(cont, PIPELINED)
        self.deadline = Deadline(cont, DEADLINE)
        self.context: TransactionContext = listener.client(vc.peer_address, vc.secure)
        """What the transactions of this client share."""
        if vc.proxied is not None:
            self.context = self.context._replace(proxied=vc.proxied)
        if vc.peer_certificate is not None:
            self.context = self.context._replace(certificate=vc.peer_certificate)

    @property
    def failure(self) -> Failure | None:
        """The Failure if the request must be aborted because of the client, else None.

        A client that has only half-closed may still wait for its response (RFC 9112, 9.6), unless
        `abort_on_close` is set.
        """
        if self.vc.error is not None:
            why = str(self.vc.error)
        elif self.options.abort_on_close and self.wire.over:
            why = "connection closed"
        else:
            return None
        return Failure(0, "client", why, "connection_terminated")

    def head(self, response: Response, version: int, keep: bool, body: Body) -> bytes:
        """Return the bytes of a response's head for the client, which uses this HTTP version.

        `keep`: whether another request may follow. Raises ValueError for an invalid response.
        """
        return self.listener.heads.to_client(
            response, pseudonym=self.options.via, version=version, keep=keep, body=body
        )
