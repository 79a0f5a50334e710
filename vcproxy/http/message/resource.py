"""Resource: the canonical form of paths and hosts, in which routes and filters compare them.

A server may map many spellings to one resource. A comparison of the raw bytes with "/admin" would
be bypassed by "/x/../admin", "/%61dmin", "//admin", "/%2Fadmin" or "/admin;a=1".
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

NUMERIC = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)", re.DOTALL)
"""Matches text that a resolver may read as an IPv4 address, as 127.1 or 0x7f000001: it is not a
name (the rule "ends in a number" of the WHATWG URL Standard)."""

_UNRESERVED = "%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])"
_unescape_host = re.compile(_UNRESERVED).sub
_unescape_path = re.compile(_UNRESERVED.replace("2[DEde]", "2[DEFdef]")).sub
"""Match escapes of characters that mean the same unescaped (RFC 3986 6.2.2.2). In a path, the slash
is one too: not by the RFC, but for nginx and other file servers."""


def canonical_path(path: str) -> str:
    """Return a path as servers interpret it (RFC 3986 6.2.2): without needless escapes, without "."
    and ".." segments, without empty segments, which nginx, Apache and Go ignore, and without
    parameters of segments (";a=1", RFC 3986 3.3), which Java servers ignore.

    `path` has no query.
    """
    if "%" in path:
        path = _unescape_path(_unescaped, path)
    if "/." not in path and "//" not in path and ";" not in path:
        return path
    kept: list[str] = []
    first, *segments = [segment.partition(";")[0] for segment in path.split("/")]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    if segments and segments[-1] in ("", ".", ".."):
        kept.append("")
    return "/".join([first, *kept])


def under(path: str, prefix: str) -> bool:
    """Whether a canonical path equals a prefix or is below it, by whole segments."""
    if not path.startswith(prefix):
        return False
    return prefix.endswith("/") or path[len(prefix) : len(prefix) + 1] in ("", "/")


def canonical_host(authority: str) -> str:
    """Return the host of an authority in lower case, without port, brackets, needless escapes and
    the dot at its end; an IP address has its shortest form."""
    host = authority.lower()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
        return str(as_ip(host) or host)
    host = host.partition(":")[0]
    if "%" in host:
        host = _unescape_host(_unescaped, host).lower()
    return host.removesuffix(".")


def as_ip(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a host stands for; None: it is a name.

    An IPv4-mapped IPv6 address (::ffff:10.0.0.1) becomes the IPv4 address.
    """
    if ":" not in host and not NUMERIC.fullmatch(host):  # most hosts; avoids a slow exception
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _unescaped(escaped: re.Match[str]) -> str:
    return chr(int(escaped[1], 16))
