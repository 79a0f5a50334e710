"""WebReply and WebStream: how a handler answers a request, once or as long as the client reads.

Tested in tests/control/web/test_web_server.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from vcproxy.engine.units import show_size

if TYPE_CHECKING:
    from vcproxy.control.web.web_connection import WebConnection

STREAM_LIMIT: Final = 256 * 1024
"""Bytes of a stream that may wait for its client. A browser that is behind by more shows nothing
that is worth reading; 24 such streams are a third of the memory of the control."""

JSON: Final = "application/json"

WebBody: TypeAlias = bytes | Iterable[bytes]
"""A body as a whole, or in pieces, each made when the client has taken those before it. A client
without chunks (HTTP/1.0) gets the end of the connection as the end of the body."""

ANSWERED: Final = "ANSWERED"
"""Tag: a handler has answered. With a WebAnswer."""

STREAMED: Final = "STREAMED"
"""Tag: a handler has sent a piece of a stream. With the bytes."""

STREAM_OVER: Final = "STREAM_OVER"
"""Tag: a stream ends after what was sent. With why it ends at once, or ""."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served: the status and the text of the answer, {"error": text}."""

    status: int
    text: str
    fields: Mapping[str, str] | None = None
    """More fields of the head, as WWW-Authenticate."""


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """What a handler has answered."""

    status: int
    body: WebBody
    content_type: str
    fields: Mapping[str, str]
    stream: WebStream | None = None


class WebReply:
    """The way to answer one request: `send` or `stream`, once, at once or later.

    Any thread may call them. A client that has gone meanwhile gets nothing: that is no error.
    """

    __slots__ = ("_answered", "_connection")

    def __init__(self, connection: WebConnection) -> None:
        self._connection = connection
        self._answered = False

    def send(
        self,
        status: int,
        body: WebBody = b"",
        content_type: str = JSON,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the request. Raises RuntimeError if it is answered already.

        `body`: see WebBody; `fields`: more fields of the head.
        """
        self._answer(WebAnswer(status, body, content_type, fields or {}))

    def error(self, status: int, text: str) -> None:
        """Answer with {"error": text}."""
        self.send(status, error_body(text))

    def stream(
        self,
        content_type: str = "text/event-stream",
        fields: Mapping[str, str] | None = None,
        *,
        closed: Callable[[], None] | None = None,
    ) -> WebStream:
        """Answer with a stream, which goes on until it is closed or the client has gone.

        `closed` is called once at its end, in the thread of the server.
        """
        stream = WebStream(self._connection, closed)
        self._answer(WebAnswer(200, b"", content_type, fields or {}, stream))
        return stream

    def _answer(self, answer: WebAnswer) -> None:
        if self._answered:
            raise RuntimeError("the request is answered already: a reply is sent once")
        self._answered = True
        self._connection.engine.schedule(self._connection, ANSWERED, answer)


class WebStream:
    """A stream of text to one client, bounded: a client that does not read is closed.

    Any thread may call its methods, but only one at a time.
    """

    __slots__ = ("_closed", "_connection", "_given", "_written", "open")

    def __init__(self, connection: WebConnection, closed: Callable[[], None] | None) -> None:
        self._connection = connection
        self._closed = closed
        self._given = 0  # bytes that were passed to `send`
        self._written = 0  # bytes of them that the connection has got
        self.open = True
        """Whether the stream goes on: what is sent after its end is dropped."""

    def send(self, text: str) -> bool:
        """Send text; return whether the stream goes on. It ends if STREAM_LIMIT is exceeded."""
        data = text.encode("utf-8", "replace")
        if not self.open or not data:
            return self.open
        waiting = self._given - self._written + self._connection.unsent
        if waiting + len(data) > STREAM_LIMIT:
            self._end(f"{show_size(STREAM_LIMIT)} of a stream wait: the client does not read")
            return False
        self._given += len(data)
        self._connection.engine.schedule(self._connection, STREAMED, data)
        return True

    def close(self) -> None:
        """End the stream after what was sent."""
        self._end("")

    def _end(self, why: str) -> None:
        if self.open:
            self.open = False
            self._connection.engine.schedule(self._connection, STREAM_OVER, why)

    def written(self, size: int) -> None:
        """Count bytes that the connection has got. For the connection."""
        self._written += size

    def ended(self) -> None:
        """End: the connection is closed. For the connection."""
        self.open = False
        call, self._closed = self._closed, None
        if call is not None:
            call()


def error_body(text: str) -> bytes:
    """Return the body of an answer that refuses: {"error": text}."""
    return json.dumps({"error": text}).encode() + b"\n"


def event_text(data: str, name: str = "") -> str:
    """Return a server-sent event (HTML Living Standard 9.2) for `WebStream.send`."""
    head = f"event: {name}\n" if name else ""
    return head + "".join(f"data: {line}\n" for line in data.split("\n")) + "\n"


def pieces_of(body: WebBody) -> Iterator[bytes]:
    """Return a body in pieces."""
    return iter((body,) if isinstance(body, bytes) else body)
