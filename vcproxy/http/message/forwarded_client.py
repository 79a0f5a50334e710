"""The client of a trusted proxy: the address that X-Forwarded-For or Forwarded gives.

Each proxy appends the address of its own client, so the list is read from its end: the first
address that belongs to no trusted proxy is the client's. What stands before it was sent by that
client, and may be invented. (nginx `real_ip_recursive on`, Apache mod_remoteip; RFC 7239, 5.2.)
Tested in tests/http/message/test_forwarded_client.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields

Source: TypeAlias = Literal["x-forwarded-for", "forwarded", "connection"]

IpAddress: TypeAlias = IPv4Address | IPv6Address

MAX_HOPS = 32
"""Addresses that are examined: no request passes as many proxies."""

_last_node = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9A-Za-z._-]+)?").fullmatch
_pair = re.compile(r'[\t ]*([^\t ;,="]*)[\t ]*(?:=[\t ]*("(?:[^"\\]|\\.)*"|[^;,]*))?[^;,]*([;,]|$)')


def forwarded_client(
    fields: Fields, source: Source, trusts: Callable[[IpAddress], bool]
) -> str | None:
    """Return the client's address in the fields of a request that a trusted proxy has sent.

    None: they name none, so the address of the connection is all that is known. An element that is
    no address, as "unknown", ends the search: then the address after it is returned.
    """
    found: str | None = None
    if source == "connection":
        return None
    value = fields.get(source, "")
    nodes = _nodes_of_list(value) if source == "x-forwarded-for" else _nodes_of_forwarded(value)
    for node, _ in zip(nodes, range(MAX_HOPS), strict=False):
        address = _address(node)
        if address is None:
            return found
        found = str(address)
        if not trusts(address):
            return found
    return found


def forwarded_scheme(fields: Fields, source: Source) -> str:
    """Return the scheme in which a trusted proxy has got a request, in lower case; "" if its fields
    do not have it: X-Forwarded-Proto, or the `proto` of the last element of Forwarded."""
    if source == "x-forwarded-for":
        return fields.get("X-Forwarded-Proto", "").rpartition(",")[2].strip("\t ").lower()
    scheme = ""
    if source == "forwarded":
        for name, value, end in (pair.groups() for pair in _pair.finditer(fields.get(source, ""))):
            if name.lower() == "proto" and value:
                scheme = value.strip('\t "').lower()
            if end == ",":
                scheme = ""
    return scheme


def _nodes_of_list(value: str) -> Iterator[str]:
    """Return the elements of X-Forwarded-For, the last one first."""
    return filter(None, (node.strip("\t ") for node in reversed(value.split(","))))


def _nodes_of_forwarded(value: str) -> Iterator[str]:
    """Return the `for` of each element of Forwarded (RFC 7239, 4), the last one first; "" for an
    element without one."""
    nodes = [""]
    for pair in _pair.finditer(value):
        name, node, end = pair.groups()
        if name.lower() == "for":
            nodes[-1] = re.sub(r"\\(.)", r"\1", node.strip('\t "')) if node else ""
        if end == ",":
            nodes.append("")
    return reversed(nodes)


def _address(node: str) -> IpAddress | None:
    """Return the address of a node, which may have a port; None: it is none."""
    match = _last_node(node)
    try:
        address = ip_address(node if match is None else match[1] or match[2])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return None if address.scope_id else address.ipv4_mapped or address
    return address
