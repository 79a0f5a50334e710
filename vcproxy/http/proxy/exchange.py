"""Exchange: the base of HttpProxy: two wires, the current transaction, the filters, one deadline,
and the proxy's own responses.

The order of a request's steps is in HttpProxy only. Tested with it in
tests/http/proxy/test_clients.py, test_servers.py, test_times.py and test_proxied_filters.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from vcproxy.engine.plugin_error import as_error
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.messages import Body, Request, Response
from vcproxy.http.proxy.balance_key import balance_key
from vcproxy.http.proxy.deadline import NEVER, Deadline
from vcproxy.http.proxy.failure import Failure, Party
from vcproxy.http.proxy.filtered_session import FilteredSession
from vcproxy.http.proxy.filters import SERVER_PHASES
from vcproxy.http.proxy.listener_context import ListenerContext
from vcproxy.http.proxy.options import Options as HttpOptions
from vcproxy.http.proxy.own_responses import check_sendable, error_response
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.machine.state import State
from vcproxy.sessions.lingering_close import LingeringClose

if TYPE_CHECKING:
    from vcproxy.config.positions import KeyPath
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.proxy.body_buffer import BodyBuffer
    from vcproxy.http.proxy.body_transfer import BodyTransfer
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.server import Server
    from vcproxy.upstream.upstream import Upstream

DEADLINE, NEXT_REQUEST = "DEADLINE", "NEXT_REQUEST"
"""Tags: the deadline may have passed; another request may have arrived."""


class Exchange(FilteredSession):
    """The base of HttpProxy: see there."""

    Options = HttpOptions
    options: HttpOptions
    alpn_refused = frozenset({"h2"})  # only HTTP/1.1 and 1.0 are supported

    __slots__ = (
        "_bodiless", "_body_buffer", "_deadline", "_download", "_framing", "_head_begun",
        "_keep_alive", "_request_consumed", "_tried", "_upload", "_version", "requests",
    )  # fmt: skip

    READING_HEAD: ClassVar[State]
    CLOSED: ClassVar[State]

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client, service)
        client.set_inactivity_timeout(0)  # the listener's timeout is for tunnels only
        self.requests = 0
        """Requests that this connection has carried."""
        self._keep_alive = True  # whether another request may follow
        self._request_consumed = True  # whether the whole request was read from the client
        self._bodiless = False  # whether the client expects no body: HEAD
        self._head_begun = False  # whether a part of the next head was read
        self._version = 11  # the client's
        self._framing: Body = 0  # the framing of the request's body
        self._body_buffer: BodyBuffer | None = None
        self._upload: BodyTransfer | None = None
        self._download: BodyTransfer | None = None
        self._tried: list[Server] = []
        self._deadline = Deadline(self, DEADLINE)

    @classmethod
    def upstreams(cls, options: HttpOptions) -> Mapping[KeyPath, str | None]:
        """See Session."""
        return options.upstreams

    @classmethod
    def unused_methods(cls, options: HttpOptions) -> Mapping[str, str]:
        """See Session."""
        unused = {"servers": "the upstream is chosen by routes: override route()"}
        if not options.uses_servers:
            why = "every route has an answer of its own, so no request is sent to a server"
            unused |= dict.fromkeys(SERVER_PHASES, why)
        return unused

    def _balance_key(self, upstream: Upstream) -> str | None:
        """Return the key by which an upstream with `balance = "hash"` chooses the server."""
        return balance_key(self.tx.request.fields, upstream.settings.hash_by)

    # -- the transaction -----------------------------------------------------------------------

    def _begin_transaction(self, request: Request) -> None:
        self.requests += 1
        self._keep_alive = request.persistent and self.requests < self.options.limits.requests
        self._version = request.version
        self._framing = request.body
        self._bodiless = request.method == "HEAD"
        self._request_consumed = request.body == 0
        self._head_begun = False
        self._body = b""
        self._tried.clear()
        self.tx = Transaction(self, request)

    def _fail_as(self, status: int, party: Party, why: str, error: str) -> State:
        return self._fail(Failure(status, party, why, error))

    def _fail_with(self, error: Exception, party: Party) -> State:
        """Send an error response: a party violated the protocol, or a filter failed."""
        return self._fail(self._failure_of(error, party))

    def _failure_of(self, error: Exception, party: Party) -> Failure:
        """Log an exception and return its Failure: that of `party` for a BadMessage, else that of
        the plugin."""
        if isinstance(error, BadMessage):
            if party == "client":
                return Failure(error.status, party, str(error), "http_request_error")
            self.log(f"invalid response to {self.tx!r}: {error}")  # log only: it quotes the server
            why = f"response violates {error.rfc}"
            return Failure(502, party, why, "http_protocol_error")
        self.engine.log("error", f"{self.name}: filter failed at {self.tx!r}", error)
        return Failure(500, "plugin", type(error).__name__, "proxy_internal_error")

    def _reject_request(self, problem: BadMessage) -> State:
        """Send an error response to an invalid request, and close the connection."""
        self._keep_alive = self._request_consumed = False
        failure = self._failure_of(problem, "client")
        self.log(f"{failure.status} for an invalid request: {failure}")
        self.count(str(failure.status))
        response = error_response(failure, self.options.via)
        head = self._head_for_client(response, False, len(response.content))
        self._client_wire.send(head + response.content)
        return self.CLOSED

    def _fail(self, failure: Failure) -> State:
        """Send an error response: the proxy's own, or that of a filter."""
        tx = self.tx
        tx.failure = failure
        self.log(f"{failure.status} for {tx!r}{self._at_server}: {failure}")
        self.count(str(failure.status))
        if failure.party == "server":
            self._report_server_failure(failure.why)
        if failure.party == "client" and failure.status != 404:
            self._keep_alive = False
        response = error_response(failure, self.options.via)
        for step in self._chain.error:
            try:
                response = check_sendable(step(tx) or response)
            except BaseException as raised:
                error = as_error(raised)
                self.engine.log("error", f"{self.name}: filter failed in error() of {tx!r}", error)
        return self._respond(response)

    def _respond(self, response: Response) -> State:
        """Send this response in place of a server's, and drop the server's connection."""
        tx = self.tx
        self._drop_server()
        tx.response = response
        keep = self._can_keep_alive
        content = response.content
        head = self._head_for_client(response, keep, len(content))
        self._client_wire.send(head if self._bodiless else head + content)
        return self._end_transaction(keep)

    def _head_for_client(self, response: Response, keep: bool, body: int | None) -> bytes:
        """Return the bytes of a response's head for the client."""
        return self._context.heads.to_client(
            response, pseudonym=self.options.via, version=self._version, keep=keep, body=body
        )

    @property
    def _can_keep_alive(self) -> bool:
        """Whether the client's connection may carry another request after the response."""
        return self._keep_alive and self._request_consumed and not self.service.draining

    @property
    def _body_limit(self) -> int:
        """The largest body of the current request, in bytes; 0: no limit."""
        route = self.tx.route
        return self.options.limits.body if route is None else self.options.max_body(route)

    @property
    def _time_left_s(self) -> float:
        """Seconds until `timeouts.active` of the current request has passed."""
        active = self.options.timeouts.active
        return self.tx.began_s + active - self.engine.now if active else NEVER

    def _set_deadline(self, seconds: float = 0) -> None:
        """Set the next step's deadline (0: none), at the latest that of the whole request."""
        if self.options.timeouts.active:
            seconds = min(seconds or NEVER, max(self._time_left_s, 0.001))
        self._deadline.set(seconds)

    def _end_transaction(self, keep: bool) -> State:
        """End the transaction: call `done`. `keep`: read the next request."""
        self._body_buffer = None
        self._body = b""
        for step in self._chain.done:
            try:
                step(self.tx)
            except BaseException as raised:
                error = as_error(raised)
                self.engine.log(
                    "error", f"{self.name}: filter failed in done() of {self.tx!r}", error
                )
        return self.READING_HEAD if keep else self.CLOSED

    def _abort(self, failure: Failure) -> State:
        """Reset the client's connection after a part of the response was sent, so that the client
        detects that it is incomplete."""
        self.tx.failure = failure
        self.log(f"response aborted: {self.tx!r}{self._at_server}: {failure}")
        if failure.party == "server":
            self._report_server_failure(failure.why)
        error = ConnectionAbortedError(str(failure))
        self._drop_server(error)
        self.client.do_io_close(error)
        return self._end_transaction(keep=False)

    @property
    def _at_server(self) -> str:
        """The server or the upstream of the current request, for logs only."""
        tx = self.tx
        where = tx.server or (f"upstream {tx.upstream.name}" if tx.upstream is not None else "")
        return f" at {where}" if where else ""

    @property
    def _client_failure(self) -> Failure | None:
        """The Failure if the request must be aborted because of the client, else None.

        A client that has only half-closed may still wait for its response (RFC 9112, 9.6), unless
        `abort_on_close` is set.
        """
        if self.client.error is not None:
            why = str(self.client.error)
        elif self.options.abort_on_close and self._client_wire.over:
            why = "connection closed"
        else:
            return None
        return Failure(0, "client", why, "connection_terminated")

    def _client_left(self) -> State | None:
        """Abort the request if there is a `_client_failure`; a mere half-close may be ignored."""
        failure = self._client_failure
        return None if failure is None else self._abort(failure)

    def mirror(self, upstream: Upstream, body: bytes) -> None:
        """See Transaction.mirror."""
        if not self._context.mirror.send(
            upstream, self.tx.request, body, self._limits, self.client_fields
        ):
            self.count("unmirrored")

    def drain(self) -> None:
        """See Session: close the connection if no request is in progress."""
        self.engine.schedule(self, NEXT_REQUEST, None)

    @classmethod
    def refuse(cls, client: NetVConnection, service: Service) -> None:
        """See Session: answer 429 and close."""
        why = "too many connections from this address"
        failure = Failure(429, "client", why, "http_request_denied")
        service.counts["429"] += 1
        via = service.options.via  # type: ignore[attr-defined]
        response = error_response(failure, via)
        buffer = client.engine.buffer()
        reader = buffer.reader()
        head = ListenerContext.of(service, client.engine).heads.to_client(
            response, pseudonym=via, version=11, keep=False, body=len(response.content)
        )
        buffer.write(head + response.content)
        LingeringClose(client, reader).start()

    def _report_server_failure(self, why: str) -> None:
        """Report a failed request to the upstream. (It detects connect failures itself.)"""
        if self.tx.upstream is not None and self.server is not None and self.server.open:
            self.tx.upstream.failed(self.server, why)

    def _drop_server(self, error: Exception | None = None) -> None:
        for transfer in (self._upload, self._download):
            if transfer is not None:
                transfer.stop()
        self._upload = self._download = None
        if self.server is not None:
            self.server.do_io_close(error)
            self.server = None
            self._server_wire.close()

    def finished(self) -> None:
        """Release everything. Close the client's connection when its output has been sent."""
        self._deadline.cancel()
        self._body_buffer = None
        if self._pending_wait is not None:
            self._pending_wait.cancel()
        self._drop_server()
        self._server_wire.close()
        if self.client.closed:
            self._client_wire.close()
        else:
            self._client_wire.close_gracefully(linger=not self._keep_alive)
