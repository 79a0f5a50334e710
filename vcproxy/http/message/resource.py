"""Resource: what a request is for, in the one spelling by which routes and filters compare it.

A server may take many spellings for one resource. Whoever compares what came byte by byte is walked
around by "/x/../admin", "/%61dmin", "//admin", "/%2Fadmin" or "/admin;a=1": so nobody does.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

NUMERIC = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)", re.DOTALL)
"""What a resolver may take for an IPv4 address, as 127.1 or 0x7f000001: such a text is no name
(the same rule as in the WHATWG's URL Standard, "ends in a number")."""

_UNRESERVED = "%(2[DEde]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])"
_unescape_host = re.compile(_UNRESERVED).sub
_unescape_path = re.compile(_UNRESERVED.replace("2[DEde]", "2[DEFdef]")).sub
"""Match what is the same with and without its percent sign (RFC 3986 6.2.2.2); in a path a slash
too: not by the RFC, but to nginx and other servers of files."""


def canonical_path(path: str) -> str:
    """Return a path as servers understand it (RFC 3986 6.2.2): nothing escaped that need not be, no
    "." or ".." segment, none that is empty, which nginx, Apache and Go pass over, and no parameters
    of segments (";a=1", RFC 3986 3.3), which servers of Java pass over.

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
    """Whether a canonical path is a prefix or lies below it, by whole segments."""
    if not path.startswith(prefix):
        return False
    return prefix.endswith("/") or path[len(prefix) : len(prefix) + 1] in ("", "/")


def canonical_host(authority: str) -> str:
    """Return the host of an authority in lower case, without its port, its brackets or the dot of
    the root; nothing is escaped that need not be, and an IP address has its shortest form."""
    host = authority.lower()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
        return str(as_ip(host) or host)
    host = host.partition(":")[0]
    if "%" in host:
        host = _unescape_host(_unescaped, host).lower()
    return host.removesuffix(".")


def as_ip(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host is written as; None: it is none.

    An IPv4 address within IPv6 (::ffff:10.0.0.1) is the IPv4 address that it leads to.
    """
    if ":" not in host and not NUMERIC.fullmatch(host):  # it saves most an exception
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _unescaped(escaped: re.Match[str]) -> str:
    return chr(int(escaped[1], 16))
