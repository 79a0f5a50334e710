"""Streams in one host, simulated: FIFOs, serial lines, terminals, standard input and output, pipes.

They are connections of the simulated network, to a scripted peer or to an engine that listens at
the address: the process at the other end of a FIFO, the device on a serial line, the user at a
terminal. What differs from a socket is in their Nature.

Tested in tests/sim/test_streams.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.link import Endpoint, Link, TcpFlag, do_nothing

if TYPE_CHECKING:
    from vcproxy.drivers.sim.conditions import Conditions
    from vcproxy.drivers.sim.link import HandshakeResult
    from vcproxy.drivers.sim.network import Acceptor
    from vcproxy.drivers.tls import Octets

READ_ONLY = "it can only be read, and something was written"


@dataclass(frozen=True, slots=True)
class Nature:
    """How one end differs from a socket."""

    lost: str
    """Why a broken connection is broken."""
    reads: bool = True
    writes: bool = True
    ends: bool = True
    """Whether the peer can end it in order. If not, its end is a broken connection."""
    half_close: bool = True
    """Whether one direction can end alone. If not, reading ends with writing."""


READER = Nature(lost="its writer has failed", writes=False)
"""Of a pipe or FIFO."""
WRITER = Nature(lost="its reader has closed it", reads=False, half_close=False)
LINE = Nature(
    lost="the serial line has gone: its device was unplugged, or has hung up",
    ends=False,
    half_close=False,
)
TERMINAL = Nature(lost="the terminal has hung up", half_close=False)
PIPE = Nature(lost="its reader has closed it")
"""Standard input and output."""

NATURES = {
    "fifo": (WRITER, READER),
    "serial": (LINE, PIPE),
    "terminal": (TERMINAL, PIPE),
    "stdio": (PIPE, PIPE),
}
"""By scheme: of the end that connects, and of the other one."""

ABSENT: dict[str, Callable[[], OSError]] = {
    "fifo": lambda: ConnectionRefusedError("no process has the FIFO open for reading"),
    "serial": lambda: OSError("no such file or directory"),
    "terminal": lambda: OSError(
        "this process has no terminal: start it from one, and not as a service"
    ),
}
"""Why a connect fails where nothing listens, by scheme."""

BUSY = {
    "serial": "the serial line is in use by another connection or process",
    "terminal": "the terminal is in use already by this process",
    "stdio": "standard input and output are in use already by this process",
}
"""Why a connect fails while there is another connection, by scheme."""


class LocalEndpoint(Endpoint):
    """One end of such a stream. See Stream."""

    __slots__ = ("nature",)

    def __init__(
        self,
        network: Conditions,
        incoming: Link,
        outgoing: Link,
        name: str,
        nature: Nature,
    ) -> None:
        super().__init__(network, incoming, outgoing, name, name)
        self.nature = nature

    @property
    def readable(self) -> bool:
        """See Stream."""
        if not self.nature.reads:
            return self._shut or self._error is not None
        return super().readable or (self._shut and not self.nature.half_close)

    def recv(self, limit: int) -> bytes | None:
        """See Stream. Where nothing is read, reading ends with writing."""
        if self._shut and not self.nature.half_close and self._error is None:
            return b""
        if not self.nature.reads:
            if self._error is not None:
                raise self._error
            return None
        data = super().recv(limit)
        if data == b"" and not self.nature.ends:
            raise ConnectionResetError(self.nature.lost)
        return data

    def send(self, views: Sequence[Octets]) -> int | None:
        """See Stream."""
        if not self.nature.writes and self._error is None:
            self._error = BrokenPipeError(READ_ONLY)
        return super().send(views)

    def shutdown(self) -> None:
        """See Stream. What has no end in one direction sends none."""
        if not self.nature.writes:
            return
        if self.nature.half_close or not self.nature.reads:
            super().shutdown()
        self._shut = True
        if not self.nature.half_close:
            self.on_edge()

    def close(self) -> None:
        """See Stream. The writer of a pipe without a reader gets an error."""
        if self.nature.writes:
            self._shut = self._shut and (self.nature.half_close or not self.nature.reads)
            super().shutdown()
            super().close()
        else:
            self.outgoing.send(TcpFlag.RESET)
            self._detach()

    def abort(self) -> None:
        """See Stream."""
        if self.nature.writes:
            super().abort()
        else:
            self.close()

    def reset_received(self, error: ConnectionError) -> None:
        """See Endpoint."""
        kind = ConnectionResetError if self.nature.reads else BrokenPipeError
        super().reset_received(kind(self.nature.lost))


def pipe(network: Conditions, name: str) -> tuple[LocalEndpoint, LocalEndpoint]:
    """Return the ends of a pipe: for writing, and for reading."""
    return local_pair(network, name, WRITER, READER)


def local_pair(
    network: Conditions, name: str, one: Nature, other: Nature
) -> tuple[LocalEndpoint, LocalEndpoint]:
    """Return both ends of a stream."""
    out, back = Link(network), Link(network)
    return (
        LocalEndpoint(network, back, out, name, one),
        LocalEndpoint(network, out, back, name, other),
    )


class FifoReader:
    """What all writers of a FIFO write, one after the other, without an end. See Stream."""

    spliceable = False
    writable = True
    secure: HandshakeResult | None = None

    def __init__(self, acceptor: Acceptor, closed: Callable[[], None]) -> None:
        """`closed` is called when it is closed."""
        self.local = self.peer = str(acceptor.address)
        self.on_edge: Callable[[], None] = do_nothing
        self.error: Exception | None = None
        self._closed = closed
        self._writers: list[Endpoint] = []
        self._acceptor = acceptor
        acceptor.on_edge = self._accept

    def _accept(self) -> None:
        while self._acceptor.backlog:
            writer = self._acceptor.backlog.popleft()
            writer.on_edge = lambda: self.on_edge()
            self._writers.append(writer)
        self.on_edge()

    @property
    def readable(self) -> bool:
        """See Stream."""
        return self.error is not None or any(writer.readable for writer in self._writers)

    @property
    def unread(self) -> bool:
        """See Stream."""
        return any(writer.unread for writer in self._writers)

    def handshake(self) -> bool:
        """See Stream."""
        return True

    def recv(self, limit: int) -> bytes | None:
        """See Stream."""
        for writer in list(self._writers):
            try:
                data = writer.recv(limit)
            except ConnectionError:
                data = b""
            if data:
                return data
            if data == b"":
                writer.close()
                self._writers.remove(writer)
        if self.error is not None:
            raise self.error
        return None

    def send(self, views: Sequence[Octets]) -> int | None:
        """See Stream."""
        self.error = BrokenPipeError(READ_ONLY)
        raise self.error

    def shutdown(self) -> None:
        """See Stream. There is nothing to end."""

    def truncate(self) -> None:
        """See Stream."""

    def close(self) -> None:
        """See Stream."""
        self.on_edge = do_nothing
        for writer in self._writers:
            writer.reset()
        self._writers.clear()
        self._closed()

    reset = abort = close
