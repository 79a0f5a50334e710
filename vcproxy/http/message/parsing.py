"""Parsing: from the bytes of a head to a Request or a Response, or to a BadMessage.

First the whole head is matched with the grammar, one regular expression. Then the rules about its
fields are applied: framing, Host, Expect. Field lines in canonical form (almost all) are kept
unchanged. Other lines are parsed again by h11 and written in canonical form, so that only canonical
lines are forwarded.

Tested in tests/http/message/test_requests.py, test_responses.py and test_against_h11.py.
"""

from __future__ import annotations

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.fields import ControlFields, Fields
from vcproxy.http.message.framing import elements, framing
from vcproxy.http.message.grammar import (
    CANONICAL_REQUEST,
    CANONICAL_RESPONSE,
    CONTROL_CHARACTER,
    REQUEST,
    RESPONSE,
    authority,
)
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import UNTIL_CLOSE, Request, Response, has_no_body, target_form
from vcproxy.http.message.normalization import normalized
from vcproxy.http.message.syntax_errors import (
    control_character_error,
    excerpt,
    request_error,
    response_error,
    size_error,
    too_long,
)

HEAD_END = b"\r\n\r\n"
"""The end of a head: the CRLF of its last line, and an empty line."""

_HTTP_2 = (b"h2", b"http/")
"""Prefixes of protocols removed from Upgrade: the proxy could not check their requests."""


def head_end(data: bytes, limits: MessageLimits, start: int = 0, *, seen: int = 0) -> int:
    """Return the index after the head that begins at `start`; -1: it is not complete yet.

    `seen` is the index up to which an earlier call has searched, so that no byte is searched twice
    if a head arrives in pieces. One empty line before a request is skipped (RFC 9112 2.2); it
    counts as part of the head.

    Raises BadMessage with the status for a request: 414 or 431 for a head that is too long already,
    400 for one with a control character. For a response, the caller answers 502 instead.
    """
    if not seen:
        end = data.find(HEAD_END, start)
        if start < end < start + limits.line and end + 4 - start <= limits.head:
            return end + 4  # as below, sooner: most heads are complete and shorter than `line`
    if data.startswith(b"\r\n", start):
        start += 2
    end = data.find(HEAD_END, max(start, seen - 3))
    size = (len(data) if end < 0 else end + 4) - start
    longest = limits.line + 2  # with CRLF
    if size >= longest and data.find(b"\r\n", start, start + longest) < 0:
        raise too_long("first line", limits.line, 414)
    if size > limits.head:
        raise too_long("head", limits.head, 431)
    if end >= 0:
        return end + 4
    if CONTROL_CHARACTER(data, max(start, seen - 1)):
        raise control_character_error(data[start:])
    return -1


def parse_request(head: bytes, limits: MessageLimits) -> Request:
    """Parse the head of a request, from its first byte to its empty line.

    Raises BadMessage.
    """
    if head.startswith(b"\r\n"):
        head = head[2:]  # RFC 9112 2.2
    _check_size(head, limits, 431)
    match = CANONICAL_REQUEST(head)
    canonical = match is not None
    if match is None:
        match = REQUEST(head)
        if match is None:
            raise request_error(head)
    method, target, minor = match.groups()
    request = Request.__new__(Request)
    request.method = method.decode("latin-1")
    request.target = target.decode("latin-1")
    request.version = 10 if minor == b"0" else 11
    request.content = request.added = b""
    request.fields = fields = Fields(head[match.end(3) + 2 : -2])
    _apply_request_rules(request, fields.control if canonical else _stripped(fields.control))
    if not canonical:
        request.fields = normalized(fields, 400)
    return request


