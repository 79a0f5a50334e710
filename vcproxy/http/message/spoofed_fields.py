"""Forged: fields of a request that a server behind us would take for others.

CGI (RFC 3875 4.1.18), and WSGI, Rack and PHP after it, make one variable of "X_Forwarded_For" and
"X-Forwarded-For". What a proxy removes, replaces or adds under the name with "-" must not come
through under the name with "_".
"""

from __future__ import annotations

import re
from collections.abc import Collection

from vcproxy.http.message.fields import Fields

_GUARDED = frozenset(
    b"keep-alive proxy-connection proxy-authenticate proxy-authentication-info proxy-authorization"
    b" transfer-encoding content-length content-type max-forwards x-real-ip x-client-ip"
    b" true-client-ip client-ip x-cluster-client-ip remote-addr remote-user x-remote-user".split()
)
"""Fields of one connection, of framing and of who the client is, besides X-Forwarded-*."""

_names = re.compile(rb"\r\n([^:\r]++)").findall
_underscored = re.compile(rb"\r\n([^_:\r]*+_[^:\r]*+)").findall


def spoofed_fields(fields: Fields) -> Collection[bytes]:
    """Return the names, in lower case, of fields of a request that no server may get.

    One with "_" is among them if the same name with "-" is that of another field of the request, or
    one that only proxies may send. So is Proxy, which would become HTTP_PROXY, by which libraries
    choose a proxy of their own (CVE-2016-5385 and others).
    """
    lower = fields.lower
    going = [b"proxy"] if b"\r\nproxy:" in lower else []
    if b"_" in lower and (underscored := _underscored(lower)):
        names = set(_names(lower))
        going += [
            name
            for name in underscored
            if _is_guarded(twin := name.replace(b"_", b"-")) or twin in names
        ]
    return going


def spoofed_trailers(fields: Fields, forbidden: frozenset[bytes]) -> set[bytes]:
    """Return the names, in lower case, of trailers that a server might take for fields which are
    `forbidden` there, or which only proxies may send."""
    going = set(forbidden)
    for name in _names(fields.lower):
        twin = name.replace(b"_", b"-")
        if twin in forbidden or twin == b"proxy" or _is_guarded(twin):
            going.add(name)
    return going


def _is_guarded(name: bytes) -> bool:
    return name in _GUARDED or name.startswith(b"x-forwarded-")
