"""Forwarding: the changes to a head before it is forwarded (RFC 9110 7.6, RFC 7239).

Hop-by-hop fields and spoofed fields are removed; the framing is rewritten; Via, Forwarded and
X-Forwarded-* are added. Everything else is forwarded unchanged.
"""

from __future__ import annotations

import re

from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.framing import elements
from vcproxy.http.message.grammar import TARGET, TEXT, TOKEN
from vcproxy.http.message.messages import UNTIL_CLOSE, Body, Request, Response, has_no_body
from vcproxy.http.message.spoofed_fields import spoofed_fields

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authentication-info"
    b" proxy-authorization te transfer-encoding upgrade".split()
)
"""Fields about one connection, whether Connection names them or not (RFC 9110 7.6.1, 11.7)."""

_NOT_REMOVABLE = frozenset(b"content-length transfer-encoding te host cookie forwarded via".split())
"""Fields that Connection cannot remove, besides X-Forwarded-*: a client could remove what servers
rely on, or desynchronise them."""


_is_request_line = re.compile(rb"%b++ %b++ HTTP/1\.1" % (TOKEN, TARGET)).fullmatch
_is_status_line = re.compile(rb"HTTP/1\.1 [1-9][0-9]{2} %b*+" % TEXT).fullmatch


def to_server(
    request: Request,
    client_fields: ClientFields,
    *,
    target: str | None = None,
    upgrade: bool = False,
) -> bytes:
    """Return the head that is sent to a server: HTTP/1.1, in origin form unless `target` is given.

    `upgrade`: forward the Upgrade field. The framing is that of `request.body`. Raises ValueError
    for a method or a target that cannot be sent.
    """
    target = request.origin_form if target is None else target
    line = f"{request.method} {target} HTTP/1.1".encode()
    if not _is_request_line(line):
        raise ValueError(
            f"request line {line!r}: method and target must be visible ASCII without white space"
        )
    fields = request.fields
    control = fields.control
    removed = hop_by_hop(fields)
    removed.update(spoofed_fields(fields))
    added = client_fields.lines_for(request, removed)
    if b"host" not in control:
        line += f"\r\nHost: {request.host}".rstrip(" ").encode("latin-1")
    if b"expect" in control and not request.expects_continue:
        removed.add(b"expect")
    if request.method in ("OPTIONS", "TRACE") and (hops := max_forwards(request)) is not None:
        removed.add(b"max-forwards")
        added += b"Max-Forwards: %d\r\n" % max(0, hops - 1)
    if b"te" in control or (upgrade and request.upgrade):
        added += _connection_lines(request, upgrade)
    if request.body != 0 or b"content-length" in control:
        added += _framing(fields, request.body, removed)
    added += request.added
    return b"%b%b%b\r\n" % (line, fields.without(removed) if removed else fields.block, added)


def to_client(
    response: Response,
    *,
    pseudonym: str = "vcproxy",
    version: int = 11,
    keep: bool = True,
    body: Body,
) -> bytes:
    """Return the head that is sent to a client of this version (10 or 11).

    `body` is the framing that is sent; for a bodiless response 0, or the length that the response
    to GET would have. `keep`: the connection stays open after the response, unless `body` is
    UNTIL_CLOSE. `pseudonym` is the proxy's name in Via; empty: no Via. Raises ValueError for a
    reason that cannot be sent, for a body where the status allows none (RFC 9112 6.3), and for
    chunks to a client of HTTP/1.0 (RFC 9112 7).
    """
    status = response.status
    line = f"HTTP/1.1 {status} {response.reason}".encode("latin-1")
    if not _is_status_line(line):
        raise ValueError(
            f"status line {line!r}: a status must have three digits, a reason one line"
        )
    fields = response.fields
    control = fields.control
    removed = hop_by_hop(fields)
    if status == 407 and response.content:  # made here: this is the proxy that asks (RFC 9110 11.7)
        removed.discard(b"proxy-authenticate")
    added = b""
    if pseudonym:
        added = b"Via: 1.%d %b\r\n" % (response.version - 10, pseudonym.encode("latin-1"))
    bodiless = response.bodiless or has_no_body(status)
    if body != 0 and bodiless and not response.bodiless:
        raise ValueError(f"status {status}: such a response must not have a body")
    if not bodiless:
        if body is None and version < 11:
            raise ValueError("a chunked body cannot be sent to a client of HTTP/1.0")
        added += _framing(fields, body, removed)
    elif status < 200 or status == 204:
        removed.add(b"content-length")  # RFC 9110 8.6
    elif body:
        removed.add(b"content-length")
        added += b"Content-Length: %d\r\n" % body
    if status in (101, 426) and b"upgrade" in control:  # RFC 9110 15.2.2, 15.5.22
        added += b"Connection: upgrade\r\nUpgrade: %b\r\n" % control[b"upgrade"]
    elif status >= 200:
        if not keep or body == UNTIL_CLOSE:
            added += b"Connection: close\r\n"
        elif version < 11:
            added += b"Connection: keep-alive\r\n"
    added += response.added
    return b"%b%b%b\r\n" % (line, fields.without(removed) if removed else fields.block, added)


def _connection_lines(request: Request, upgrade: bool) -> bytes:
    """Return TE and Upgrade for the connection to the server, if the client sent them."""
    lines = {}
    if request.version > 10 and b"trailers" in elements(request.fields.control.get(b"te", b"")):
        lines[b"TE"] = b"trailers"  # trailers are forwarded (RFC 9110 10.1.4)
    if upgrade and request.upgrade:
        lines[b"Upgrade"] = request.upgrade.encode("latin-1")
    if not lines:
        return b""
    nominated = b"Connection: %b\r\n" % b", ".join(lines).lower()
    return nominated + b"".join(b"%b: %b\r\n" % line for line in lines.items())


def hop_by_hop(fields: Fields) -> set[bytes]:
    """Return the names, in lower case, of the hop-by-hop fields (RFC 9110 7.6.1)."""
    control = fields.control
    removed = set(HOP_BY_HOP.intersection(control))
    connection = control.get(b"connection")
    if connection is not None and connection not in (b"keep-alive", b"close"):
        removed.update(
            name
            for name in elements(connection)
            if name not in _NOT_REMOVABLE and not name.startswith(b"x-forwarded-")
        )
    return removed


def max_forwards(request: Request) -> int | None:
    """Return how often an OPTIONS or TRACE request may still be forwarded (RFC 9110 7.6.2).

    None: no limit. At 0 the proxy answers it itself.
    """
    hops = request.fields.get("Max-Forwards", "").encode("latin-1")
    return int(hops) if hops.isdigit() and len(hops) < 10 else None


def _framing(fields: Fields, body: Body, removed: set[bytes]) -> bytes:
    """Return the field line that announces the body; empty if the fields have it already. Add to
    `removed` the names of fields that announce a different body."""
    if body is None:
        removed.add(b"content-length")
        return b"Transfer-Encoding: chunked\r\n"
    stated = fields.control.get(b"content-length")
    length = b"" if body == UNTIL_CLOSE else b"%d" % body
    if stated == length:
        return b""
    if stated is not None:
        removed.add(b"content-length")
    return b"Content-Length: %b\r\n" % length if length else b""
