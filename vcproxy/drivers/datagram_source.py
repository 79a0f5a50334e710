"""DatagramSource: the sockets of a Datagrams source; for real and for simulated sockets.

Tested in tests/conformance/test_sources.py.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import TypeAlias

from vcproxy.drivers.datagrams import BATCH, LARGEST, DatagramSocket, SetInterest
from vcproxy.engine.address import Address
from vcproxy.engine.drop_counter import DropCounter
from vcproxy.engine.sources.datagrams import (
    Arrived,
    BindFailed,
    Bound,
    Datagrams,
    HostPort,
    show_peer,
)

REMEMBERED = 4096
"""The most hosts that are remembered to be numeric."""

SINGLES = 16
"""Full batches of one datagram before batches grow. A peer that sends a datagram for each answer
fills them too: one read in 17 is then in vain, not every second one."""

Interested: TypeAlias = Callable[["SourceSocket"], SetInterest]
"""Starts to watch a socket, and returns how to set its interest."""

MAX_PORT = 65_535
BAD_PORT = "ports are 0 to 65535"

ANY = {"": "0.0.0.0", "0.0.0.0": "0.0.0.0", "::": "::"}
"""The hosts that mean all addresses of this host."""


class SourceSocket:
    """One socket: what arrives there is an event of the source.

    A batch is one datagram, so that a datagram costs one system call and not a second one, which
    would only find that there are no more. After SINGLES full ones in turn, batches double, up to
    BATCH, until one is not full.
    """

    __slots__ = ("_batch", "_full", "_group", "_happened", "_name", "_recvfrom",
                 "_set_interest", "_source", "drops", "sock")  # fmt: skip

    def __init__(
        self, source: Datagrams, sock: DatagramSocket, drops: DropCounter, group: str = ""
    ) -> None:
        self.sock = sock
        self.drops = drops
        self._recvfrom = sock.recvfrom
        self._happened = source.engine.happened
        self._source = source
        self._name = source.name
        self._group = group
        self._batch = 1
        self._full = 0  # full batches in turn
        self._set_interest: SetInterest = _ignore

    def watch(self, interested: Interested) -> None:
        """Start to receive. Raises OSError at the limit of watched descriptors."""
        self._set_interest = interested(self)
        self._set_interest(True, False)

    def on_readable(self) -> None:
        """Read a batch."""
        recvfrom, happened, source = self._recvfrom, self._happened, self._source
        name, group = self._name, self._group
        for _ in range(self._batch):
            try:
                data, sender = recvfrom(LARGEST)
            except BlockingIOError:
                self._batch = self._batch // 2 or 1
                self._full = 0
                return
            except OSError as error:  # reported for one datagram: the next may be good
                self.drops.drop(reason(error))
                continue
            if len(sender) > 2:  # IPv6 has more parts
                sender = sender[:2]
            happened(source, Arrived(name, data, sender, group))
        self._full += 1
        if self._full > SINGLES and self._batch < BATCH:
            self._batch *= 2
            self._full = 0

    def on_writable(self) -> None:
        """Never called: it does not wait for writing."""

    def set_watched(self, watched: bool) -> None:
        """Receive, or leave what arrives in the socket's receive buffer."""
        self._set_interest(watched, False)

    def close(self) -> None:
        """Stop receiving; close the socket."""
        self._set_interest(False, False)
        self.sock.close()


