"""Subrequests: requests that the proxy itself creates, and their complete responses.

each: CONNECTING --CONNECTED--> AWAITING_RESPONSE --its response--> FINISHED

Tested in tests/http/proxy/test_proxied_filters.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.held_memory import HeldMemory
from vcproxy.engine.vio import VIO
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.body import body_reader
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.forwarding import to_server
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.message.parsing import head_end, parse_response
from vcproxy.http.proxy.body_buffer import BodyBuffer
from vcproxy.http.proxy.wire import Wire
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.http.message.limits import MessageLimits
    from vcproxy.http.proxy.request_record import RequestRecord
    from vcproxy.http.proxy.subrequest_record import SubrequestRecord
    from vcproxy.upstream.upstream import Upstream

BODY_LIMIT = 1 << 20
"""Maximum bytes of a response's body; a larger one becomes a 502: as `Phases.body_limit`."""

LATE = "LATE"
"""Tag: the time for the response has passed, or the group was cancelled."""


@dataclass(frozen=True, slots=True)
class SubrequestsDone:
    """The responses to all requests of a group, in the order of the requests."""

    responses: list[Response]
    name: str = "subrequests"


class Subrequest(Machine):
    """Sends one request to an upstream and reads the complete response."""

    __slots__ = (
        "_body_buffer", "_group", "_keep", "_message", "_method", "_number", "_record", "_response",
        "_server", "_timer", "_wire",
    )  # fmt: skip

    CONNECTING = State(initial=True)
    AWAITING_RESPONSE = State()
    FINISHED = State(final=True)

    def __init__(self, group: SubrequestGroup, number: int, request: Request) -> None:
        super().__init__(group.engine, group.mutex, name=f"{group.name} {number}")
        self._group = group
        self._number = number
        request = request.copy()
        request.body = len(request.content)  # the client's body is never sent again
        request.expects_continue = False
        self._method = request.method
        self._message = to_server(request, group.client_fields) + request.content
        self._keep = HeldMemory(self)
        self._keep.hold(len(self._message))
        self._server: NetVConnection | None = None
        self._wire = Wire(self)
        self._body_buffer: BodyBuffer | None = None
        self._response: Response | None = None
        self._timer: Action | None = None
        self._record: SubrequestRecord | None = None
        if group.parent is not None:
            from vcproxy.http.proxy.subrequest_record import SubrequestRecord

            self._record = SubrequestRecord(group.parent, request, group.mirror)

    @property
    def upstream(self) -> Upstream:
        """Where it is sent."""
        return self._group.upstream

    @CONNECTING.enter
    def connect(self) -> None:
        """Get a connection to a server of the upstream."""
        group = self._group
        self._timer = self.engine.schedule_in(group.timeout_s, self, LATE, None)
        self._server = group.upstream.connect(self, timeout=group.timeout_s)

    @CONNECTING.on(Event.CONNECTED, to=AWAITING_RESPONSE)
    def connected(self, server: NetVConnection) -> None:
        """Send the request."""
        if self._record is not None:
            self._record.connected(server)
        self._wire.attach(server)
        self._wire.send_first(self._message)
        self._message = b""
        self._keep.hold(0)

    @CONNECTING.on(Event.ERROR, to=FINISHED)
    def connect_failed(self, server: NetVConnection) -> None:
        """End with a 504 after a connect timeout, else with a 502."""
        if self._record is not None:
            self._record.failed(server.error, server)
        self._response = Response(504 if isinstance(server.error, TimeoutError) else 502)

    @AWAITING_RESPONSE.on(Event.READ_READY, Event.EOS, Event.ERROR, to=(FINISHED,))
    def response_readable(self, vio: VIO) -> State | None:
        """Read the part of the response that has arrived."""
        wire = self._wire
        try:
            while self._body_buffer is None:
                data = wire.take()
                if data and self._record is not None:
                    self._record.received()
                end = head_end(data, self._group.limits)
                if end < 0:
                    wire.pending = data
                    if wire.over:
                        raise BadMessage(502, "connection closed without a response", "RFC 9112 8")
                    return None
                wire.pending = data[end:]
                head = parse_response(data[:end], self._group.limits, self._method)
                if head.status >= 200:
                    self._response = head
                    reader = body_reader(head.body, self._group.limits, 502)
                    self._body_buffer = BodyBuffer(self, reader, BODY_LIMIT, 502)
            body = self._body_buffer.take(wire)
        except BadMessage as problem:
            if self._record is not None:
                self._record.failed(vio.error or problem)
            self._response = Response(502)
            return self.FINISHED
        if body is None:
            return None
        assert self._response is not None
        self._response.content = body
        if self._response.persistent and wire.idle:
            server, self._server = self._server, None
            assert server is not None
            wire.release()
            self._group.upstream.give(server)
        return self.FINISHED

    @CONNECTING.on(LATE, to=FINISHED)
    @AWAITING_RESPONSE.on(LATE, to=FINISHED)
    def timed_out(self, _: object) -> None:
        """End with a 504 as the response."""
        if self._record is not None:
            server = self._server if self.state is self.CONNECTING else None
            self._record.failed(TimeoutError("there was no response in time"), server)
        self._response = Response(504)

    @AWAITING_RESPONSE.on(Event.WRITE_READY)
    def ignored(self, vio: VIO) -> None:
        """Ignore the event: nothing is left to write."""

    def finished(self) -> None:
        """Close what is open, and report the response to the group."""
        assert self._timer is not None
        self._timer.cancel()
        self._body_buffer = None
        self._keep.hold(0)
        if self._server is not None:
            self._server.do_io_close()
        self._wire.close()
        assert self._response is not None
        if self._record is not None:
            self._record.write(self, self._response)
        self._group.finished(self._number, self._response)


class SubrequestGroup:
    """Several requests, sent at once. `owner` gets SubrequestsDone when all have a response: the
    server's, or a 502, 503 or 504.

    The body of each is its `content`. Raises ValueError for a request that cannot be sent.
    Subrequest and SubrequestGroup refer to each other: a group consists of subrequests.
    """

    def __init__(
        self,
        owner: Continuation,
        upstream: Upstream,
        requests: Sequence[Request],
        limits: MessageLimits,
        client_fields: ClientFields,
        timeout_s: float,
        *,
        parent: RequestRecord | None = None,
        mirror: bool = False,
    ) -> None:
        """`parent`: the record, in the access log, of the request that they are sent for; None:
        there is no access log. `mirror`: they are mirrored copies."""
        self.engine, self.mutex = owner.engine, owner.mutex
        self.name = "subrequest"
        self.upstream = upstream
        self.limits = limits
        self.client_fields = client_fields
        self.timeout_s = timeout_s
        self.parent = parent
        self.mirror = mirror
        self._owner = owner
        self._responses: list[Response | None] = [None] * len(requests)
        self._subrequests = [Subrequest(self, number, each) for number, each in enumerate(requests)]

    def start(self) -> None:
        """Send all requests. SubrequestsDone is queued, never delivered inside this call."""
        for subrequest in self._subrequests:
            subrequest.start()
        self._report()

    def cancel(self) -> None:
        """End all subrequests: the owner no longer needs the responses."""
        for subrequest in self._subrequests:
            self.engine.schedule(subrequest, LATE, None)

    def finished(self, number: int, response: Response) -> None:
        """Store the response of one subrequest; report when all have one."""
        self._responses[number] = response
        self._report()

    def _report(self) -> None:
        responses = [each for each in self._responses if each is not None]
        if len(responses) == len(self._responses):
            self.engine.schedule(self._owner, SubrequestsDone, SubrequestsDone(responses))
