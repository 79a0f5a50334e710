"""Peers: where messages are sent to and where they come from, and how that is written.

Wink's text forms (wink.md 3): `ip`, `ip:port`, `:port` (this host), a host name in place of the
address, and, as in URIs, an IPv6 address in brackets.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from vcproxy.engine.sources.datagrams import show_peer as show_peer

Peer: TypeAlias = tuple[str, int]
"""Host and port of a UDP socket. The host is an address, or a name that is not looked up yet."""

LOCALHOST: Final = "127.0.0.1"
"""The host of addresses that name none."""

_FORM = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[\w.-]*))(?::(?P<port>[0-9]{1,5}))?")


def parse_peer(text: str, port: int = 0) -> Peer:
    """Return the host and port of an address text; `port` is that of a text without one.

    `localhost` is 127.0.0.1; other names are returned as they are. Raises ValueError with the
    reason.
    """
    form = _FORM.fullmatch(text)
    if form is None or not text:
        raise ValueError(
            f'"{text}" is not an address: write IP, IP:PORT, :PORT, NAME:PORT or [IPv6]:PORT'
        )
    number = port if form["port"] is None else int(form["port"])
    if number > 65_535:
        raise ValueError(f'"{text}" is not an address: a port is at most 65535')
    host = form["v6"] or form["host"] or LOCALHOST
    return LOCALHOST if host == "localhost" else host, number


def is_group(peer: Peer) -> bool:
    """Return whether a peer is an IPv4 multicast group: its first number is 224 to 239 (RFC 1112).

    Other forms of the address than four decimal numbers are not.
    """
    first, dot, _ = peer[0].partition(".")
    return bool(dot) and first.isascii() and first.isdecimal() and 224 <= int(first) <= 239
