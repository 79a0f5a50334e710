"""Whether a socket listens at an address: from the kernel's table (sock_diag(7)), or by connecting.

A dump of the table has the listening sockets of one port only, so it costs the same on a host with
a million connections; /proc/net/tcp has all. See NETLINK_SOCK_DIAG in sock_diag(7).

Tested in tests/drivers/test_epoll_kernel_sockets.py.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.address import Address

CONNECT_S = 2.0
"""How long a connection may take: where there is no answer in this time, nothing listens."""

SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
DONE = 3  # NLMSG_DONE
ERROR = 2  # NLMSG_ERROR

TCP_LISTEN = 1 << 10
TCP_CLOSE = 1 << 7
"""The state of a UDP socket that is not connected."""

SHOW_NAME = 1  # UDIAG_SHOW_NAME
UNIX_NAME = 0  # UNIX_DIAG_NAME
ONLY_V6 = 11  # INET_DIAG_SKV6ONLY

HEADER = struct.Struct("=IHHII")
INET_REQUEST = struct.Struct("=BBBxI")
INET_ANSWER = 72  # sizeof(struct inet_diag_msg); its source address begins at 8
UNIX_REQUEST = struct.Struct("=BBHIIIII")
UNIX_ANSWER = 16  # sizeof(struct unix_diag_msg)
ANY_COOKIE = b"\xff" * 8

ANY = {"0.0.0.0", "::"}


def listens(address: Address) -> bool:
    """Return whether a socket listens at an address (udp: is bound). It may block for 2 s.

    Raises OSError for a name that is not found.
    """
    if address.scheme == "unix":
        return _unix_listens(address.path) or _connects(socket.AF_UNIX, address.path)
    kind = socket.SOCK_DGRAM if address.scheme == "udp" else socket.SOCK_STREAM
    for family, _, _, _, where in socket.getaddrinfo(address.host, address.port, type=kind):
        if _is_local(family, where[0]) and _inet_listens(family, kind, str(where[0]), address.port):
            return True
        if kind == socket.SOCK_STREAM and _connects(family, where):
            return True  # at another host, or in another network namespace
    return False


def _connects(family: int, where: object) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(CONNECT_S)
        try:
            sock.connect(where)  # type: ignore[arg-type]
        except OSError:
            return False
    return True


def _is_local(family: int, host: str | int) -> bool:
    """Return whether an address is one of this host."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            return False
    return True


# -- the kernel's table ----------------------------------------------------------------------


def _inet_listens(family: int, kind: int, host: str, port: int) -> bool:
    """Return whether the table has a socket at an address, or at all addresses of this host."""
    tcp = kind == socket.SOCK_STREAM
    protocol, states = (socket.IPPROTO_TCP, TCP_LISTEN) if tcp else (socket.IPPROTO_UDP, TCP_CLOSE)
    wanted = {_canonical(host), *ANY}
    place = struct.pack("!HH", port, 0) + bytes(36) + ANY_COOKIE
    for each in {family, socket.AF_INET6}:  # a socket for all of IPv6 receives IPv4 too
        size = 4 if each == socket.AF_INET else 16
        for answer in _dump(INET_REQUEST.pack(each, protocol, 0, states) + place):
            found = _canonical(ip_address(answer[8 : 8 + size]))
            if found in wanted and (each == family or not _only_v6(answer)):
                return True
    return False


def _canonical(host: str | IPv4Address | IPv6Address) -> str:
    """Return an address without a zone; one of IPv4 that is mapped to IPv6 as IPv4."""
    address = ip_address(host.partition("%")[0] if isinstance(host, str) else host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _only_v6(answer: bytes) -> bool:
    return (ONLY_V6, b"\1") in _attributes(answer, INET_ANSWER)


def _unix_listens(path: str) -> bool:
    """Return whether the table has a listening Unix socket with this path, as it was bound."""
    names = {os.fsencode(path), os.fsencode(os.path.abspath(path))}
    request = UNIX_REQUEST.pack(socket.AF_UNIX, 0, 0, TCP_LISTEN, 0, SHOW_NAME, *([0xFFFFFFFF] * 2))
    return any(
        kind == UNIX_NAME and value.rstrip(b"\0") in names
        for answer in _dump(request)
        for kind, value in _attributes(answer, UNIX_ANSWER)
    )


def _attributes(answer: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes of an answer: type, value."""
    while start + 4 <= len(answer):
        size, kind = struct.unpack_from("=HH", answer, start)
        yield kind, answer[start + 4 : start + size]
        start += max(4, (size + 3) & ~3)


def _dump(request: bytes) -> Iterator[bytes]:
    """Yield the answers of the kernel; none where it has no such table, as in some sandboxes."""
    with suppress(OSError), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as sock:
        sock.settimeout(CONNECT_S)
        sock.send(HEADER.pack(HEADER.size + len(request), BY_FAMILY, DUMP, 1, 0) + request)
        while True:
            data = sock.recv(1 << 16)
            while len(data) >= HEADER.size:
                size, kind, *_ = HEADER.unpack_from(data)
                if kind in (DONE, ERROR) or size < HEADER.size:
                    return
                yield data[HEADER.size : size]
                data = data[(size + 3) & ~3 :]
