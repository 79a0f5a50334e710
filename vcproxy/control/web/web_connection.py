"""WebConnection: one client of a WebServer. It reads a request, has it answered, and the next one.

    IDLE --first byte--> HEAD --head--> BODY --body--> ANSWERING --answer--> SENDING --sent--> IDLE
                                                       ANSWERING --stream--> STREAMING
    each one --end, error, timeout, refused, "close"--> CLOSED

Each state that waits for the client has a timeout, so that no slow client keeps a place for long.
Tested in tests/control/web/test_web_server.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.web.web_reply import (
    ANSWERED,
    JSON,
    STREAM_OVER,
    STREAMED,
    Refusal,
    WebAnswer,
    WebReply,
    WebStream,
    error_body,
    pieces_of,
)
from vcproxy.control.web.web_request import WebRequest
from vcproxy.engine.event import Event
from vcproxy.engine.held_memory import HeldMemory
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.body import BodyReader, BodyWriter, body_reader, body_writer
from vcproxy.http.message.messages import UNTIL_CLOSE, Body, Request, Response, has_no_body
from vcproxy.http.message.parsing import head_end, parse_request
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.sessions.lingering_close import LingeringClose
from vcproxy.sessions.streams import OutputStream

if TYPE_CHECKING:
    from vcproxy.control.web.web_server import WebRoute, WebServer
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO

BODY_LIMIT: Final = 64 * 1024
"""The most bytes of a request's body: as the longest line at the other door. Commands are short."""

READ: Final = 16 * 1024
"""Bytes that are read before they are looked at."""

PIECES_PER_TURN: Final = 16
"""Pieces of a body that are made in one turn of the engine: the other clients have theirs."""

