"""Case: one message as raw bytes, the rule it tests, and the result that a strict proxy must give.

The other modules of this folder have the cases, by theme. Text in them stands for bytes: each
character is one byte (latin-1), so "\\x00" and "\\xff" can be written as they are.
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
    """The proxy sends an answer with the status and closes. The origin gets nothing."""

    status: int = 400
    streamed: bool = False
    """Whether the fault is in the body: then the origin may get the beginning, but never the
    end."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The origin gets the requests, in order, and the client an answer to each."""

    requests: tuple[Got, ...]
    kept: bool = True
    """Whether the client's connection stays open after the requests."""
    then: int = 0
    """The status with which the bytes after the requests are refused; 0: no such bytes."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The proxy itself answers with the status; the origin gets nothing."""

    status: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """The client closes inside a request: the origin never gets it complete."""


@dataclass(frozen=True, slots=True)
class RequestCase:
    """Bytes that a client sends, and the expected result."""

    name: str
    rfc: str
    """The section that has the rule: "9112 6.3"."""
    raw: bytes
    expect: Refused | Accepted | Answered | Dropped
    end: bool = False
    """Whether the client ends its direction after `raw`."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """The client gets the answer, correctly framed."""

    status: int = 200
    body: bytes = b"hello"
    reused: bool = True
    """Whether the origin's connection may be used for another request; False: it must not be."""
    kept: bool = True
    """Whether the client's connection stays open."""
    interim: tuple[int, ...] = ()
    """The statuses of the 1xx answers that the client gets first."""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    """See `Got` for `has` and `lacks`."""


@dataclass(frozen=True, slots=True)
class BadGateway:
    """The client gets 502 instead of the answer; the origin's connection is not used again."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The client can detect that the answer is incomplete: it is truncated, or is 502, or the
    connection ends without one. The origin's connection is not used again."""

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
    """What the origin does after `raw`."""
    early: bool = False
    """Whether the origin answers as soon as it has the head of the request."""
    late: bytes = b""
    """What the origin sends, without a request, after the client has the answer."""


Case: TypeAlias = RequestCase | AnswerCase


def sent(case: Case) -> bytes:
    """What the client sends."""
    return case.raw if isinstance(case, RequestCase) else case.request


@dataclass(frozen=True, slots=True)
class Theme:
    """Cases of one kind, and the reason why they are refused although other proxies forward
    them."""

    title: str
    reason: str
    cases: tuple[Case, ...]


# --- what cases are written with


def message(*lines: str, body: str = "") -> bytes:
    """The lines, each with CRLF, the empty line, and the body."""
    return ("".join(f"{line}\r\n" for line in lines) + "\r\n" + body).encode("latin-1")


def get(*fields: str) -> bytes:
    """A GET request that is valid apart from the fields."""
    return message("GET / HTTP/1.1", HOST, *fields)


def post(*fields: str, body: str = "hello") -> bytes:
    """A POST request with a body, framed by the fields."""
    return message("POST / HTTP/1.1", HOST, *fields, body=body)


def chunked(body: str, *fields: str) -> bytes:
    """A request with these raw bytes as its chunked body."""
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
    """See Accepted. `requests` is by default the one that `get` makes."""
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
