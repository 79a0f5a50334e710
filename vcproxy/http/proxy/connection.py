"""HttpProxy: the session of one client connection. It serves its requests one after the other.

    READING_HEAD --> CONNECTING --CONNECTED--> AWAITING_RESPONSE --> SENDING_RESPONSE --+
       ^  |              ^ not with an idle connection | a head            its body     |
       |  |              |                             |                                |
       |  +-- BUFFERING_REQUEST, FILTERING_REQUEST     +-- FILTERING_RESPONSE,          |
       |  |   a filter needs the whole body, or waits      BUFFERING_RESPONSE: likewise |
       |  +-- CONNECT ----> TUNNELLING <------------------ Upgrade                      |
       +--------------------------------------------------------------------------------+

Heads are parsed and checked here. The part of a body that arrived with its head is sent with it; a
short rest of a response is sent as it arrives. A longer body of known length is moved by a
OneWayTunnel, which the driver may bridge. Any other body is moved by a MessageTunnel: chunks that
no filter changes are only checked, everything else is decoded and framed again. Pipelined requests
stay in the buffer: one request is served at a time, so responses keep the order of requests.

The module is long because the state table is one class. Tested in tests/http/proxy/
test_clients.py, test_servers.py, test_bodies.py, test_keep_alive.py, test_kept.py, test_times.py,
test_tunnels.py and test_proxied_filters.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.calls import Called
from vcproxy.engine.event import Event
from vcproxy.engine.vio import VIO
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.body import body_reader, body_writer
from vcproxy.http.message.forwarding import max_forwards
from vcproxy.http.message.keep_alive import keep_alive_s
from vcproxy.http.message.messages import UNTIL_CLOSE, Response
from vcproxy.http.message.parsing import HEAD_END, head_end
from vcproxy.http.proxy.body_buffer import BodyBuffer
from vcproxy.http.proxy.body_pipeline import BodyPipeline, checked_only
from vcproxy.http.proxy.body_transfer import BodyTransfer
from vcproxy.http.proxy.deadline import NEVER
from vcproxy.http.proxy.destination import destination
from vcproxy.http.proxy.exchange import DEADLINE, NEXT_REQUEST, Exchange
from vcproxy.http.proxy.failure import Failure, connect_failure, transfer_failure
from vcproxy.http.proxy.filtered_session import RESUMED
from vcproxy.http.proxy.options import BODY_GRACE_S
from vcproxy.http.proxy.own_responses import check_sendable, route_response
from vcproxy.http.proxy.representation import Representation
from vcproxy.http.proxy.routing import Route
from vcproxy.http.proxy.subrequests import SubrequestsDone
from vcproxy.machine.state import State
from vcproxy.tunnels.done import Reason, TunnelDone
from vcproxy.tunnels.two_way import TwoWayTunnel

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be sent again after a connection failure (RFC 9110, 9.2.2)."""

STALE_S = 1.0
"""Seconds. If a reused connection ends within this time after a request was sent, the server most
likely closed it before the request arrived."""

