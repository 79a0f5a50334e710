"""Splice: moves a bridge's bytes from socket to pipe to socket inside the kernel.

Tested in tests/conformance/test_epoll.py and tests/drivers/test_epoll_stream.py.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.descriptors import Descriptors
    from vcproxy.drivers.epoll.stream import StreamPort
    from vcproxy.engine.bridge import Bridge

PIPE_SIZE = 1 << 20
"""Through a 1 MiB pipe splice costs half as much as through the default 64 KiB (measured)."""

POOL_SIZE = 32
"""Empty pipes kept for the next bridges; more are rarely in use at once."""

_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE


class Pipe(NamedTuple):
    """An empty kernel pipe."""

    out: int
    into: int
    size: int

    def close(self) -> None:
        """Close both ends."""
        os.close(self.out)
        os.close(self.into)


class PipePool:
    """Empty pipes that bridges borrow."""

    def __init__(self, descriptors: Descriptors) -> None:
        self._descriptors = descriptors
        self._free: list[Pipe] = []
        self.count = 0
        """Open pipes, borrowed or free."""
        descriptors.pools.append(self)

    def borrow(self) -> Pipe | None:
        """Return an empty pipe; None if descriptors are short, or if the system refuses one of
        PIPE_SIZE. The caller then copies.
        """
        if self._free:
            return self._free.pop()
        if not self._descriptors.room_for_pipe:
            return None
        try:
            out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            size = fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:  # the user's limit of pipe memory is reached (pipe(7))
            os.close(out)
            os.close(into)
            return None
        self.count += 1
        return Pipe(out, into, size)

    def give_back(self, pipe: Pipe) -> None:
        """Take an empty pipe back."""
        if len(self._free) < POOL_SIZE:
            self._free.append(pipe)
        else:
            self.discard(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Close a pipe with the bytes in it: the kernel frees them without a copy."""
        self.count -= 1
        pipe.close()

    def close(self) -> None:
        """Close the free pipes."""
        while self._free:
            self.discard(self._free.pop())


class Splice:
    """Moves the bytes of one bridge between two plain ports. See Bridge for what it requires."""

    __slots__ = ("_bridge", "_pipe", "_pool", "_sink", "_source")

    def __init__(
        self, bridge: Bridge, source: StreamPort, sink: StreamPort, pipe: Pipe, pool: PipePool
    ) -> None:
        self._bridge = bridge
        self._source = source
        self._sink = sink
        self._pipe = pipe
        self._pool = pool
        source.bridged_out = sink.bridged_in = self

    def move(self) -> None:
        """Splice once into the pipe and once out of it, if the ports are ready."""
        bridge, source, sink = self._bridge, self._source, self._sink
        todo = bridge.begin()
        if todo is None:
            return
        if todo == 0:
            self.stop()
            return
        inside = bridge.inside
        moved_in = moved_out = 0
        end: OSError | None = None
        source_ended = False
        space = self._pipe.size - inside
        if source.readable and space:
            try:
                moved_in = os.splice(source.fd, self._pipe.into, min(todo, space), flags=_FLAGS)
                source_ended = moved_in == 0
            except BlockingIOError:
                # With bytes in the pipe, EAGAIN may mean that the pipe is full.
                source.readable = inside > 0
            except OSError as error:
                end, source_ended = error, True
        if sink.writable and inside + moved_in:
            try:
                moved_out = os.splice(self._pipe.out, sink.fd, inside + moved_in, flags=_FLAGS)
            except BlockingIOError:
                sink.writable = False
            except OSError as error:
                bridge.moved(moved_in, moved_out)
                self.stop(discard=True)
                sink.connection_lost(error)
                return
        bridge.moved(moved_in, moved_out)
        if source_ended:
            # Copying reads an orderly end again; an error was cleared from the socket by splice.
            self.stop()
            if end is not None:
                source.fail(end)
        elif moved_out or (moved_in and sink.writable):
            source.vc.again(True)

    def stop(self, *, discard: bool = False) -> None:
        """End the bridge: move the pipe's bytes into the engine's buffer and return the pipe.

        With `discard`, or where the tunnel has ended, the bytes are discarded: their sink is
        broken.
        """
        if self._source.bridged_out is not self:
            return
        self._source.bridged_out = self._sink.bridged_in = None
        if self._bridge.inside and (discard or self._bridge.abandoned):
            self._pool.discard(self._pipe)
            self._bridge.ended(b"")
            return
        rest = bytearray()
        while len(rest) < self._bridge.inside:
            rest += os.read(self._pipe.out, self._bridge.inside - len(rest))
        self._pool.give_back(self._pipe)
        self._bridge.ended(bytes(rest))
