"""How a relay answers HTTP clients that subscribe: with its stream, or with a refusal.

The response has no length: the stream is its body, until the connection is closed (RFC 9112 6.3,
rule 8). So every version of HTTP and every client can read it, and all sinks get the same bytes.
Imported only by relays with `http_subscribers`.
"""

from __future__ import annotations

from http import HTTPStatus

from vcproxy.framing.decoding import Decoder, FramingError
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.dates import http_date
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.parsing import HEAD_END, parse_request
from vcproxy.http.proxy.refused_message import without_credentials as without_credentials
from vcproxy.messages.verdict import Accept, Reject

LIMITS = MessageLimits(head=8 << 10)
"""8 KiB of head: players send a few hundred bytes, and each client may hold that much memory."""


class HeadDecoder:
    """Returns the head of one request, and nothing after it: a body, or another request, is not
    read. Of a head over the limit it returns the beginning, so that it is answered, too."""

    __slots__ = ("_held", "_taken", "fault")

    def __init__(self) -> None:
        self.fault: FramingError | None = None
        self._held = bytearray()
        self._taken = False

    def feed(self, data: bytes) -> list[bytes]:
        """See Decoder."""
        if self._taken:
            return []
        held = self._held
        begin = max(0, len(held) - len(HEAD_END) + 1)
        held += data
        end = held.find(HEAD_END, begin)
        if end < 0 and len(held) <= LIMITS.head:
            return []
        self._taken = True
        return [bytes(held[:end] if end >= 0 else held)]

    def finish(self) -> None:
        """See Decoder."""
        if self._held and not self._taken:
            self.fault = FramingError.TRUNCATED


class RequestHead:
    """The framing of requests: see HeadDecoder."""

    def decoder(self) -> Decoder:
        """See Framing."""
        return HeadDecoder()

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        return message + HEAD_END


def answer(request: bytes, path: str, content_type: str, wall: int) -> Accept | Reject:
    """Return the verdict on a client: a GET of `path` is accepted, with the head of the response.

    HEAD gets that head only. Everything else is refused: with 404 for another path, 405 for another
    method, else with the status of the rule that the request violates.

    Args:
        request: the head of a request, without its empty line.
        path: the canonical path of the stream, without a query.
        content_type: the media type of the stream.
        wall: seconds since 1970, for the Date; 0: not known.
    """
    try:
        parsed = parse_request(request + HEAD_END, LIMITS)
    except BadMessage as bad:
        return _refusal(bad.status, bad.why, wall)
    if parsed.method not in ("GET", "HEAD"):
        return _refusal(405, "only GET and HEAD", wall, "Allow: GET, HEAD")
    if parsed.path != path:
        return _refusal(404, f"the stream is at {path}", wall)
    head = _head(200, wall, f"Content-Type: {content_type}", "Accept-Ranges: none")
    if parsed.method == "HEAD":
        return Reject(head, why="HEAD: it gets the head of the response only")
    return Accept(wait=head)


def _refusal(status: int, why: str, wall: int, *fields: str) -> Reject:
    body = f"{why}\n".encode()
    kind = "Content-Type: text/plain; charset=utf-8"
    head = _head(status, wall, kind, f"Content-Length: {len(body)}", *fields)
    return Reject(head + body, why=f"{status}: {why}")


def _head(status: int, wall: int, *fields: str) -> bytes:
    lines = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *([f"Date: {http_date(wall)}"] if wall else []),
        *fields,
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + HEAD_END
