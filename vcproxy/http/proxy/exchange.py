"""Exchange: one request and its response.

    RECEIVED --> CONNECTING --CONNECTED--> AWAITING_RESPONSE --a head--> SENDING_RESPONSE --> KEPT
       |             ^ not with an idle       |  while its body            |  while a tunnel
       |             | connection             |  is sent:                  |  sends the body:
       |             |                        |  SENDING_REQUEST           |  STREAMING_RESPONSE
       +-- BUFFERING_REQUEST,                 +-- FILTERING_RESPONSE,      +--> CLOSED, ABORTED
       |   FILTERING_REQUEST:                 |   BUFFERING_RESPONSE:
       |   a filter needs the                 |   likewise
       |   whole body, or waits               |
       +-- CONNECT ----> TUNNELLING <---------+ Upgrade

The machine of its connection, HttpProxy, passes on all events that it gets. The final state is the
result: KEPT, the connection may carry another request; CLOSED, it is closed after the response;
ABORTED, it was reset.

A file is opened (OPENING_FILE) unless it is open, and sent without a server; what the client does
not take at once, as it does (SENDING_FILE).

A longer body of known length is moved by a OneWayTunnel, which the driver may bridge. Any other is
moved by a MessageTunnel: chunks that no filter changes are only checked, everything else is decoded
and framed again. Tested in tests/http/proxy, most in test_keep_alive.py, test_servers.py,
test_bodies.py, test_times.py and test_exchange.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.calls import Called
from vcproxy.engine.event import Event
from vcproxy.engine.vio import VIO
from vcproxy.http.files.file_tags import FILE_FAILED, FILE_READY
from vcproxy.http.message.messages import Body, Request
from vcproxy.http.proxy import answering, requesting
from vcproxy.http.proxy.client_side import DEADLINE, ClientSide
from vcproxy.http.proxy.deadline import NEVER
from vcproxy.http.proxy.download import Download
from vcproxy.http.proxy.ending import abort, client_left, fail, fail_as, failure_of
from vcproxy.http.proxy.failure import Failure, connect_failure, transfer_failure
from vcproxy.http.proxy.filtering import RESUMED, SuspendedPhase, resume
from vcproxy.http.proxy.sent_request import SentRequest
from vcproxy.http.proxy.server_side import ServerSide
from vcproxy.http.proxy.subrequests import SubrequestsDone
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.http.proxy.tunnelling import end_tunnel
from vcproxy.http.proxy.upload import TOO_SLOW, Upload
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.tunnels.done import Reason, TunnelDone

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.files.open_files import OpenFile
    from vcproxy.http.proxy.file_sending import FileUse

NO_TIME_LEFT = Failure(504, "proxy", Reason.ACTIVE.value, "http_response_timeout")
CUT_OFF = Failure(0, "proxy", Reason.ACTIVE.value, "http_response_timeout")


class Exchange(Machine):
    """Serves one request of a client. Start it, then pass it a Request or a SentRequest, and after
    that the events of its connection, until its state is final."""

    __slots__ = (
        "bodiless", "body", "chain", "client", "download", "keep_alive", "received", "result",
        "server", "suspended", "tx", "upload", "version",
    )  # fmt: skip

    ALIVE = State()
    RECEIVED = State(parent=ALIVE, initial=True)
    BUFFERING_REQUEST = State(parent=ALIVE)
    FILTERING_REQUEST = State(parent=ALIVE)
    CONNECTING = State(parent=ALIVE)
    AWAITING_RESPONSE = State(parent=ALIVE)
    SENDING_REQUEST = State(parent=AWAITING_RESPONSE)
    BUFFERING_RESPONSE = State(parent=ALIVE)
    FILTERING_RESPONSE = State(parent=ALIVE)
    OPENING_FILE = State(parent=ALIVE)
    SENDING_FILE = State(parent=ALIVE)
    SENDING_RESPONSE = State(parent=ALIVE)
    STREAMING_RESPONSE = State(parent=SENDING_RESPONSE)
    TUNNELLING = State(parent=ALIVE)
    KEPT = State(final=True)
    CLOSED = State(final=True)
    ABORTED = State(final=True)

    ENDED = (KEPT, CLOSED, ABORTED)
    SENT = (
        *ENDED, CONNECTING, AWAITING_RESPONSE, SENDING_REQUEST, OPENING_FILE, SENDING_FILE,
    )  # fmt: skip
    """The states that may follow when the request may be sent, or answered with a file."""
    ANSWERED = (
        *ENDED, FILTERING_RESPONSE, BUFFERING_RESPONSE, SENDING_RESPONSE, STREAMING_RESPONSE,
        TUNNELLING,
    )  # fmt: skip
    """The states that may follow when there is a response."""

    received: tuple[Body, bool, bool]
    """The `body`, `bodiless` and `persistent` of the response as it was received."""

    def __init__(self, client: ClientSide, request: Request, began_s: float, keep: bool) -> None:
        """`began_s`: the time at which the head was complete; `keep`: whether the connection may
        carry another request after this one."""
        super().__init__(client.cont.engine, client.cont.mutex, name=client.vc.name)
        self.client = client
        self.chain = client.chains.base
        """The phases to call: from the route on, those of the route."""
        self.tx = tx = Transaction(client.context, request, began_s)
        if client.log is not None:
            tx.record = client.log.begin(request, began_s)
        self.server = ServerSide(client, tx)
        self.upload: Upload | None = None
        """The body of the request, if it has one or a filter may give it one."""
        self.download: Download | None = None
        """The body of the response, unless it is sent with its head."""
        self.suspended: SuspendedPhase | FileUse | None = None
        """The phase in which a filter waits, or the file that is sent."""
        self.body = b""
        """The body as the filters of a phase for bodies have returned it."""
        self.bodiless = request.method == "HEAD"
        """Whether the client expects no body."""
        self.version = request.version
        """The client's version of HTTP: 10 or 11."""
        self.keep_alive = keep
        """Whether the connection may carry another request, as far as is known."""
        self.result: State | None = None
        """The final state; None: it has not ended."""

    # -- the request -------------------------------------------------------------------------

    @RECEIVED.on(Request, to=(*SENT, BUFFERING_REQUEST, FILTERING_REQUEST))
    def begin(self, _: Request) -> State | None:
        """Call the first filters, and go on as far as possible."""
        return requesting.begin(self)

    @RECEIVED.on(SentRequest, to=AWAITING_RESPONSE)
    def resume_sent(self, sent: SentRequest) -> None:
        """Go on with a request that was sent on the direct path."""
        requesting.resume(self, sent)

    @BUFFERING_REQUEST.on(Event.READ_READY, Event.EOS, Event.ERROR, to=(*SENT, FILTERING_REQUEST))
    def request_body_readable(self, _: VIO) -> State | None:
        """Read the part of the body that arrived, or abort if the client failed."""
        if self.client.vc.error is not None:
            return client_left(self)
        return requesting.collect_request(self)

    @BUFFERING_REQUEST.on(DEADLINE, to=ENDED)
    def request_body_timed_out(self, _: object) -> State | None:
        """Answer 408: the client stopped sending the body."""
        return None if self.client.deadline.early() else fail(self, TOO_SLOW)

    @FILTERING_REQUEST.on(
        Called, SubrequestsDone, RESUMED, to=(*SENT, BUFFERING_REQUEST, TUNNELLING)
    )
    @FILTERING_RESPONSE.on(Called, SubrequestsDone, RESUMED, to=ANSWERED)
    def filter_resumed(self, data: Called | SubrequestsDone | None) -> State | None:
        """Go on with the phase, with the value that a filter waited for."""
        return resume(self, data)

    @CONNECTING.on(Event.CONNECTED, requesting.CONNECT, to=(*SENT, FILTERING_REQUEST, TUNNELLING))
    def connected(self, vc: NetVConnection | None) -> State | None:
        """Use the new connection, or the idle one that became free while the request queued."""
        if vc is not None and (vc.open or self.server.claim(vc)):
            return requesting.server_selected(self)
        return requesting.connect_server(self)

    @CONNECTING.on(Event.ERROR, to=(*ENDED, CONNECTING))
    def connect_failed(self, failed: NetVConnection | VIO) -> State | None:
        """Try another server, or fail the request. If the client failed, abort."""
        if isinstance(failed, VIO):
            return client_left(self)
        if self.server.another_after(failed):
            self.log(f"server {failed.name} failed: {failed.error}; trying the next")
            self.drop_server()
            return requesting.connect_server(self)
        return fail(self, connect_failure(failed.error))

    # -- its body is sent --------------------------------------------------------------------

    @SENDING_REQUEST.on(TunnelDone, to=(*ANSWERED, CONNECTING, AWAITING_RESPONSE))
    def upload_done(self, done: TunnelDone) -> State | None:
        """Await the response, or fail: the tunnel of the request's body has ended."""
        failure = self._finish_upload(done)
        if failure is not None:
            return fail(self, failure) if self.client.vc.error is None else abort(self, failure)
        self.set_deadline(self.client.options.timeouts.first_byte)
        if not self.server.wire.has_news:
            return self.AWAITING_RESPONSE
        return answering.read_response_head(self) or self.AWAITING_RESPONSE

    @SENDING_REQUEST.on(DEADLINE, to=ENDED)
    def upload_checked(self, _: object) -> State | None:
        """Fail if the body is too slow; else set the next check."""
        if self.client.deadline.early():
            return None
        assert self.upload is not None
        pace = self.upload.pace()
        if isinstance(pace, Failure):
            return fail(self, pace)
        if self.time_left_s <= 0:
            why = "request body not complete within timeouts.active"
            return fail_as(self, 408, "client", why, "http_request_error")
        self.set_deadline(pace)
        return None

    @SENDING_REQUEST.on(Event.READ_READY, to=(*ANSWERED, CONNECTING))
    def readable_before_the_end(self, vio: VIO) -> State | None:
        """Read what the server sent before it got all of the request."""
        assert self.upload is not None
        if vio is not self.server.wire.reads or self.upload.delivered:  # see upload_done
            return None
        if self.tx.reused and self.upload.nothing_sent:
            return requesting.retry_or_fail(self, "data before the request was sent", again=False)
        return answering.read_response_head(self)

    def _finish_upload(self, done: TunnelDone) -> Failure | None:
        assert self.upload is not None
        why = self.upload.finish(done, self.server)
        return failure_of(self, why, "client") if isinstance(why, Exception) else why

    # -- the response ------------------------------------------------------------------------

    @AWAITING_RESPONSE.on(Event.READ_READY, to=(*ANSWERED, CONNECTING))
    def response_readable(self, vio: VIO) -> State | None:
        """Read what the server sent of its response. (The client's input stays in its buffer.)"""
        server = self.server
        if vio is not server.wire.reads:
            return None
        if self.tx.reused and server.repeatable and server.wire.nothing_sent:
            return requesting.retry_or_fail(self, "data before the request was sent", again=True)
        return answering.read_response_head(self)

    @AWAITING_RESPONSE.on(Event.EOS, Event.ERROR, to=(*ENDED, CONNECTING))
    def server_ended(self, vio: VIO) -> State | None:
        """Retry or fail if the server's connection ended; abort if the client's failed."""
        if vio.vc is not self.server.vc:
            return client_left(self)
        if self.upload is not None and self.upload.delivered:  # see upload_done
            return None
        return requesting.retry_or_fail(self, *self.server.unanswered())

    @AWAITING_RESPONSE.on(DEADLINE, to=ENDED)
    def response_timed_out(self, _: object) -> State | None:
        """Answer 504: no response arrived in time."""
        if self.client.deadline.early():
            return None
        if self.time_left_s <= 0:
            return fail(self, NO_TIME_LEFT)
        why = "connection timed out: no response"
        return fail_as(self, 504, "server", why, "connection_read_timeout")

    @BUFFERING_RESPONSE.on(
        Event.READ_READY, Event.EOS, Event.ERROR, to=(*ENDED, FILTERING_RESPONSE)
    )
    def response_body_readable(self, vio: VIO) -> State | None:
        """Read the part of the body that arrived, or abort if the client failed."""
        of_server = vio.vc is self.server.vc
        return answering.collect_response(self) if of_server else client_left(self)

    @BUFFERING_RESPONSE.on(DEADLINE, to=ENDED)
    def response_body_timed_out(self, _: object) -> State | None:
        """Answer 504: the server stopped sending the body."""
        if self.client.deadline.early():
            return None
        return fail_as(self, 504, "server", "response body too slow", "connection_read_timeout")

    # -- it is sent --------------------------------------------------------------------------

    @SENDING_RESPONSE.on(Event.READ_READY, Event.EOS, Event.ERROR, to=ENDED)
    def response_data_readable(self, vio: VIO) -> State | None:
        """Send the next part of a short response; abort if the server or the client failed."""
        if vio.vc is self.client.vc:
            return client_left(self)
        return answering.send_rest(self, vio) if vio is self.server.wire.reads else None

    @STREAMING_RESPONSE.on(Event.READ_READY, Event.EOS, Event.ERROR, to=ENDED)
    @ALIVE.on(Event.EOS, Event.ERROR, to=ENDED)
    def client_event(self, vio: VIO) -> State | None:
        """Abort if the client's connection failed or ended. (A tunnel reports the server's end.)"""
        return client_left(self) if vio.vc is self.client.vc else None

    @SENDING_RESPONSE.on(TunnelDone, to=ENDED)
    def transfer_done(self, done: TunnelDone) -> State | None:
        """Finish the response or abort: the tunnel of its body, or of the request's, has ended."""
        if self.upload is not None and self.upload.is_from(done):
            failure = self._finish_upload(done)
            self.keep_alive = False  # the response's head was sent before the upload ended
            if failure is None or failure.party == "server":  # a response may follow
                return None
            return abort(self, failure)
        download = self.download
        if download is None or not download.is_from(done):
            return None
        self.client.vc.set_inactivity_timeout(0)
        if download.transfer.fault is not None:
            return abort(self, failure_of(self, download.transfer.fault, "server"))
        if done.reason not in (Reason.COMPLETE, Reason.EOS):
            return abort(self, transfer_failure(done, self.server.vc, ("server", "client")))
        download.resume()
        return answering.response_sent(self)

    @SENDING_RESPONSE.on(DEADLINE, to=ENDED)
    def response_deadline_passed(self, _: object) -> State | None:
        """Abort: the whole request, or the rest of a short response, took too long."""
        if self.client.deadline.early():
            return None
        if self.time_left_s <= 0:
            return abort(self, CUT_OFF)
        why = "connection timed out inside the body"
        return abort(self, Failure(0, "server", why, "connection_read_timeout"))

    @SENDING_FILE.on(Event.ACTIVE_TIMEOUT, to=ENDED)
    @SENDING_RESPONSE.on(Event.ACTIVE_TIMEOUT, to=ENDED)
    def client_active_timeout(self, _: VIO) -> State | None:
        """Abort: the listener's `timeouts.active` has passed."""
        return abort(self, CUT_OFF)

    @TUNNELLING.on(TunnelDone, to=CLOSED)
    def tunnel_done(self, done: TunnelDone) -> None:
        """End the transaction; reset the client's connection if the tunnel failed."""
        end_tunnel(self, done)

    # -- files -------------------------------------------------------------------------------

    @OPENING_FILE.on(FILE_READY, to=(*ENDED, SENDING_FILE))
    def file_opened(self, file: OpenFile) -> State | None:
        """Answer with the file, or with the reason why it is not opened."""
        from vcproxy.http.proxy import file_sending

        return file_sending.file_ready(self, file)

    @SENDING_FILE.on(Event.WRITE_READY, to=ENDED)
    def file_sent_more(self, vio: VIO) -> State | None:
        """Wait until all is sent."""
        from vcproxy.http.proxy import file_sending

        return file_sending.sent_more(self)

    @SENDING_FILE.on(FILE_FAILED, to=ENDED)
    def file_failed(self, why: str) -> State | None:
        """Abort: the file cannot be read."""
        from vcproxy.http.proxy import file_sending

        return file_sending.file_failed(self, why)

    @SENDING_FILE.on(DEADLINE, to=ENDED)
    def file_stalled(self, _: object) -> State | None:
        """Abort: the client takes nothing, or the whole request took too long."""
        from vcproxy.http.proxy import file_sending

        return None if self.client.deadline.early() else file_sending.stalled(self)

    # -- in every state ----------------------------------------------------------------------

    @ALIVE.on(DEADLINE, to=ENDED)
    def request_deadline_passed(self, _: object) -> State | None:
        """Answer 504: the whole request took too long, and no response was begun."""
        if self.client.deadline.early():
            return None
        self.keep_alive = False  # a filter's late result must not reach the next request
        return fail(self, NO_TIME_LEFT)

    @STREAMING_RESPONSE.on(Event.ACTIVE_TIMEOUT)
    @ALIVE.on(
        Event.READ_READY, Event.WRITE_READY, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT,
        TunnelDone,
    )  # fmt: skip
    def ignored(self, _: object) -> None:
        """Ignore the event: input stays in its buffer, TunnelDone is of a stopped tunnel; a tunnel
        reports its timeout."""

    def finished(self) -> None:
        """Count the request, and release what is left: no reusable server connection."""
        self.result = self.state
        tx = self.tx
        if tx.record is not None:
            tx.record.write(self)
        self.client.listener.counts.answered(tx.status, self.engine.now - tx.began_s)
        if self.suspended is not None:
            self.suspended.cancel()
        if self.server.vc is not None:
            self.drop_server()
        if self.upload is not None:
            self.upload.close()
        if self.download is not None:
            self.download.close()

    # -- for the steps of an exchange --------------------------------------------------------

    def at(self, state: State) -> State | None:
        """Return the state, or None if it is the current one."""
        return None if self.state is state else state

    def log(self, text: object) -> None:
        """Log a line that begins with the client's name."""
        self.engine.log("info", f"{self.name}: {text}")

    @property
    def request_consumed(self) -> bool:
        """Whether the whole request was read from the client."""
        return self.upload is None or self.upload.consumed

    @property
    def can_keep_alive(self) -> bool:
        """Whether the client's connection may carry another request after the response."""
        return self.keep_alive and self.request_consumed and not self.client.service.draining

    @property
    def time_left_s(self) -> float:
        """Seconds until `timeouts.active` of the request has passed."""
        active = self.client.options.timeouts.active
        return self.tx.began_s + active - self.engine.now if active else NEVER

    def set_deadline(self, seconds: float = 0) -> None:
        """Set the next step's deadline (0: none), at the latest that of the whole request."""
        if self.client.options.timeouts.active:
            seconds = min(seconds or NEVER, max(self.time_left_s, 0.001))
        self.client.deadline.set(seconds)

    def stop_transfers(self) -> None:
        """Stop the tunnels of both bodies."""
        if self.upload is not None:
            self.upload.stop()
        if self.download is not None:
            self.download.stop()

    def drop_server(self, error: Exception | None = None) -> None:
        """Stop the transfers and close the server's connection; with an error by a reset."""
        self.stop_transfers()
        self.server.drop(error)