class DatagramSource:
    """The socket at the address of a source, and one for each of its groups."""

    __slots__ = ("_drops", "_known", "_sendto", "_sockets", "address")

    def __init__(
        self,
        source: Datagrams,
        sockets: Sequence[DatagramSocket],
        address: HostPort,
        interested: Interested,
    ) -> None:
        """`sockets`: of the address, then of the groups, in order. `address`: where the first is
        bound. Raises OSError, all sockets are closed then."""
        self.address = address
        self._drops = DropCounter(source.engine, source.name)
        self._known: set[str] = set()
        self._sendto = sockets[0].sendto
        groups = ("", *(group for group, _ in source.groups))
        self._sockets = [
            SourceSocket(source, sock, self._drops, group)
            for sock, group in zip(sockets, groups, strict=True)
        ]
        try:
            for each in self._sockets:
                each.watch(interested)
        except OSError:
            self.close()
            raise
        source.outlet = self.send

    def send(self, data: bytes, to: HostPort) -> None:
        """Send a datagram, or drop it."""
        try:
            if to[0] not in self._known:
                self._check(to[0])
            self._sendto(data, to)
        except BlockingIOError:
            self._drops.drop("the send buffer is full")
        except OSError as error:
            self._drops.drop(reason(error))  # without the address: reasons are counted apart
        except OverflowError:
            self._drops.drop(BAD_PORT)

    def _check(self, host: str) -> None:
        """Raise OSError unless a host is numeric: a name would be looked up, which blocks."""
        if not udp((host, 0)).numeric:
            raise OSError("it was for a host that is not a numeric address")
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known.add(host)

    def set_watched(self, watched: bool) -> None:
        """Receive at all its sockets, or at none."""
        for each in self._sockets:
            each.set_watched(watched)

    def close(self) -> None:
        """Close all its sockets."""
        for each in self._sockets:
            each.close()


def open_datagrams(
    source: Datagrams,
    bound: Callable[[Address], tuple[DatagramSocket, HostPort]],
    interested: Interested,
) -> DatagramSource | None:
    """Open the sockets of a source; its event is Bound or BindFailed.

    `bound` returns a socket bound to an address or joined to a group, and where it is bound.
    """
    sockets: list[DatagramSocket] = []
    at = source.address
    place = at
    try:
        for at in (source.address, *source.groups):
            sock, real = bound(_address(source, at))
            sockets.append(sock)
            if len(sockets) == 1:
                place = real
        opened = DatagramSource(source, sockets, place, interested)
    except OSError as error:
        for sock in sockets:
            sock.close()
        why = f"{show_peer(at)}: {reason(error)}"
        in_use = error.errno == errno.EADDRINUSE
        source.engine.happened(source, BindFailed(source.name, why, in_use))
        return None
    source.engine.happened(source, Bound(source.name, place))
    return opened


def _address(source: Datagrams, at: HostPort) -> Address:
    """Return the address of a socket of a source. A group is joined on the interface of the
    source's own address. Raises OSError."""
    host = ANY.get(at[0], at[0])
    if not 0 <= at[1] <= MAX_PORT:
        raise OSError(BAD_PORT)
    if at is source.address:
        address = udp((host, at[1]))
        if address.numeric and not address.multicast:
            return address
        raise OSError("it must be a numeric address of this host")
    own = source.address[0]
    address = udp(at, () if own in ANY else (("interface", own),))
    if not address.multicast:
        raise OSError("it is not a multicast group")
    return address


def udp(at: HostPort, parameters: tuple[tuple[str, str], ...] = ()) -> Address:
    """Return a udp address."""
    return Address("udp", at[0], at[1], parameters=parameters)


_REASONS = {
    errno.EADDRINUSE: "the port is in use: choose another, or 0 for a free one",
    errno.EADDRNOTAVAIL: "this host has no such address",
    errno.EACCES: "permission denied: ports below 1024 and broadcasts need a privilege",
    errno.EMFILE: "no descriptor is free: raise the limit (ulimit -n)",
    errno.EMSGSIZE: "it is too large for the path",
    errno.ENOBUFS: "the device's queue is full",
    errno.ENOSPC: "no descriptor can be watched: raise fs.epoll.max_user_watches",
    errno.EINVAL: "the address cannot be used with this socket",
}


def reason(error: OSError) -> str:
    """Return why a system call on a socket failed, in plain words."""
    number = error.errno
    if number in _REASONS:
        return _REASONS[number]
    if number is None or number < 0:  # our own text, or the resolver's
        return error.strerror or str(error)
    return os.strerror(number).lower()


def _ignore(reads: bool, writes: bool) -> None:
    """Do nothing: the socket is not watched yet."""
