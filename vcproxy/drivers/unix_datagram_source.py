"""UnixDatagramSource: the socket of a UnixDatagrams source; for real and for simulated sockets.

Tested in tests/conformance/test_unix_datagrams.py.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.drivers.datagram_source import Interested, SourceSocket, reason
from vcproxy.drivers.datagrams import BATCH, DatagramSocket
from vcproxy.engine.drop_counter import DropCounter
from vcproxy.engine.sources.datagrams import BindFailed
from vcproxy.engine.sources.unix_datagrams import LARGEST_UNIX, UnixArrived, UnixBound

if TYPE_CHECKING:
    from vcproxy.engine.sources.unix_datagrams import UnixDatagrams

_REASONS = {
    errno.ENOENT: "no socket has this path",
    errno.ECONNREFUSED: "the process of the socket at this path has ended",
    errno.EAGAIN: "the receiver does not read: its queue (net.unix.max_dgram_qlen) is full",
    errno.EACCES: "permission denied: the mode of the receiving socket's file forbids it",
    errno.EPROTOTYPE: "the receiving socket is of another kind: unixgram: is needed",
    errno.EADDRINUSE: "another process uses this path",
    errno.ENAMETOOLONG: "a Unix socket path holds at most 107 bytes",
}

TOO_LONG = f"it is longer than {LARGEST_UNIX} bytes"


def unix_reason(error: OSError) -> str:
    """Return why a system call on a Unix socket failed, in plain words."""
    return _REASONS.get(error.errno or 0) or reason(error)


class UnixDatagramSource(SourceSocket):
    """The socket of a source."""

    __slots__ = ("_removed", "_shown", "_sockaddr")

    def __init__(
        self,
        source: UnixDatagrams,
        sock: DatagramSocket,
        shown: Callable[[object], str],
        sockaddr: Callable[[str], str],
        removed: Callable[[], None],
    ) -> None:
        """`shown` and `sockaddr` convert an address of the socket to text and back. `removed` is
        called after the socket is closed."""
        super().__init__(source, sock, DropCounter(source.engine, source.name))  # type: ignore[arg-type]
        self._shown = shown
        self._sockaddr = sockaddr
        self._removed = removed

    def on_readable(self) -> None:
        """Read a batch."""
        recvfrom, happened, source = self._recvfrom, self._happened, self._source
        name, shown = self._name, self._shown
        for _ in range(BATCH):
            try:
                data, sender = recvfrom(LARGEST_UNIX + 1)
            except BlockingIOError:
                return
            except OSError as error:  # reported for one datagram: the next may be good
                self.drops.drop(unix_reason(error))
                continue
            if len(data) > LARGEST_UNIX:
                self.drops.drop(TOO_LONG)
            else:
                happened(source, UnixArrived(name, data, shown(sender)))

    def send(self, data: bytes, to: str) -> None:
        """Send a datagram, or drop it."""
        if len(data) > LARGEST_UNIX:
            self.drops.drop(TOO_LONG)
            return
        try:
            self.sock.sendto(data, self._sockaddr(to))
        except OSError as error:
            self.drops.drop(unix_reason(error))
        except ValueError as error:  # a NUL character
            self.drops.drop(str(error))

    def close(self) -> None:
        """Close the socket; remove its file."""
        super().close()
        self._removed()


def open_unix_datagrams(
    source: UnixDatagrams,
    bound: Callable[[], tuple[UnixDatagramSource, str]],
    interested: Interested,
) -> UnixDatagramSource | None:
    """Open the socket of a source; its event is UnixBound or BindFailed.

    `bound` returns it, and where it is bound.
    """
    opened = None
    try:
        opened, place = bound()
        opened.watch(interested)
    except OSError as error:
        if opened is not None:
            opened.close()
        why = f"{source.address}: {unix_reason(error)}"
        in_use = error.errno == errno.EADDRINUSE
        source.engine.happened(source, BindFailed(source.name, why, in_use))
        return None
    source.outlet = opened.send
    source.engine.happened(source, UnixBound(source.name, place))
    return opened
