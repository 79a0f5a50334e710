"""Case: one message as raw bytes, the rule it tests, and what a strict proxy makes of it.

The modules beside this one hold the cases by theme. Text in them is bytes: each character is the
byte of its number (latin-1), so that "\\x00" and "\\xff" say what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

HOST = "Host: a.example"
PLAIN = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Got:
    """A request as the origin must get it: HTTP/1.1 with exactly one Host, framed in one way."""

    method: str = "GET"
    target: str = "/"
    body: bytes = b""
    has: tuple[str, ...] = ()
    """Field lines that must be there, as "Name: value"."""
    lacks: tuple[str, ...] = ()
    """What must not be there, trailers included: "Name", or "Name: value" for that value only."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Answered with the status and closed. The origin gets nothing of it."""

    status: int = 400
    streamed: bool = False
    """The fault lies in the body: the origin may have got the beginning, never the end."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The origin gets the requests, in order, and the client an answer to each."""

    requests: tuple[Got, ...]
    kept: bool = True
    """Whether the client's connection stays open behind them."""
    then: int = 0
    """The status that refuses, and closes, what follows them; 0: nothing does."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The proxy answers by itself with the status; the origin gets nothing of it."""

    status: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """The client closed within a request: the origin never gets a complete one."""


@dataclass(frozen=True, slots=True)
class RequestCase:
    """Bytes of a client."""

    name: str
    rfc: str
    """The section that has the rule: "9112 6.3"."""
    raw: bytes
    expect: Refused | Accepted | Answered | Dropped
    end: bool = False
    """Whether the client ends its direction after it."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """The client gets the answer, well framed."""

    status: int = 200
    body: bytes = b"hello"
    reused: bool = True
    """Whether the origin's connection may serve another request; if not it must not."""
    kept: bool = True
    """Whether the client's connection stays open."""
    interim: tuple[int, ...] = ()
    """The 1xx answers that the client gets before it."""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    """As in Got."""


@dataclass(frozen=True, slots=True)
class BadGateway:
    """The client gets 502 in its place; the origin's connection is not used again."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The client detects that it does not have the complete answer: it is truncated, there is none
    before the end, or it is 502. The origin's connection is not used again."""

    status: int = 200


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """Bytes of an origin, in answer to a valid request."""

    name: str
    rfc: str
    raw: bytes
    expect: Relayed | BadGateway | Cut
    request: bytes = PLAIN
    then: Literal["stay", "end", "reset"] = "stay"
    """What the origin does behind it."""
    early: bool = False
    """It answers as soon as it has the head of the request."""
    late: bytes = b""
    """What it sends without a request once the client has the response."""


Case: TypeAlias = RequestCase | AnswerCase


def sent(case: Case) -> bytes:
    """What the client sends."""
    return case.raw if isinstance(case, RequestCase) else case.request


@dataclass(frozen=True, slots=True)
class Theme:
    """Cases of one kind, and why they have these results where other proxies forward them."""

    title: str
    reason: str
    cases: tuple[Case, ...]


# --- what cases are written with


def message(*lines: str, body: str = "") -> bytes:
    """The lines, a CRLF behind each, the empty line, and the body."""
    return ("".join(f"{line}\r\n" for line in lines) + "\r\n" + body).encode("latin-1")


def get(*fields: str) -> bytes:
    """A GET request that is valid apart from the fields."""
    return message("GET / HTTP/1.1", HOST, *fields)


def post(*fields: str, body: str = "hello") -> bytes:
    """A POST request with a body, framed by the fields."""
    return message("POST / HTTP/1.1", HOST, *fields, body=body)


def chunked(body: str, *fields: str) -> bytes:
    """A request whose body is these chunks, as raw bytes."""
    return post("Transfer-Encoding: chunked", *fields, body=body)


def ok(*fields: str, body: str = "") -> bytes:
    """An answer that is valid apart from the fields."""
    return message("HTTP/1.1 200 OK", *fields, body=body)


def refused(
    name: str, rfc: str, raw: bytes, status: int = 400, *, streamed: bool = False
) -> RequestCase:
    """See Refused."""
    return RequestCase(name, rfc, raw, Refused(status, streamed))


def accepted(
    name: str, rfc: str, raw: bytes, *requests: Got, kept: bool = True, then: int = 0
) -> RequestCase:
    """See Accepted. Without requests it is the one of `get`."""
    return RequestCase(name, rfc, raw, Accepted(requests or (Got(),), kept, then))


def dropped(name: str, rfc: str, raw: bytes) -> RequestCase:
    """See Dropped."""
    return RequestCase(name, rfc, raw, Dropped(), end=True)


def relayed(
    name: str,
    rfc: str,
    raw: bytes,
    expect: Relayed | None = None,
    *,
    request: bytes = PLAIN,
    then: Literal["stay", "end", "reset"] = "stay",
    early: bool = False,
    late: bytes = b"",
) -> AnswerCase:
    """See Relayed."""
    return AnswerCase(name, rfc, raw, expect or Relayed(), request, then, early, late)


def bad_gateway(
    name: str, rfc: str, raw: bytes, *, then: Literal["stay", "end", "reset"] = "stay"
) -> AnswerCase:
    """See BadGateway."""
    return AnswerCase(name, rfc, raw, BadGateway(), then=then)


def cut(
    name: str, rfc: str, raw: bytes, *, then: Literal["stay", "end", "reset"] = "stay"
) -> AnswerCase:
    """See Cut."""
    return AnswerCase(name, rfc, raw, Cut(), then=then)


def answered(name: str, rfc: str, raw: bytes, status: int) -> RequestCase:
    """See Answered."""
    return RequestCase(name, rfc, raw, Answered(status))
