"""Spoofed fields: those of a request that a server could confuse with others. They are removed.

CGI (RFC 3875 4.1.18), WSGI, Rack and PHP map "X_Forwarded_For" and "X-Forwarded-For" to the same
variable. So if the proxy removes, replaces or adds the field with "-", it must not forward the one
with "_".
"""

from __future__ import annotations

import re
from collections.abc import Collection

from vcproxy.http.message.fields import Fields

_PROTECTED = frozenset(
    b"keep-alive proxy-connection proxy-authenticate proxy-authentication-info proxy-authorization"
    b" transfer-encoding content-length content-type max-forwards x-real-ip x-client-ip"
    b" true-client-ip client-ip x-cluster-client-ip remote-addr remote-user x-remote-user".split()
)
"""Fields about one connection, the framing and the client's identity, besides X-Forwarded-*."""

_names = re.compile(rb"\r\n([^:\r]++)").findall
_underscored = re.compile(rb"\r\n([^_:\r]*+_[^:\r]*+)").findall


def spoofed_fields(fields: Fields) -> Collection[bytes]:
    """Return the names, in lower case, of a request's fields that must not be forwarded.

    These are names with "_" whose form with "-" is the name of another field of the request, or of
    a field that only proxies may send. Also Proxy: it would become the variable HTTP_PROXY, from
    which libraries read the proxy for their own requests (CVE-2016-5385 and others).
    """
    lower = fields.lower
    removed = [b"proxy"] if b"\r\nproxy:" in lower else []
    if b"_" in lower and (underscored := _underscored(lower)):
        names = set(_names(lower))
        removed += [
            name
            for name in underscored
            if _is_protected(twin := name.replace(b"_", b"-")) or twin in names
        ]
    return removed


def spoofed_trailers(fields: Fields, forbidden: frozenset[bytes]) -> set[bytes]:
    """Return the names, in lower case, of trailers to remove: the `forbidden` ones, those that only
    proxies may send, and those that a server could confuse with one of these."""
    removed = set(forbidden)
    for name in _names(fields.lower):
        twin = name.replace(b"_", b"-")
        if twin in forbidden or twin == b"proxy" or _is_protected(twin):
            removed.add(name)
    return removed


def _is_protected(name: bytes) -> bool:
    return name in _PROTECTED or name.startswith(b"x-forwarded-")