QUIET_S = 1.0
"""Seconds without traffic until a client's connection is closed while the service is closing: at
once, it might be closed just as the next request is sent, which would then fail."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n%b\r\n"


class HttpProxy(Exchange):
    """Serves HTTP/1.1 to one client: a reverse or forward proxy, or both. See Options.

    A subclass may override methods of Phases. It then acts as the first filter, before those of its
    options.
    """

    __slots__ = (
        "_body_began_s", "_body_expected", "_repeatable", "_representation", "_response_framing",
        "_server_idle_s",
    )  # fmt: skip

    ALIVE = State()
    READING_HEAD = State(parent=ALIVE, initial=True)
    BUFFERING_REQUEST = State(parent=ALIVE)
    FILTERING_REQUEST = State(parent=ALIVE)
    CONNECTING = State(parent=ALIVE)
    AWAITING_RESPONSE = State(parent=ALIVE)
    BUFFERING_RESPONSE = State(parent=ALIVE)
    FILTERING_RESPONSE = State(parent=ALIVE)
    SENDING_RESPONSE = State(parent=ALIVE)
    TUNNELLING = State(parent=ALIVE)
    CLOSED = State(final=True)

    # -- a request ---------------------------------------------------------------------------

    @READING_HEAD.enter
    def await_request(self) -> None:
        """Wait for the first or the next request."""
        client = self._client_wire
        if not self.requests:
            client.attach(self.client)
            client.send_first(b"")
        self._deadline.set(QUIET_S if self.service.draining else self.options.timeouts.idle)
        if client.has_input or client.over:
            self.engine.schedule(self, NEXT_REQUEST, None)

    @READING_HEAD.on(
        Event.READ_READY, Event.WRITE_READY, Event.EOS, NEXT_REQUEST,
        to=(
            READING_HEAD, BUFFERING_REQUEST, FILTERING_REQUEST, CONNECTING,
            AWAITING_RESPONSE, CLOSED,
        ),
    )  # fmt: skip
    def request_readable(self, _: object) -> State | None:
        """Read the next request, if its head is complete and the client reads its responses."""
        client = self._client_wire
        if client.full:
            return None
        pending = client.pending
        seen = len(pending) if self._head_begun else 0
        # If `pending` holds a complete head, the input after it stays in the bounded buffer.
        data = client.take(1 if pending and HEAD_END in pending[2:] else self._limits.head + 3)
        try:
            end = head_end(data, self._limits, seen=seen)
            if end < 0:
                return self._unfinished(data)
            request = self._context.heads.request(data[:end])
        except BadMessage as problem:
            return self._reject_request(problem)
        if end < len(data):
            client.pending = data[end:]
            client.count_pending()
        self._begin_transaction(request)
        if b"via" in request.fields.control and self.client_fields.is_looping(request):
            why = "request loop: its Via names this proxy; a server forwards to this proxy"
            return self._fail_as(502, "proxy", why, "proxy_loop_detected")
        if self._chain.request_body or self._chain.request_chunk:
            self._representation = Representation(request.fields)
        steps = self._chain.request_head
        if not steps:
            return self._request_head_filtered()
        return self._run_phase(steps, self._request_head_filtered, self.FILTERING_REQUEST)

    def _unfinished(self, data: bytes) -> State | None:
        client = self._client_wire
        if not data and client.over:
            return self.CLOSED
        if client.over:
            why = "connection closed inside the request head"
            return self._reject_request(BadMessage(400, why, "RFC 9112 8"))
        if data and not self._head_begun:
            self._head_begun = True
            self._deadline.set(self.options.timeouts.head)
        elif not data and self.service.draining:
            self._deadline.set(max(self.client.moved_at + QUIET_S - self.engine.now, 0.001))
        client.pending = data
        client.count_pending()
        return None

    @READING_HEAD.on(
        Event.ERROR,
        to=(
            READING_HEAD, BUFFERING_REQUEST, FILTERING_REQUEST, CONNECTING,
            AWAITING_RESPONSE, CLOSED,
        ),
    )  # fmt: skip
    def client_ended(self, _: VIO) -> State | None:
        """Close if the client's connection failed. If TLS ended without close_notify, still serve
        the request that arrived before."""
        return self.CLOSED if self.client.error is not None else self.request_readable(None)

    @READING_HEAD.on(DEADLINE, to=(CLOSED,))
    def head_timed_out(self, _: object) -> State | None:
        """Close if no request arrived in time; answer 408 if its head is incomplete."""
        if self._deadline.early():
            return None
        if not self._head_begun:
            return self.CLOSED
        return self._reject_request(BadMessage(408, "request head too slow", "RFC 9110 15.5.9"))

    def _request_head_filtered(self) -> State | None:
        """Continue after `request_head`: buffer the body if a filter needs it, or route."""
        request = self.tx.request
        if request.method == "TRACE":
            return self._fail_as(501, "client", "TRACE is not supported", "http_request_error")
        if request.method == "OPTIONS" and max_forwards(request) == 0:
            return self._respond(Response(204))
        if not self._chain.request_body or request.method == "CONNECT":
            return self._find_destination()
        reader = body_reader(self._framing, self._limits, 400)
        self._body_buffer = BodyBuffer(self, reader, self._chain.request_limit, 413)
        if request.expects_continue and not self._client_wire.pending:
            self._client_wire.send(CONTINUE)
        self._body_began_s = self.engine.now
        return self._buffer_request()

    # -- its whole body, for a filter ----------------------------------------------------------

    @BUFFERING_REQUEST.on(
        Event.READ_READY, Event.EOS, Event.ERROR,
        to=(READING_HEAD, FILTERING_REQUEST, CONNECTING, AWAITING_RESPONSE, CLOSED),
    )  # fmt: skip
    def request_body_readable(self, _: VIO) -> State | None:
        """Buffer the part of the body that arrived, or abort if the client failed."""
        return self._client_left() if self.client.error is not None else self._buffer_request()

    def _buffer_request(self) -> State | None:
        assert self._body_buffer is not None
        try:
            body = self._body_buffer.take(self._client_wire)
        except BadMessage as problem:
            return self._fail_with(problem, "client")
        if body is None:
            if self._below_rate(self._body_buffer.held):
                return self._body_too_slow()
            times = self.options.timeouts
            self._set_deadline(min(times.body or NEVER, times.stalled or NEVER))
            return None if self.state is self.BUFFERING_REQUEST else self.BUFFERING_REQUEST
        self._request_consumed = True
        self._representation.body = body
        return self._run_phase(
            self._chain.request_body, self._request_body_filtered, self.FILTERING_REQUEST, body
        )

    def _request_body_filtered(self) -> State | None:
        """Continue after `request_body`: forward the body with Content-Length."""
        self.tx.request.expects_continue = False  # the client was sent 100
        if self._body != self._representation.body:
            self._representation.withdraw(self.tx.request.fields)
        self._framing = len(self._body)
        return self._find_destination()

    @BUFFERING_REQUEST.on(DEADLINE, to=(READING_HEAD, CLOSED))
    def request_body_timed_out(self, _: object) -> State | None:
        """Answer 408: the client stopped sending the body."""
        return None if self._deadline.early() else self._body_too_slow()

    def _body_too_slow(self) -> State:
        return self._fail_as(408, "client", "request body too slow", "http_request_error")

    def _below_rate(self, taken: int) -> bool:
        """Whether `taken` bytes of the request's body are fewer than `body_rate` requires now."""
        lasted_s = self.engine.now - self._body_began_s
        return lasted_s >= BODY_GRACE_S and taken < self.options.body_rate * lasted_s

    # -- a filter waits ------------------------------------------------------------------------

    @FILTERING_REQUEST.on(
        Called, SubrequestsDone, RESUMED,
        to=(READING_HEAD, BUFFERING_REQUEST, CONNECTING, AWAITING_RESPONSE, TUNNELLING, CLOSED),
    )  # fmt: skip
    @FILTERING_RESPONSE.on(
        Called, SubrequestsDone, RESUMED,
        to=(READING_HEAD, BUFFERING_RESPONSE, SENDING_RESPONSE, TUNNELLING, CLOSED),
    )  # fmt: skip
    def filter_resumed(self, data: Called | SubrequestsDone | None) -> State | None:
        """Resume the phase with the value that a filter waited for."""
        return self._resume(data)

    # -- a server --------------------------------------------------------------------------------

    def _find_destination(self) -> State | None:
        """Find the route or the address that the request is for."""
        tx = self.tx
        place = destination(tx.request, self.options)
        if isinstance(place, Failure):
            return self._fail(place)
        if isinstance(place, Route):
            if place.answer is not None:
                return self._respond(route_response(place.answer))
            tx.route = place
            tx.upstream = tx.upstreams[place.upstream] if place.upstream else self.service.upstream
            if tx.upstream is None:  # a forward proxy only
                return self._fail_as(
                    421, "client", "no route is for this host", "destination_not_found"
                )
        else:
            tx.upstream = self._context.origins.find(place)
        steps = self._chain.route
        if not steps:
            return self._route_filtered()
        return self._run_phase(steps, self._route_filtered, self.FILTERING_REQUEST)

    def _route_filtered(self) -> State | None:
        limit, length = self._body_limit, self._framing
        if limit and length is not None and length > limit:
            return self._fail_as(
                413, "client", "request body longer than its limit", "http_request_error"
            )
        return self._connect_server()

    def _connect_server(self) -> State | None:
        """Get a connection to a server: an idle one at the first attempt, but never for CONNECT."""
        tx, upstream = self.tx, self.tx.upstream
        assert upstream is not None
        if self._client_wire.over and (failure := self._client_failure) is not None:
            return self._abort(failure)
        tx.attempts += 1
        key = self._balance_key(upstream) if upstream.settings.balance == "hash" else None
        if tx.attempts == 1 and tx.request.form != "authority":
            idle = upstream.take(self, key=key, client=self.client.peer_address)
            if idle is not None:
                return self._reuse(idle)
        tx.reused = False
        self.server = upstream.connect(
            self,
            key=key,
            client=self.client.peer_address,
            tried=self._tried,
            timeout=self.service.connect_s,
            reuse=tx.request.form != "authority",
        )
        self._set_deadline()
        return self.CONNECTING

    def _reuse(self, server: NetVConnection) -> State | None:
        """Use a connection that has carried an earlier request."""
        self.tx.reused = True
        self._server_idle_s = self.engine.now - server.moved_at
        return self._server_selected(server)

    @CONNECTING.on(
        Event.CONNECTED,
        to=(READING_HEAD, CONNECTING, FILTERING_REQUEST, AWAITING_RESPONSE, TUNNELLING, CLOSED),
    )  # fmt: skip
    def connected(self, server: NetVConnection) -> State | None:
        """Use the new connection, or the idle one that became free while the request queued."""
        if server.open:
            return self._server_selected(server)
        upstream = self.tx.upstream
        assert upstream is not None
        kept = upstream.claim(self, server)
        self._drop_server()
        if kept is not None:
            return self._reuse(kept)
        self.tx.attempts -= 1  # no connection was tried
        return self._connect_server()

    @CONNECTING.on(Event.ERROR, to=(READING_HEAD, CONNECTING, CLOSED))
    def connect_failed(self, failed: NetVConnection | VIO) -> State | None:
        """Try another server, or fail the request. If the client failed, abort."""
        if isinstance(failed, VIO):
            return self._client_left()
        upstream = self.tx.upstream
        assert upstream is not None
        server = upstream.server_of(failed)
        if server is not None:
            self.tx.server = failed.name
            self._tried.append(server)
            if upstream.has_another(self._tried):
                self.log(f"server {failed.name} failed: {failed.error}; trying the next")
                self._drop_server()
                return self._connect_server()
        return self._fail(connect_failure(failed.error))

    def _server_selected(self, server: NetVConnection) -> State | None:
        tx = self.tx
        self.server = server
        tx.server = server.name
        steps = self._chain.server_chosen
        if not steps:
            return self._send_request()
        self._server_wire.attach(server)  # so that its end is detected while a filter waits
        return self._run_phase(steps, self._server_filtered, self.FILTERING_REQUEST)

    def _server_filtered(self) -> State | None:
        """Continue after `server_chosen`. Retry if the server sent anything before the request."""
        if not self._server_wire.idle and self.tx.request.form != "authority":
            return self._retry_or_fail(
                "data or end of stream before the request was sent", again=True
            )
        return self._send_request()

    # -- the request is sent ---------------------------------------------------------------------

    def _send_request(self) -> State | None:
        """Send the request and the part of its body that has arrived, the rest by a tunnel."""
        request, server = self.tx.request, self._server_wire
        assert self.server is not None
        if request.form == "authority":
            return self._start_tunnel(ESTABLISHED % self._context.heads.dates.line())
        pipeline = None if self._request_consumed else self._request_pipeline()
        request.body = self._framing
        if (request.method == "HEAD") is not self._bodiless:
            error = ValueError("a filter changed the method to or from HEAD")
            return self._fail_with(error, "plugin")
        try:
            message = self._context.heads.to_server(
                request, self.client_fields, upgrade=request.upgrade is not None
            )
        except ValueError as error:  # a filter made it invalid
            return self._fail_with(error, "plugin")
        server.attach(self.server)
        if not self._request_consumed:
            self._upload = up = BodyTransfer(self._client_wire, self._framing or 0, pipeline)
            self._body = up.take()
            if up.fault is not None:
                return self._fail_with(up.fault, "client")
            self._request_consumed = up.over
        message += self._body
        self._repeatable = self._request_consumed
        if self._request_consumed:
            self._upload = None
            server.send_first(message)
            self._set_deadline(self.options.timeouts.first_byte)
        else:
            up.begin(self, self.client, self.server, message, f"{self.name} up")
            self._body_expected = not request.expects_continue
            if self._body_expected:
                self._expect_request_body()
            else:
                self._set_deadline(self.options.timeouts.first_byte)
        return self.AWAITING_RESPONSE

    def _expect_request_body(self) -> None:
        """Start the timeouts for the client's body."""
        assert self.server is not None
        self.server.set_inactivity_timeout(self.options.timeouts.stalled)
        self._body_began_s = self.engine.now
        self._set_deadline(min(self._body_idle_left_s, BODY_GRACE_S))

    @property
    def _body_idle_left_s(self) -> float:
        """Seconds until `timeouts.body` passes if the client sends nothing; <= 0: it has passed."""
        assert self.server is not None
        moved_s = max(self._body_began_s, self.client.moved_at, self.server.moved_at)
        return moved_s + (self.options.timeouts.body or NEVER) - self.engine.now

    def _request_pipeline(self) -> BodyPipeline | None:
        """Return the pipeline for the request's body; None: it is forwarded unchanged."""
        steps = self._chain.request_chunk
        if self._framing is not None and not steps:
            return None
        if steps:
            self._representation.withdraw(self.tx.request.fields)
        if self._framing is None and not steps and not self._body_limit:
            return checked_only(self._limits, 400)
        reader = body_reader(self._framing, self._limits, 400)
        self._framing = None
        return BodyPipeline(reader, body_writer(None), self._bind_steps(steps), self._body_limit)

    @property
    def _request_unsent(self) -> bool:
        """Whether no byte of the request was sent."""
        if self._upload is None or self._upload.tunnel is None:
            return self._repeatable and self._server_wire.nothing_sent
        return self._upload.tunnel.sink.ndone == 0

    @property
    def _upload_delivered(self) -> bool:
        """Whether the body was sent and its TunnelDone is still queued: see `upload_done`."""
        return self._upload is not None and self._upload.delivered

    @AWAITING_RESPONSE.on(
        TunnelDone,
        to=(
            READING_HEAD, CONNECTING, FILTERING_RESPONSE, BUFFERING_RESPONSE,
            SENDING_RESPONSE, TUNNELLING, CLOSED,
        ),
    )  # fmt: skip
    def upload_done(self, done: TunnelDone) -> State | None:
        """Await the response, or fail: the tunnel of the request's body has ended."""
        if self._upload is None or done.tunnel is not self._upload.tunnel:
            return None
        failure = self._end_upload(done)
        if failure is not None:
            return self._fail(failure) if self.client.error is None else self._abort(failure)
        self._set_deadline(self.options.timeouts.first_byte)
        return (
            self._read_response_head()
            if self._server_wire.has_input or self._server_wire.over
            else None
        )

    def _end_upload(self, done: TunnelDone) -> Failure | None:
        """Take the connections back from the tunnel; return a Failure if the body was not sent."""
        up, self._upload = self._upload, None
        assert up is not None
        assert self.server is not None
        if not self.server.closed:
            self.server.set_inactivity_timeout(0)
        if up.fault is not None:
            return self._failure_of(up.fault, "client")
        if done.reason is not Reason.COMPLETE:
            return transfer_failure(done, self.client, ("client", "server"))
        up.resume_reading()
        self._server_wire.start_writing()
        self._request_consumed = True
        return None

    @AWAITING_RESPONSE.on(DEADLINE, to=(READING_HEAD, CLOSED))
    def response_timed_out(self, _: object) -> State | None:
        """Fail if the body is too slow or no response arrived in time; else set the next check."""
        if self._deadline.early():
            return None
        if self._upload is None:
            if self._time_left_s <= 0:
                why = Reason.ACTIVE.value
                return self._fail_as(504, "proxy", why, "http_response_timeout")
            why = "connection timed out: no response"
            return self._fail_as(504, "server", why, "connection_read_timeout")
        assert self._upload.tunnel is not None
        flow = self._upload.tunnel.flow
        taken = len(self._body) + flow.received
        if not self._body_expected:
            if not taken:
                # A server may ignore Expect, so this does not count as the server's failure.
                why = "no request body: the client waits for 100 (Continue), which did not arrive"
                return self._fail_as(408, "client", why, "http_request_error")
            self._body_expected = True  # the client may send without a 100 (RFC 9110 10.1.1)
            self._expect_request_body()
            return None
        silence_s = NEVER if flow.buffered else self._body_idle_left_s  # the server does not read
        if silence_s <= 0 or (self._below_rate(taken) and not flow.buffered):
            return self._body_too_slow()
        if self._time_left_s <= 0:
            return self._fail_as(
                408,
                "client",
                "request body not complete within timeouts.active",
                "http_request_error",
            )
        rate_s = BODY_GRACE_S - (self.engine.now - self._body_began_s) % BODY_GRACE_S
        self._set_deadline(max(min(silence_s, rate_s), 0.001))
        return None

    # -- the response arrives --------------------------------------------------------------------

    @AWAITING_RESPONSE.on(
        Event.READ_READY,
        to=(
            READING_HEAD, CONNECTING, FILTERING_RESPONSE, BUFFERING_RESPONSE,
            SENDING_RESPONSE, TUNNELLING, CLOSED,
        ),
    )  # fmt: skip
    def response_readable(self, vio: VIO) -> State | None:
        """Read what the server sent of its response. (The client's input stays in its buffer.)"""
        if vio is not self._server_wire.reads or self._upload_delivered:
            return None
        if self.tx.reused and self._request_unsent:
            return self._retry_or_fail("data before the request was sent", again=self._repeatable)
        return self._read_response_head()

    def _read_response_head(self) -> State | None:
        """Read the response's head; forward interim responses (1xx) before it."""
        server, request = self._server_wire, self.tx.request
        while True:
            data = server.take()
            try:
                end = head_end(data, self._limits)
                if end < 0:
                    server.pending = data
                    return self._response_missing() if server.over else None
                response = self._context.heads.response(data[:end], request.method)
            except BadMessage as problem:
                return self._fail_with(problem, "server")
            server.pending = data[end:]
            if response.status >= 200:
                break
            if response.status == 101:
                return self._switch_protocols(response)
            self._repeatable = False
            if response.status == 100 and self._upload is not None and not self._body_expected:
                self._body_expected = True
                self._expect_request_body()
            if request.version > 10 and not self._client_wire.full:  # else they are dropped
                self._client_wire.send(self._head_for_client(response, keep=True, body=0))
        self._repeatable = False
        control = response.fields.control
        if b"keep-alive" in control and (kept_s := keep_alive_s(response.fields)) is not None:
            assert self.tx.upstream is not None
            assert self.server is not None
            self.tx.upstream.keep_alive_announced(self.server, kept_s)
        self.tx.response = response
        self._response_framing = response.body, response.bodiless, response.persistent
        if self._chain.response_body or self._chain.response_chunk:
            self._representation = Representation(response.fields)
        steps = self._chain.response_head
        if not steps:
            return self._response_head_filtered()
        return self._run_phase(steps, self._response_head_filtered, self.FILTERING_RESPONSE)

    @AWAITING_RESPONSE.on(Event.EOS, Event.ERROR, to=(READING_HEAD, CONNECTING, CLOSED))
    def server_ended(self, vio: VIO) -> State | None:
        """Retry or fail if the server's connection ended; abort if the client's failed."""
        if vio.vc is self.server:
            return None if self._upload_delivered else self._response_missing()
        return self._client_left()

    def _response_missing(self) -> State | None:
        tx = self.tx
        assert self.server is not None
        error = self.server.error
        again = self._repeatable and (
            self._server_wire.nothing_sent
            or (tx.reused and tx.request.method in IDEMPOTENT and not self._server_wire.pending)
        )
        why = str(error) if error is not None else "connection closed without a response"
        if tx.reused and self.engine.now - self.server.moved_at < STALE_S:
            assert tx.upstream is not None
            tx.upstream.closed_early(self.server, self._server_idle_s)
            why += f" on a connection idle for {self._server_idle_s:.1f} s"
            if not again:
                why += "; not sent again, as the server may have processed it"
        return self._retry_or_fail(why, again)

    def _retry_or_fail(self, why: str, again: bool) -> State | None:
        """Send the request again on another connection if `again` allows it, else fail."""
        if again and self.tx.attempts <= self.options.retries:
            self._drop_server()
            return self._connect_server()
        return self._fail_as(502, "server", why, "connection_terminated")

    def _response_head_filtered(self) -> State | None:
        """Continue after `response_head`: send the response, or buffer its body for a filter."""
        try:
            response = check_sendable(self.tx.response)
        except (TypeError, ValueError) as error:
            return self._fail_with(error, "plugin")
        response.body, response.bodiless, response.persistent = self._response_framing
        chain = self._chain
        if chain.response_body or chain.response_chunk:
            if self._bodiless or response.status == 304:  # the body that GET would get is not known
                self._representation.withdraw(response.fields)
                response.fields.discard("Content-Length")
            elif not (chain.response_body or response.bodiless):
                self._representation.withdraw(response.fields)
        if not chain.response_body or response.bodiless:
            try:
                return self._send_response(response)
            except ValueError as error:  # a filter made it invalid
                return self._fail_with(error, "plugin")
        reader = body_reader(response.body, self._limits, 502)
        self._body_buffer = BodyBuffer(self, reader, self._chain.response_limit, 502)
        return self._buffer_response()

    # -- its whole body, for a filter -----------------------------------------------------------

    @BUFFERING_RESPONSE.on(
        Event.READ_READY, Event.EOS, Event.ERROR,
        to=(READING_HEAD, FILTERING_RESPONSE, CLOSED),
    )  # fmt: skip
    def response_body_readable(self, vio: VIO) -> State | None:
        """Buffer the part of the body that arrived, or abort if the client failed."""
        return self._buffer_response() if vio.vc is self.server else self._client_left()

    def _buffer_response(self) -> State | None:
        assert self._body_buffer is not None
        try:
            body = self._body_buffer.take(self._server_wire)
        except BadMessage as problem:
            return self._fail_with(problem, "server")
        if body is None:
            self._set_deadline(self.options.timeouts.stalled)
            return None if self.state is self.BUFFERING_RESPONSE else self.BUFFERING_RESPONSE
        self._representation.body = body
        return self._run_phase(
            self._chain.response_body, self._response_body_filtered, self.FILTERING_RESPONSE, body
        )

    def _response_body_filtered(self) -> State | None:
        """Continue after `response_body`: send the body with Content-Length."""
        response = self.tx.response
        if self._body != self._representation.body:
            self._representation.withdraw(response.fields)
        keep = self._can_keep_alive
        try:
            head = self._head_for_client(response, keep, len(self._body))
        except ValueError as error:
            return self._fail_with(error, "plugin")
        self._keep_alive = keep
        self._client_wire.send(head + self._body)
        return self._response_sent()

    @BUFFERING_RESPONSE.on(DEADLINE, to=(READING_HEAD, CLOSED))
    def response_body_timed_out(self, _: object) -> State | None:
        """Answer 504: the server stopped sending the body."""
        if self._deadline.early():
            return None
        return self._fail_as(504, "server", "response body too slow", "connection_read_timeout")

    # -- the response is sent --------------------------------------------------------------------

    def _send_response(self, response: Response) -> State | None:
        """Send the response with the part of its body that has arrived. A short rest is sent as it
        arrives, a longer one through a tunnel."""
        client, body, steps = self._client_wire, response.body, self._chain.response_chunk
        assert self.server is not None
        keep = self._can_keep_alive
        pipeline = None
        if body is None and not steps and self._version > 10:
            pipeline = checked_only(self._limits, 502)
        elif body is None or body < 0 or (steps and not response.bodiless):
            reader = body_reader(body, self._limits, 502)
            body = None if self._version > 10 else UNTIL_CLOSE
            keep = keep and body is None
            pipeline = BodyPipeline(reader, body_writer(body), self._bind_steps(steps))
        down = BodyTransfer(self._server_wire, body or 0, pipeline)
        data = down.take()
        if down.fault is not None:
            return self._fail_with(down.fault, "server")
        data = self._head_for_client(response, keep, body) + data
        self._keep_alive = keep
        if down.over:
            client.send(data)
            return self._response_sent()
        self._download = down
        if down.short:
            client.send(data)
            self._set_deadline(self.options.timeouts.stalled)
            return self.SENDING_RESPONSE
        down.begin(self, self.server, self.client, client.take_unsent() + data, f"{self.name} down")
        self.client.set_inactivity_timeout(self.options.timeouts.stalled)
        self._set_deadline()
        return self.SENDING_RESPONSE

    @SENDING_RESPONSE.on(Event.READ_READY, Event.EOS, Event.ERROR, to=(READING_HEAD, CLOSED))
    def response_data_readable(self, vio: VIO) -> State | None:
        """Send the next part of a short response; abort if the server or the client failed."""
        if vio.vc is self.client:
            return self._client_left()
        down, server = self._download, self._server_wire
        if down is None or down.tunnel is not None or vio is not server.reads:
            return None  # the tunnel handles the event
        data = down.take()
        if data:
            self._client_wire.send(data)
        if down.over:
            self._download = None
            return self._response_sent()
        if server.over:
            why = str(vio.error) if vio.error is not None else "connection closed inside the body"
            return self._abort(Failure(502, "server", why, "http_response_incomplete"))
        self._set_deadline(self.options.timeouts.stalled)
        return None

    @SENDING_RESPONSE.on(TunnelDone, to=(READING_HEAD, CLOSED))
    def transfer_done(self, done: TunnelDone) -> State | None:
        """Finish the response or abort: the tunnel of its body, or of the request's, has ended."""
        up, down = self._upload, self._download
        if up is not None and done.tunnel is up.tunnel:
            failure = self._end_upload(done)
            self._keep_alive = False  # the response's head was sent before the upload ended
            if failure is None or failure.party == "server":  # a response may follow
                return None
            return self._abort(failure)
        if down is None or done.tunnel is not down.tunnel:
            return None
        self._download = None
        self.client.set_inactivity_timeout(0)
        if down.fault is not None:
            return self._abort(self._failure_of(down.fault, "server"))
        if done.reason not in (Reason.COMPLETE, Reason.EOS):
            return self._abort(transfer_failure(done, self.server, ("server", "client")))
        down.resume_reading()
        self._client_wire.start_writing()
        return self._response_sent()

    def _response_sent(self) -> State:
        """End the transaction after the response was queued. Keep a reusable server connection."""
        tx, server, wire = self.tx, self.server, self._server_wire
        response, upstream = tx.response, tx.upstream
        assert server is not None
        assert upstream is not None
        upstream.succeeded(server)
        last = self.service.draining and tx.route is None  # the client named the server
        if response.persistent and self._request_consumed and wire.idle and not last:
            self.server = None
            wire.release()
            upstream.give(server)
        else:
            self._drop_server()
        return self._end_transaction(self._keep_alive)

    # -- tunnels ---------------------------------------------------------------------------------

    def _switch_protocols(self, response: Response) -> State | None:
        """Forward a 101 if the client has requested the upgrade; else answer 502."""
        wanted = self.tx.request.upgrade
        chosen = response.fields.get("Upgrade", wanted or "").lower()
        if wanted is None or chosen not in wanted.split(", ") or not self._request_consumed:
            return self._fail_as(
                502, "server", "101 without a matching Upgrade request", "http_upgrade_failed"
            )
        self.tx.response = response
        steps = self._chain.response_head
        if not steps:
            return self._switch_filtered()
        return self._run_phase(steps, self._switch_filtered, self.FILTERING_RESPONSE)

    def _switch_filtered(self) -> State:
        """Continue after `response_head` of a 101. Filters do not get the bytes after it."""
        try:
            response = self.tx.response
            if response.status != 101:
                raise ValueError(
                    "a filter changed the status 101; to refuse the switch, return a Response"
                )
            head = self._head_for_client(response, keep=True, body=0)
        except (AttributeError, TypeError, ValueError) as error:
            return self._fail_with(error, "plugin")
        return self._start_tunnel(head)

    def _start_tunnel(self, head: bytes) -> State:
        """Start a tunnel between client and server; it first sends the bytes read already."""
        assert self.server is not None
        data = b"" if self._server_wire.vc is None else self._server_wire.take()
        client = self._client_wire
        for vc in (self.client, self.server):
            vc.set_inactivity_timeout(self.service.inactivity_s)
        self._deadline.set(0)
        openings = client.take(), client.take_unsent() + head + data
        TwoWayTunnel(
            self, self.client, self.server, openings=openings,
            half_close=self.service.half_close, name=f"{self.name} tunnel",
        ).start()  # fmt: skip
        return self.TUNNELLING

    @TUNNELLING.on(TunnelDone, to=CLOSED)
    def tunnel_done(self, done: TunnelDone) -> None:
        """End the transaction; reset the client's connection if the tunnel failed."""
        if not done.reason.clean:
            self.log(done)
            self.close(done.error or ConnectionAbortedError(done.reason.value))
        self._end_transaction(keep=False)

    # -- in every state --------------------------------------------------------------------------

    @ALIVE.on(Event.EOS, Event.ERROR, to=(CLOSED,))
    def client_event(self, vio: VIO) -> State | None:
        """Abort if the client's connection failed or ended. (A tunnel reports the server's end.)"""
        return self._client_left() if vio.vc is self.client else None

    @SENDING_RESPONSE.on(DEADLINE, to=(CLOSED,))
    def response_deadline_passed(self, _: object) -> State | None:
        """Abort: the whole request, or the rest of a short response, took too long."""
        if self._deadline.early():
            return None
        if self._time_left_s > 0:
            failure = Failure(
                0, "server", "connection timed out inside the body", "connection_read_timeout"
            )
            return self._abort(failure)
        why = Reason.ACTIVE.value
        return self._abort(Failure(0, "proxy", why, "http_response_timeout"))

    @SENDING_RESPONSE.on(Event.ACTIVE_TIMEOUT, to=(CLOSED,))
    def client_active_timeout(self, _: VIO) -> State | None:
        """Abort: the listener's `timeouts.active` has passed."""
        if self._download is None or self._download.tunnel is not None:
            return None  # the tunnel reports the timeout
        why = Reason.ACTIVE.value
        return self._abort(Failure(0, "proxy", why, "http_response_timeout"))

    READING_HEAD.goes(Event.ACTIVE_TIMEOUT, CLOSED)

    @ALIVE.on(DEADLINE, to=(CLOSED,))
    def request_deadline_passed(self, _: object) -> State | None:
        """Answer 504: the whole request took too long, and no response was begun."""
        if self._deadline.early():
            return None
        self._keep_alive = False  # the value that a filter waits for may still arrive
        return self._fail_as(504, "proxy", Reason.ACTIVE.value, "http_response_timeout")

    @ALIVE.on(
        Event.READ_READY, Event.WRITE_READY, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT,
        NEXT_REQUEST, TunnelDone,
    )  # fmt: skip
    def ignored(self, _: object) -> None:
        """Ignore the event: input stays in its buffer, TunnelDone is of a stopped tunnel."""
