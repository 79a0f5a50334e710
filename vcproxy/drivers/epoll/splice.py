"""Splice: moves a bridge's bytes from socket to pipe to socket inside the kernel.

A splice and its two ports refer to each other. Tested in tests/conformance/test_epoll.py and
tests/drivers/test_epoll_stream.py.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.pipes import Pipe, PipePool
    from vcproxy.drivers.epoll.stream import StreamPort
    from vcproxy.engine.bridge import Bridge

_FLAGS = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE


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
            # Copying reads an orderly end again, but splice has cleared an error from the socket.
            self.stop()
            if end is not None:
                source.fail(end)
        elif moved_out or (moved_in and sink.writable):
            source.vc.again(True)

    def stop(self, *, discard: bool = False) -> None:
        """End the bridge: move the pipe's bytes into the engine's buffer and return the pipe.

        The bytes are discarded instead with `discard` (the sink is broken), or if the tunnel has
        ended.
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
