"""Forwarding: what a proxy changes in a head on its way (RFC 9110 7.6, RFC 7239).

Fields that concern one connection, and those that are forged, go no further; framing is made anew;
Via, Forwarded and X-Forwarded-* say who passed the message on. All else goes on byte by byte.
"""

from __future__ import annotations

import re

from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.framing import options
from vcproxy.http.message.grammar import TARGET, TEXT, TOKEN
from vcproxy.http.message.messages import UNTIL_CLOSE, Body, Request, Response, has_no_body
from vcproxy.http.message.spoofed_fields import spoofed_fields

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authentication-info"
    b" proxy-authorization te transfer-encoding upgrade".split()
)
"""Fields that concern one connection, whether Connection says so or not (RFC 9110 7.6.1, 11.7)."""

_UNTOUCHABLE = frozenset(b"content-length transfer-encoding te host cookie forwarded via".split())
"""What Connection cannot have removed, besides X-Forwarded-*: a client could take away what the
servers behind rely on, or desynchronise them."""


_is_request_line = re.compile(rb"%b++ %b++ HTTP/1\.1" % (TOKEN, TARGET)).fullmatch
_is_status_line = re.compile(rb"HTTP/1\.1 [1-9][0-9]{2} %b*+" % TEXT).fullmatch


def to_server(
    request: Request, sender: ClientFields, *, target: str | None = None, upgrade: bool = False
) -> bytes:
    """Return the head that a server is sent: HTTP/1.1, in origin form unless `target` says else.

    `upgrade`: pass the request's wish for another protocol on. What the request says of framing is
    what its `body` says. Raises ValueError for a method or a target that cannot be sent.
    """
    target = request.origin_form if target is None else target
    line = f"{request.method} {target} HTTP/1.1".encode()
    if not _is_request_line(line):
        raise ValueError(
            f"request line {line!r}: a method and a target are visible ASCII, with no white space"
        )
    fields = request.fields
    marks = fields.marks
    going = hop_by_hop(fields)
    going.update(spoofed_fields(fields))
    added = sender.lines_for(request, going)
    if b"host" not in marks:
        line += f"\r\nHost: {request.host}".rstrip(" ").encode("latin-1")
    if b"expect" in marks and not request.expects_continue:
        going.add(b"expect")
    if request.method in ("OPTIONS", "TRACE") and (hops := max_forwards(request)) is not None:
        going.add(b"max-forwards")
        added += b"Max-Forwards: %d\r\n" % max(0, hops - 1)
    if b"te" in marks or (upgrade and request.upgrade):
        added += _of_our_own(request, upgrade)
    if request.body != 0 or b"content-length" in marks:
        added += _framing(fields, request.body, going)
    return b"%b%b%b\r\n" % (line, fields.without(going) if going else fields.block, added)


def to_client(
    response: Response,
    *,
    pseudonym: str = "vcproxy",
    version: int = 11,
    keep: bool = True,
    body: Body,
) -> bytes:
    """Return the head that a client of this version (10 or 11) is sent.

    `body` is how the body is framed for it; of a bodiless response it is 0, or the length that the
    answer to GET would have. `keep`: the connection stays open behind it; UNTIL_CLOSE closes it.
    `pseudonym` is our name in Via; empty: there is none. Raises ValueError for a reason that cannot
    be sent, for a body where the status allows none (RFC 9112 6.3), and for chunks to a client of
    HTTP/1.0 (RFC 9112 7).
    """
    status = response.status
    line = f"HTTP/1.1 {status} {response.reason}".encode("latin-1")
    if not _is_status_line(line):
        raise ValueError(f"status line {line!r}: a status has three digits, a reason is one line")
    fields = response.fields
    marks = fields.marks
    going = hop_by_hop(fields)
    added = b""
    if pseudonym:
        added = b"Via: 1.%d %b\r\n" % (response.version - 10, pseudonym.encode("latin-1"))
    bodiless = response.bodiless or has_no_body(status)
    if body != 0 and bodiless and not response.bodiless:
        raise ValueError(f"status {status}: such an answer has no body, and this one has")
    if not bodiless:
        if body is None and version < 11:
            raise ValueError("chunks for a client of HTTP/1.0: it cannot read them")
        added += _framing(fields, body, going)
    elif status < 200 or status == 204:
        going.add(b"content-length")  # RFC 9110 8.6
    elif body:
        going.add(b"content-length")
        added += b"Content-Length: %d\r\n" % body
    if status in (101, 426) and b"upgrade" in marks:  # RFC 9110 15.2.2, 15.5.22
        added += b"Connection: upgrade\r\nUpgrade: %b\r\n" % marks[b"upgrade"]
    elif status >= 200:
        if not keep or body == UNTIL_CLOSE:
            added += b"Connection: close\r\n"
        elif version < 11:
            added += b"Connection: keep-alive\r\n"
    return b"%b%b%b\r\n" % (line, fields.without(going) if going else fields.block, added)


def _of_our_own(request: Request, upgrade: bool) -> bytes:
    """The lines about our own connection to the server, as far as the client's said the same."""
    lines = {}
    if request.version > 10 and b"trailers" in options(request.fields.marks.get(b"te", b"")):
        lines[b"TE"] = b"trailers"  # these are passed on (RFC 9110 10.1.4)
    if upgrade and request.upgrade:
        lines[b"Upgrade"] = request.upgrade.encode("latin-1")
    if not lines:
        return b""
    nominated = b"Connection: %b\r\n" % b", ".join(lines).lower()
    return nominated + b"".join(b"%b: %b\r\n" % line for line in lines.items())


def hop_by_hop(fields: Fields) -> set[bytes]:
    """The names, in lower case, of fields that go no further (RFC 9110 7.6.1)."""
    marks = fields.marks
    going = set(HOP_BY_HOP.intersection(marks))
    connection = marks.get(b"connection")
    if connection is not None and connection not in (b"keep-alive", b"close"):
        going.update(
            name
            for name in options(connection)
            if name not in _UNTOUCHABLE and not name.startswith(b"x-forwarded-")
        )
    return going


def max_forwards(request: Request) -> int | None:
    """How often a request of OPTIONS or TRACE may yet be forwarded (RFC 9110 7.6.2).

    None: as often as need be. At 0 the proxy answers it itself.
    """
    hops = request.fields.get("Max-Forwards", "").encode("latin-1")
    return int(hops) if hops.isdigit() and len(hops) < 10 else None


def _framing(fields: Fields, body: Body, going: set[bytes]) -> bytes:
    """Return the line that announces the body, if it is not there; what says else is going."""
    if body is None:
        going.add(b"content-length")
        return b"Transfer-Encoding: chunked\r\n"
    stated = fields.marks.get(b"content-length")
    length = b"" if body == UNTIL_CLOSE else b"%d" % body
    if stated == length:
        return b""
    if stated is not None:
        going.add(b"content-length")
    return b"Content-Length: %b\r\n" % length if length else b""
