"""Guards of a WebServer: which clients may ask it. Host, Origin, and a bearer token.

A page of a foreign site can have its visitor's browser send requests to this computer. Two checks
refuse these: its Origin is another (RFC 6454), and where its name was made to lead here (DNS
rebinding), so is its Host. Tested in tests/control/test_http_door.py.
"""

from __future__ import annotations

from collections.abc import Collection
from hmac import compare_digest
from ipaddress import ip_address
from typing import TYPE_CHECKING

from vcproxy.control.web.web_reply import Refusal
from vcproxy.http.message.resource import canonical_host

if TYPE_CHECKING:
    from vcproxy.control.web.web_request import WebRequest

UNAUTHORIZED = Refusal(
    401,
    "a token is required at this address: Authorization: Bearer TOKEN, from the file of "
    "control.token_file",
    {"WWW-Authenticate": "Bearer"},
)


def same_site(request: WebRequest, hosts: Collection[str]) -> Refusal | None:
    """Return why a request may come from a page of another site; None: it does not.

    `hosts`: names under which this server may be reached, beside those of this computer. Over a
    Unix socket, where no browser comes from, any Host is taken.
    """
    if not request.unix:
        host = canonical_host(request.host)
        if not (host in hosts or _is_loopback(host)):
            text = f'Host "{host}" is not this computer: see control.hosts'
            return Refusal(403, text)
    origin = request.fields.get("origin")
    if origin is not None and not same_origin(request, origin):
        return Refusal(403, f'a page of "{origin}" may not ask this server')
    return None


def same_origin(request: WebRequest, origin: str) -> bool:
    """Whether an Origin is the site that was asked: its host and port are those of Host."""
    scheme, _, authority = origin.partition("://")
    return scheme.lower() in ("http", "https") and authority.lower() == request.host


def bearer(request: WebRequest, token: str) -> Refusal | None:
    """Return why a request without the token is refused; None: it has it (RFC 6750 2.1).

    The time that the comparison takes does not depend on how much is right.
    """
    scheme, _, given = request.fields.get("authorization", "").partition(" ")
    right = compare_digest(given.strip().encode("latin-1", "replace"), token.encode())
    if scheme.lower() == "bearer" and token and right:
        return None
    return UNAUTHORIZED


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
