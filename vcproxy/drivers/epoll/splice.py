"""Splice: a bridge's bytes go from socket to pipe to socket and never enter Python."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.descriptors import Descriptors
    from vcproxy.drivers.epoll.stream import StreamPort
    from vcproxy.engine.bridge import Bridge

PIPE_SIZE = 1 << 20
"""Through a 1 MiB pipe splice costs half of what it costs through the default 64 KiB (measured)."""

POOL_SIZE = 32
"""Pipes kept for the next bridge; more than that are seldom in use at once."""

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
    """Empty pipes to borrow."""

    def __init__(self, descriptors: Descriptors) -> None:
        self._descriptors = descriptors
        self._free: list[Pipe] = []
        self.count = 0
        """How many there are, borrowed or not."""
        descriptors.pools.append(self)

    def borrow(self) -> Pipe | None:
        """An empty pipe; None when the system has none to give, or only small ones, or when
        descriptors are short: copying takes none.
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
        except OSError:  # the user's share of pipe memory is used up (pipe(7))
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
        """Take a pipe back with what is in it: the kernel frees that without copying it."""
        self.count -= 1
        pipe.close()

    def close(self) -> None:
        """Close what is in the pool."""
        while self._free:
            self.discard(self._free.pop())


class Splice:
    """The mover of one bridge, between two plain ports. See Bridge for its obligations."""

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
        """One splice in and one out, as far as both sides are ready."""
        bridge, source, sink = self._bridge, self._source, self._sink
        todo = bridge.begin()
        if todo is None:
            return
        if todo == 0:
            self.stop()
            return
        inside = bridge.inside
        taken = given = 0
        end: OSError | None = None
        over = False
        space = self._pipe.size - inside
        if source.readable and space:
            try:
                taken = os.splice(source.fd, self._pipe.into, min(todo, space), flags=_FLAGS)
                over = taken == 0
            except BlockingIOError:
                # With bytes inside, the pipe may be what is full, not the socket that is empty.
                source.readable = inside > 0
            except OSError as error:
                end, over = error, True
        if sink.writable and inside + taken:
            try:
                given = os.splice(self._pipe.out, sink.fd, inside + taken, flags=_FLAGS)
            except BlockingIOError:
                sink.writable = False
            except OSError as error:
                bridge.moved(taken, given)
                self.stop(in_vain=True)
                sink.lost(error)
                return
        bridge.moved(taken, given)
        if over:
            # An orderly end is met again by copying; an error was taken off the socket here.
            self.stop()
            if end is not None:
                source.fail(end)
        elif given or (taken and sink.writable):
            source.vc.again(True)

    def stop(self, *, in_vain: bool = False) -> None:
        """Empty the pipe into the engine's buffer and give it back; throw away what nobody will
        read, as behind a sink that takes nothing more (`in_vain`)."""
        if self._source.bridged_out is not self:
            return
        self._source.bridged_out = self._sink.bridged_in = None
        if self._bridge.inside and (in_vain or self._bridge.abandoned):
            self._pool.discard(self._pipe)
            self._bridge.ended(b"")
            return
        rest = bytearray()
        while len(rest) < self._bridge.inside:
            rest += os.read(self._pipe.out, self._bridge.inside - len(rest))
        self._pool.give_back(self._pipe)
        self._bridge.ended(bytes(rest))