PROCEED: Final = "PROCEED"
"""Tag: go on in the next turn."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class WebConnection(Machine):
    """Serves the requests of one VC, one after the other."""

    __slots__ = ("_answer", "_body", "_data", "_held", "_keep", "_output", "_pieces", "_reader",
                 "_reads", "_request", "_route", "_seen", "_server", "_stream", "_vc", "_version",
                 "_writer")  # fmt: skip

    OPEN = State()
    IDLE = State(parent=OPEN, initial=True, timeout="60s")  # as nginx keeps connections: 75 s
    HEAD = State(parent=OPEN, timeout="10s")  # one head is one segment
    BODY = State(parent=OPEN, timeout="30s")  # BODY_LIMIT comes over a line of 20 kbit/s
    ANSWERING = State(parent=OPEN, timeout="90s")  # a restart replaces the workers one by one
    SENDING = State(parent=OPEN, timeout="60s")  # some MiB at most
    STREAMING = State(parent=OPEN)
    CLOSED = State(final=True)

    IDLE.goes(Event.TIMEOUT, CLOSED)
    HEAD.goes(Event.TIMEOUT, CLOSED)
    SENDING.goes(Event.TIMEOUT, CLOSED)
    OPEN.goes(Event.ERROR, CLOSED)

    def __init__(self, server: WebServer, vc: NetVConnection) -> None:
        super().__init__(vc.engine, vc.mutex, name=vc.name)
        self._server = server
        self._vc: NetVConnection | None = vc
        self._data = b""  # input that was not used yet
        self._seen = 0  # bytes of it in which no end of a head was found
        self._held = HeldMemory(self)
        self._request: WebRequest
        self._route: WebRoute
        self._body: BodyReader
        self._version = 11
        self._keep = True
        self._answer: WebAnswer
        self._pieces: Iterator[bytes] = iter(())
        self._writer: BodyWriter | None = None
        self._stream: WebStream | None = None
        buffer = self.engine.buffer(READ)
        self._reader = buffer.reader()
        self._reads = vc.do_io_read(self, None, buffer)
        self._output = OutputStream(self, vc)

    @property
    def waiting(self) -> bool:
        """Whether it waits for its client, which sends no whole request or does not read the
        answer: it can be closed for another client."""
        state = self.state
        return state in (self.IDLE, self.HEAD, self.BODY) or (
            state is self.SENDING and self._output.full
        )

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client. Any thread may read it."""
        return self._output.reader.avail

    # -- a request ---------------------------------------------------------------------------

    @IDLE.enter
    def idle(self) -> None:
        """Go on with what came after the last request."""
        if self._data or self._reads.over:
            self.engine.schedule(self, PROCEED, None)

    @IDLE.on(Event.READ_READY, Event.EOS, PROCEED, to=(HEAD, BODY, ANSWERING, SENDING, CLOSED))
    @HEAD.on(Event.READ_READY, Event.EOS, to=(BODY, ANSWERING, SENDING, CLOSED))
    def head_came(self, _: object) -> State | None:
        """Read the head of a request, and its body if that has come too."""
        self._take()
        try:
            end = head_end(self._data, self._server.limits, seen=self._seen)
            if end < 0:
                self._seen = len(self._data)
                if self._reads.over:
                    if self.unsent:  # the answer to its last request
                        self._finish()
                    return self.CLOSED
                return self.HEAD if self._data and self.state is self.IDLE else None
            head, self._data, self._seen = self._data[:end], self._data[end:], 0
            return self._begin(parse_request(head, self._server.limits))
        except BadMessage as problem:
            return self._refuse(Refusal(problem.status, str(problem)))

    def _begin(self, head: Request) -> State | None:
        """Begin with a request. Raises BadMessage."""
        assert self._vc is not None
        self._version, self._keep = head.version, head.persistent
        vc = self._vc
        self._request = WebRequest(head, vc.name, unix=self._server.unix, secure=vc.secure)
        found = self._server.find(self._request)
        if isinstance(found, Refusal):
            return self._refuse(found, close=head.body != 0)
        if head.body is not None and head.body > BODY_LIMIT:
            return self._refuse(_too_long())
        self._route = found
        self._body = body_reader(head.body, self._server.limits)
        if head.body == 0:
            return self.ANSWERING
        if head.expects_continue and not self._data:
            self._output.send(CONTINUE)
        return self._read_body() or self.BODY

    @BODY.on(Event.READ_READY, Event.EOS, to=(ANSWERING, SENDING, CLOSED))
    def body_came(self, _: object) -> State | None:
        """Read the body of a request."""
        self._take()
        try:
            return self._read_body()
        except BadMessage as problem:
            return self._refuse(Refusal(problem.status, str(problem)))

    def _read_body(self) -> State | None:
        """Read the body that has come. Raises BadMessage."""
        body, request = self._body, self._request
        request.body += body.feed(self._data)
        self._data = b""
        if len(request.body) > BODY_LIMIT:
            return self._refuse(_too_long())
        self._held.hold(len(request.body))
        if body.over:
            self._data = body.rest
            return self.ANSWERING
        return self.CLOSED if self._reads.over else None

    @BODY.on(Event.TIMEOUT, to=SENDING)
    def body_late(self, _: object) -> None:
        """Answer with 408: the body has not come in time."""
        self._refuse(Refusal(408, "the body of the request did not come in time"))

    def _take(self) -> None:
        reader = self._reader
        if reader.avail:
            self._data += reader.read()
            self._held.hold(len(self._data))
            self._reads.reenable()

    # -- its answer --------------------------------------------------------------------------

    @ANSWERING.enter
    def answering(self) -> None:
        """Call the handler. What it sends comes as an event."""
        self._route.handler(self._request, WebReply(self))

    @ANSWERING.on(ANSWERED, to=(SENDING, STREAMING))
    def answered(self, answer: WebAnswer) -> State:
        """Send the answer."""
        self._answer = answer
        self._stream = answer.stream
        return self.SENDING if answer.stream is None else self.STREAMING

    @ANSWERING.on(Event.TIMEOUT, to=SENDING)
    def never_answered(self, _: object) -> None:
        """Answer with 504: there is no answer. One that comes later is dropped."""
        self._refuse(Refusal(504, "no answer in time: a part of the proxy is busy"))

    def _refuse(self, refusal: Refusal, *, close: bool = True) -> State:
        """Prepare the answer {"error": text}. `close`: its body may follow, and is not read."""
        self._keep = self._keep and not close
        body = error_body(refusal.text)
        self._answer = WebAnswer(refusal.status, body, JSON, refusal.fields or {})
        return self.SENDING

    @SENDING.enter
    def sending(self) -> None:
        """Send the head of the answer."""
        answer = self._answer
        body: Body = len(answer.body) if isinstance(answer.body, bytes) else None
        if body is None and self._version < 11:
            body = UNTIL_CLOSE
        self._keep = self._keep and body != UNTIL_CLOSE and not self._server.crowded
        self._send_head(answer, body)
        bodiless = has_no_body(answer.status, self._method)
        self._writer = None if bodiless else body_writer(body)
        self._pieces = pieces_of(answer.body)
        self.engine.schedule(self, PROCEED, None)

    @SENDING.on(PROCEED, Event.WRITE_READY, to=(IDLE, CLOSED))
    def proceed(self, _: object) -> State | None:
        """Send the body, as far as the client takes it."""
        writer, output = self._writer, self._output
        for _turn in range(PIECES_PER_TURN):
            if output.full:
                return None
            piece = next(self._pieces, None) if writer is not None else None
            if writer is None or piece is None:
                break
            output.send(writer.frame(piece))
        else:
            self.engine.schedule(self, PROCEED, None)
            return None
        if writer is not None:
            output.send(writer.finish())
        self._pieces = iter(())
        self._held.hold(len(self._data))
        if self._keep:
            return self.IDLE
        self._finish()
        return self.CLOSED

    @STREAMING.enter
    def streaming(self) -> None:
        """Send the head of a stream."""
        self._send_head(self._answer, UNTIL_CLOSE)

    @STREAMING.on(STREAMED)
    def streamed(self, data: bytes) -> None:
        """Send a piece of the stream."""
        assert self._stream is not None
        self._output.send(data)
        self._stream.written(len(data))

    @STREAMING.on(STREAM_OVER, to=CLOSED)
    def stream_over(self, why: str) -> None:
        """End the stream, in order or because the client does not read."""
        if not why:
            self._finish()

    @STREAMING.on(Event.EOS, to=CLOSED)
    def reader_gone(self, _: VIO) -> None:
        """End the stream: the client has gone."""

    def _send_head(self, answer: WebAnswer, body: Body) -> None:
        fields = {**self._server.fields, **answer.fields}
        if body != 0:
            fields.setdefault("Content-Type", answer.content_type)
        response = Response(answer.status, fields)
        response.bodiless = has_no_body(answer.status, self._method)
        if body is None and response.bodiless:
            body = 0
        head = self._server.heads.to_client(
            response, pseudonym="", version=self._version, keep=self._keep, body=body
        )
        self._output.send(head)

    @property
    def _method(self) -> str:
        try:
            return self._request.method
        except AttributeError:  # its head was refused
            return "GET"

    # -- the end -----------------------------------------------------------------------------

    @OPEN.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, PROCEED, ANSWERED, STREAMED)
    @OPEN.on(STREAM_OVER)
    def ignored(self, _: object) -> None:
        """Do nothing: it is looked at in another state, or comes too late."""

    def close(self) -> None:
        """Close the connection after its output, without another request. Its mutex is held."""
        if self.unsent:
            self._finish()
        self.abandon()

    def give_way(self) -> None:
        """Close the connection for another client, with a reset: after an orderly close its place
        would be taken for two more seconds, as its client may still send. Its mutex is held."""
        if self._vc is not None:
            vc, self._vc = self._vc, None
            self._reader.close()
            self._output.close()
            vc.do_io_close(ConnectionAbortedError("closed for another client"))
        self.abandon()

    def _finish(self) -> None:
        """Pass the VC on, to be closed after its output. What the client still sends is dropped,
        because a reset could destroy the answer."""
        assert self._vc is not None
        self._reader.close()
        LingeringClose(self._vc, self._output.reader).start()
        self._vc = None

    def finished(self) -> None:
        """Close the VC, unless it was passed on."""
        self._server.forget(self)
        self._pieces = iter(())
        self._held.hold(0)
        if self._vc is not None:
            cut = ConnectionAbortedError("the client did not read") if self.unsent else None
            self._reader.close()
            self._output.close()
            self._vc.do_io_close(cut)
            self._vc = None
        if self._stream is not None:
            self._stream.ended()


def _too_long() -> Refusal:
    return Refusal(413, f"the body is longer than {BODY_LIMIT} bytes")
