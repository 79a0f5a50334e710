"""Multicast: joining groups, and choosing the interface to join or send on.

Tested in tests/drivers/test_epoll_datagram.py.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.address import Address

# Constants that Python does not have: linux/in.h, linux/in6.h, linux/sockios.h.
IP_ADD_SOURCE_MEMBERSHIP = 39
IP_MULTICAST_ALL = 49
MCAST_JOIN_SOURCE_GROUP = 46
IPV6_MULTICAST_ALL = 29
SIOCGIFADDR = 0x8915

_ADDRESS_BYTES = slice(20, 24)
"""The IPv4 address in struct ifreq: after 16 bytes of name, a family and a port."""


class NoGroupRoute(OSError):
    """No interface was given for a group, and no route chooses one."""


def join(sock: socket.socket, address: Address) -> None:
    """Join the multicast group of an address, on its `interface`.

    With the parameter `source` only datagrams of that host are received. Raises OSError, with the
    interface in its text.
    """
    group, source = address.host, address.parameter("source")
    interface = address.parameter("interface")
    try:
        if sock.family == socket.AF_INET6:
            # Receive only what this socket has joined, not what other sockets of the host have.
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
            index = interface_index(interface)
            if source:
                request = struct.pack("I4x", index) + _sockaddr(group) + _sockaddr(source)
                sock.setsockopt(socket.IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, request)
            else:
                request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("I", index)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
            on = _ipv4(sock, interface)
            packed = socket.inet_aton(group)
            if source:
                request = packed + on + socket.inet_aton(source)
                sock.setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, request)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, packed + on)
    except OSError as error:
        raise _explained(error, interface) from None


def send_on(sock: socket.socket, address: Address) -> None:
    """Set a socket's outgoing interface and TTL from an address's parameters. Raises OSError."""
    interface, ttl = address.parameter("interface"), int(address.parameter("ttl") or 1)
    try:
        if sock.family == socket.AF_INET6:
            index = interface_index(interface)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        else:
            on = _ipv4(sock, interface)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, on)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    except OSError as error:
        raise _explained(error, interface) from None


def _ipv4(sock: socket.socket, interface: str) -> bytes:
    """Return an interface's IPv4 address. Without an interface: four zeros, for which the system
    chooses by its routes."""
    if not interface or _numeric(interface):
        return socket.inet_aton(interface or "0.0.0.0")
    request = struct.pack("256s", interface.encode())
    return fcntl.ioctl(sock.fileno(), SIOCGIFADDR, request)[_ADDRESS_BYTES]


def interface_index(interface: str) -> int:
    """Return an interface's index; 0: the system chooses by its routes. Raises OSError."""
    if not interface:
        return 0
    if not _numeric(interface):
        try:
            return socket.if_nametoindex(interface)
        except OSError:
            raise OSError(errno.ENODEV, "") from None
    wanted = ip_address(interface).packed.hex()
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        packed, index, *_ = line.split()
        if packed == wanted:
            return int(index, 16)
    raise OSError(errno.ENODEV, "")


def _sockaddr(host: str) -> bytes:
    """Return a sockaddr_storage of 128 bytes (RFC 3678, 5.1.3)."""
    family, packed = socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host)
    return struct.pack("HHI16sI100x", family, 0, 0, packed, 0)


def _numeric(interface: str) -> bool:
    try:
        ip_address(interface)
    except ValueError:
        return False
    return True


def _explained(error: OSError, interface: str) -> OSError:
    known = ", ".join(name for _, name in socket.if_nameindex())
    if error.errno not in (errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL):
        return error
    if not interface:
        return NoGroupRoute(
            f'no route to the multicast group: add "?interface=" and one of {known}'
        )
    what = "no interface has this address"
    if not _numeric(interface):
        what = "no such interface, or it has no address"
    return OSError(f"interface={interface}: {what}: use one of {known}, or an address of one")
