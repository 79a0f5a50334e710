"""Framing: which body a head announces, and what follows it on the connection."""

from __future__ import annotations

import re

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.fields import Marks
from vcproxy.http.message.grammar import QUOTED, TOKEN
from vcproxy.http.message.messages import UNTIL_CLOSE, Body
from vcproxy.http.message.syntax_errors import excerpt

LONGEST = (1 << 63) - 1
"""The largest body: what a signed 64-bit number holds, as in every server behind us."""


def framing(marks: Marks, version: int, status: int) -> Body:
    """What Content-Length and Transfer-Encoding say; UNTIL_CLOSE where both are silent.

    Raises BadMessage with `status` where they say anything that somebody could read in another way
    (RFC 9112 6.3): both at once, either of them twice, a coding besides chunked. A request with a
    coding that is well-formed, and only not known here, has the status 501 (RFC 9112 6.1).
    """
    length = marks.get(b"content-length")
    coding = marks.get(b"transfer-encoding")
    if coding is None:
        if length is None:
            return UNTIL_CLOSE
        if length.isdigit() and len(length) <= 19 and (number := int(length)) <= LONGEST:
            return number
        raise BadMessage(
            status, f"Content-Length {excerpt(length)}: it is a number", "RFC 9112 6.3"
        )
    if length is not None:
        why = "both Content-Length and Transfer-Encoding: nobody can know where the body ends"
        raise BadMessage(status, why, "RFC 9112 6.3")
    if version < 11:
        raise BadMessage(status, "Transfer-Encoding in HTTP/1.0", "RFC 9112 6.1")
    if coding != b"chunked":
        why = f"Transfer-Encoding {excerpt(coding)}: only chunked is known"
        raise BadMessage(501 if status == 400 and _unknown(coding) else status, why, "RFC 9112 6.1")
    return None


_coding = re.compile(
    rb"(%b++)((?:[\t ]*+;[\t ]*+%b++[\t ]*+=[\t ]*+(?:%b++|%b))*+)" % (TOKEN, TOKEN, TOKEN, QUOTED)
).fullmatch


def _unknown(codings: bytes) -> bool:
    """Whether these are transfer codings (RFC 9112 7), with chunked at the end if at all."""
    matches = [_coding(each.strip(b"\t ")) for each in codings.split(b",")]
    return all(
        match and (match[1] != b"chunked" or (match is matches[-1] and not match[2]))
        for match in matches
    )


def options(value: bytes) -> list[bytes]:
    """The elements of a comma-separated list (RFC 9110 5.6.1)."""
    return [option for part in value.split(b",") if (option := part.strip(b"\t "))]