def parse_response(head: bytes, limits: MessageLimits, method: str) -> Response:
    """Parse the head of a response, from its first byte to its empty line.

    `method` is that of the request: it decides whether a body follows. The caller must check
    whether a 101 was requested. Raises BadMessage with status 502.
    """
    _check_size(head, limits, 502)
    match = CANONICAL_RESPONSE(head)
    canonical = match is not None
    if match is None:
        match = RESPONSE(head)
        if match is None:
            raise response_error(head)
    minor, status, reason = match.groups()
    response = Response.__new__(Response)
    response.status = int(status)
    response.reason = reason.decode("latin-1") if reason else ""
    response.version = 10 if minor == b"0" else 11
    response.content = response.added = b""
    response.fields = fields = Fields(head[head.find(b"\r\n") + 2 : -2])
    _apply_response_rules(
        response, fields.control if canonical else _stripped(fields.control), method
    )
    if not canonical:
        response.fields = normalized(fields, 502)
    return response


def _check_size(head: bytes, limits: MessageLimits, status: int) -> None:
    # Most heads are shorter than one line may be: then only the number of lines is checked.
    size = len(head)
    if size > limits.line or size > limits.field or head.count(b"\n") > limits.fields + 2:
        problem = size_error(head, limits, status)
        if problem is not None:
            raise problem


def _apply_request_rules(request: Request, control: ControlFields) -> None:
    """Apply the rules about fields, and set the attributes that they determine."""
    method, version = request.method, request.version
    host = control.get(b"host")
    if request.target[0] == "/" and method != "CONNECT":
        request.form, named = "origin", ""
    else:
        try:
            request.form, named = target_form(method, request.target)
        except ValueError as problem:
            raise BadMessage(400, str(problem), "RFC 9112 3.2") from None
    if host is None:
        if version > 10:
            raise BadMessage(400, "no Host field", "RFC 9112 3.2")
    elif authority(host) is None or (b"," in host and _is_list(request.fields)):
        why = f"Host {excerpt(host)} is not one valid host"
        raise BadMessage(400, why, "RFC 9112 3.2", field="host")
    request.host = (named.lower() or (host or b"").decode()).removesuffix(":")
    if named and host is not None and host != named.lower().encode():
        request.fields["Host"] = named  # RFC 9112 3.2.2; of CONNECT the same (RFC 9110 7.2)

    body = framing(control, version, 400)
    request.body = body = 0 if body == UNTIL_CLOSE else body
    if body != 0 and method == "CONNECT":
        raise BadMessage(400, "CONNECT with a body", "RFC 9110 9.3.6")
    expectation = control.get(b"expect")
    if expectation is not None and expectation != b"100-continue":
        raise BadMessage(
            417,
            f"Expect {excerpt(expectation)} is not supported: only 100-continue is",
            "RFC 9110 10.1.1",
            field="expect",
        )
    request.expects_continue = expectation is not None and body != 0 and version > 10

    request.upgrade = None
    connection = control.get(b"connection")
    if connection is None:
        request.persistent = version > 10
        return
    chosen = elements(connection)
    request.persistent = _persistent(chosen, version)
    if b"upgrade" in chosen and version > 10:
        wanted = elements(control.get(b"upgrade", b""))
        wanted = [protocol for protocol in wanted if not protocol.startswith(_HTTP_2)]
        request.upgrade = b", ".join(wanted).decode("latin-1") or None


def _apply_response_rules(response: Response, control: ControlFields, method: str) -> None:
    status, version = response.status, response.version
    body = framing(control, version, 502)
    response.bodiless = has_no_body(status, method)
    connection = control.get(b"connection")
    persistent = version > 10 if connection is None else _persistent(elements(connection), version)
    if response.bodiless:
        # A server that announces a forbidden body (RFC 9112 6.1, RFC 9110 8.6) may send it.
        persistent = persistent and (body in (0, UNTIL_CLOSE) or status >= 300 or method == "HEAD")
        body = 0
    response.body = body
    response.persistent = persistent and body != UNTIL_CLOSE


def _is_list(fields: Fields) -> bool:
    """Whether there are several Host fields; a single one may have commas (RFC 3986 3.2.2)."""
    return fields.lower.count(b"\r\nhost:") > 1


def _persistent(chosen: list[bytes], version: int) -> bool:
    """Whether the connection stays open (RFC 9112 9.3)."""
    return b"close" not in chosen and (version > 10 or b"keep-alive" in chosen)


def _stripped(control: ControlFields) -> ControlFields:
    return {name: value.strip(b"\t ") for name, value in control.items()}
