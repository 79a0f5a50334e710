"""Framing: which body a head announces (RFC 9112 6).

Tested in tests/http/message/test_requests.py and test_responses.py.
"""

from __future__ import annotations

import re

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.fields import ControlFields
from vcproxy.http.message.grammar import QUOTED, TOKEN
from vcproxy.http.message.messages import UNTIL_CLOSE, Body
from vcproxy.http.message.syntax_errors import excerpt

LONGEST = (1 << 63) - 1
"""The largest body: the limit of a signed 64-bit number, as in most servers."""


def framing(control: ControlFields, version: int, status: int) -> Body:
    """Return the framing that Content-Length or Transfer-Encoding announces; UNTIL_CLOSE if the
    fields have neither.

    Raises BadMessage with `status` for anything that another implementation may read differently
    (RFC 9112 6.3): both fields at once, either of them twice, a coding other than chunked. The
    status of a request with a well-formed coding that is not supported is 501 (RFC 9112 6.1).
    """
    length = control.get(b"content-length")
    coding = control.get(b"transfer-encoding")
    if coding is None:
        if length is None:
            return UNTIL_CLOSE
        if length.isdigit() and len(length) <= 19 and (number := int(length)) <= LONGEST:
            return number
        why = f"Content-Length {excerpt(length)} is not a number"
        raise BadMessage(status, why, "RFC 9112 6.3", field="content-length")
    if length is not None:
        why = "both Content-Length and Transfer-Encoding: the end of the body is ambiguous"
        raise BadMessage(status, why, "RFC 9112 6.3", field="transfer-encoding")
    if version < 11:
        why = "Transfer-Encoding in HTTP/1.0"
        raise BadMessage(status, why, "RFC 9112 6.1", field="transfer-encoding")
    if coding != b"chunked":
        why = f"Transfer-Encoding {excerpt(coding)}: only chunked is supported"
        well_formed = _is_coding_list(coding)
        status = 501 if status == 400 and well_formed else status
        raise BadMessage(status, why, "RFC 9112 6.1", field="transfer-encoding")
    return None


_coding = re.compile(
    rb"(%b++)((?:[\t ]*+;[\t ]*+%b++[\t ]*+=[\t ]*+(?:%b++|%b))*+)" % (TOKEN, TOKEN, TOKEN, QUOTED)
).fullmatch


def _is_coding_list(codings: bytes) -> bool:
    """Whether this is a list of transfer codings (RFC 9112 7), with chunked at most at its end."""
    matches = [_coding(each.strip(b"\t ")) for each in codings.split(b",")]
    return all(
        match and (match[1] != b"chunked" or (match is matches[-1] and not match[2]))
        for match in matches
    )


def elements(value: bytes) -> list[bytes]:
    """Return the elements of a comma-separated list (RFC 9110 5.6.1)."""
    return [element for part in value.split(b",") if (element := part.strip(b"\t "))]
