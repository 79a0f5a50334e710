"""Wire: an independent parser for the bytes of a connection, strict and slow.

It shares no code with the proxy under test. Data with more than one reading raises `Broken`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE = rb"(%s):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\r\n" % _TOKEN
_LINES = rb"((?:%s:[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n" % _TOKEN
_REQUEST = re.compile(rb"(%s [\x21-\x7e]+ HTTP/1\.[01])\r\n%s" % (_TOKEN, _LINES))
_ANSWER = re.compile(rb"(HTTP/1\.[01] [1-9]\d\d(?: [\t\x20-\x7e\x80-\xff]*)?)\r\n%s" % _LINES)
_FIELD = re.compile(_LINE)
_END = re.compile(rb"\r?\n\r?\n")
"""All ends of heads that a lenient reader accepts: they must be those of the strict reader."""
_VALUE = rb'(?:%s|"(?:[\t !\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*")' % _TOKEN
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;%s(?:=%s)?)*\r\n" % (_TOKEN, _VALUE))
_TRAILERS = re.compile(_LINES)


class Broken(Exception):
    """Bytes that different readers read in different ways."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer; if incomplete, `body` is the part that was received."""

    start: str
    fields: tuple[tuple[str, str], ...]
    body: bytes = b""
    complete: bool = True

    @property
    def method(self) -> str:
        return self.start.partition(" ")[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def interim(self) -> bool:
        return 100 <= self.status < 200 and self.status != 101

    def values(self, name: str) -> list[str]:
        """The values of all lines of that name, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]


@dataclass(slots=True)
class Received:
    """What a connection has sent so far."""

    messages: list[Message] = field(default_factory=list)
    rest: bytes = b""
    """Bytes after the last complete message: the beginning of another one, or invalid."""
    fault: str = ""


def requests(data: bytes) -> Received:
    """Read the requests that a server gets."""
    return _read(data, lambda data, _: _request(data))


def answers(data: bytes, methods: Sequence[str], ended: bool) -> Received:
    """Parse the answers that a client got, first to requests with `methods`, then to GET requests.

    Interim answers are included. The last answer may be incomplete.
    """
    final = 0

    def answer(data: bytes, at_end: bool) -> tuple[Message, bytes] | None:
        nonlocal final
        method = methods[final] if final < len(methods) else "GET"
        found = _answer(data, method, at_end)
        if found is not None and not found[0].interim:
            final += 1
        return found

    return _read(data, answer, ended)


def _read(
    data: bytes,
    one: Callable[[bytes, bool], tuple[Message, bytes] | None],
    ended: bool = False,
) -> Received:
    received = Received(rest=data)
    try:
        while received.rest and (found := one(received.rest, ended)) is not None:
            received.messages.append(found[0])
            if not found[0].complete:
                break
            received.rest = found[1]
    except Broken as broken:
        received.fault = str(broken)
    return received


def _head(data: bytes, shape: re.Pattern[bytes]) -> tuple[Message, bytes] | None:
    end = _END.search(data)
    if end is None:
        return None
    match = shape.fullmatch(data, 0, end.end())
    if match is None:
        raise Broken(f"no such head in HTTP: {data[: end.end()][:80]!r}")
    return Message(match[1].decode("latin-1"), _fields(match[2])), data[end.end() :]


def _fields(lines: bytes) -> tuple[tuple[str, str], ...]:
    return tuple((k.decode(), v.decode("latin-1")) for k, v in _FIELD.findall(lines))


def _request(data: bytes) -> tuple[Message, bytes] | None:
    found = _head(data, _REQUEST)
    if found is None:
        return None
    head, rest = found
    if len(head.values("Host")) != 1:
        raise Broken(f"{len(head.values('Host'))} Host fields")
    length = _length(head)
    return _body(head, rest, 0 if length == "none" else length)


def _answer(data: bytes, method: str, ended: bool) -> tuple[Message, bytes] | None:
    found = _head(data, _ANSWER)
    if found is None:
        return None
    head, rest = found
    if head.status < 200 or head.status in (204, 304) or method == "HEAD":
        return head, rest
    length = _length(head)
    if length == "none":
        return Message(head.start, head.fields, rest, complete=ended), b""
    return _body(head, rest, length)


def _length(head: Message) -> int | str:
    """The length of the body, "chunked" or "none"."""
    lengths, codings = head.values("Content-Length"), head.values("Transfer-Encoding")
    if codings:
        if lengths or [coding.lower() for coding in codings] != ["chunked"]:
            raise Broken(f"Transfer-Encoding {codings}, Content-Length {lengths}")
        if "HTTP/1.0" in head.start:
            raise Broken("Transfer-Encoding in HTTP/1.0")
        return "chunked"
    if not lengths:
        return "none"
    if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,19}", lengths[0]):
        raise Broken(f"Content-Length {lengths}")
    return int(lengths[0])


def _body(head: Message, data: bytes, length: int | str) -> tuple[Message, bytes]:
    if isinstance(length, int):
        whole = len(data) >= length
        return Message(head.start, head.fields, data[:length], whole), data[length:]
    body, at = b"", 0
    while True:
        line_end = data.find(b"\n", at)
        if line_end < 0:
            return Message(head.start, head.fields, body, complete=False), b""
        size = _CHUNK.fullmatch(data, at, line_end + 1)
        if size is None:
            raise Broken(f"no chunk size: {data[at : line_end + 1]!r}")
        at = line_end + 1
        length = int(size[1], 16)
        if not length:
            break
        body += data[at : at + length]
        at += length
        end = data[at : at + 2]
        if not b"\r\n".startswith(end):
            raise Broken(f"no CRLF behind a chunk: {end!r}")
        at += 2
    rest = data[at:]
    end_of_all = 0 if rest.startswith((b"\r\n", b"\n")) else None
    if end_of_all is None and (blank := _END.search(rest)):
        end_of_all = blank.start()
    if end_of_all is None:
        return Message(head.start, head.fields, body, complete=False), b""
    trailers = _TRAILERS.match(rest)
    if trailers is None:
        raise Broken(f"no trailers: {rest[:80]!r}")
    fields = head.fields + _fields(trailers[1])
    return Message(head.start, fields, body), rest[trailers.end() :]
