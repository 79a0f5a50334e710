"""SimPort: what the simulated driver keeps for a VC; SimPipe: the mover of a bridge."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from zlib import crc32

from vcproxy.drivers.spreading import push_all
from vcproxy.drivers.tls import Truncated
from vcproxy.engine.iobuffer import COPY_OUT, Block

if TYPE_CHECKING:
    from vcproxy.drivers.sim.driver import SimDriver
    from vcproxy.drivers.sim.link import Stream
    from vcproxy.engine.bridge import Bridge
    from vcproxy.engine.net import NetVConnection


class SimPort:
    """A connected stream. See Port and NetVConnection for its obligations.

    As with an edge-triggered epoll, `readable` and `writable` say what an edge last told and no
    call has disproved; a short read or write proves nothing.
    """

    __slots__ = (
        "_driver",
        "_failed",
        "_lost",
        "bridged_in",
        "bridged_out",
        "established",
        "readable",
        "spliceable",
        "stream",
        "vc",
        "writable",
    )

    vc: NetVConnection

    def __init__(self, driver: SimDriver, stream: Stream) -> None:
        self._driver = driver
        self.stream = stream
        self.spliceable = stream.spliceable
        self.readable = self.writable = True
        self.established = False
        self.bridged_out: SimPipe | None = None
        """The bridge that takes what this port reads."""
        self.bridged_in: SimPipe | None = None
        """The bridge that brings what this port writes."""
        self._lost: Exception | None = None  # why it is broken, until all has been read
        self._failed = False
        stream.on_edge = self._edge

    def _edge(self) -> None:
        self._driver.woken[self] = None

    def ready(self) -> None:
        """Take an edge: in the turn after it."""
        stream = self.stream
        self._driver.visit(self.vc)
        self.readable = self.readable or stream.readable
        self.writable = self.writable or stream.writable
        if not self.established:
            self.shake_hands()
            return
        self._read()
        self.write()
        if stream.error is not None:
            self._lose(stream.error)

    def shake_hands(self) -> None:
        """Go on with the handshake."""
        vc = self.vc
        try:
            self.established = self.stream.handshake()
        except ConnectionError as error:
            self._break(error)
        else:
            if self.established and self.stream.secure is not None:
                tls = self.stream.secure
                self._driver.note("established", vc, tls.sni, tls.alpn)
                vc.established(tls.sni, tls.alpn, tls.peer)

    def read(self) -> None:
        """Read once, as `begin_read` says."""
        self._read()

    def _read(self) -> bool:
        """Read once; True if anything came."""
        if not self.readable or not self.established:
            return False
        if self.bridged_out is not None:
            return self.bridged_out.move()
        vc, note = self.vc, self._driver.note
        room = vc.begin_read()
        if not room:
            if self._lost is not None and not self.stream.unread:
                self._break(self._lost)
            elif self._lost is not None:
                note("broke", vc, str(self._lost))
                vc.broke(self._lost)
            return False
        try:
            data = self.stream.recv(room)
        except Truncated as error:
            self.readable = False
            vc.would_block()
            note("ended", vc, str(error))
            vc.ended(error)
            return False
        except ConnectionError as error:
            vc.would_block()
            self._break(error)
            return False
        if data:
            note("received", vc, len(data), crc32(data))
            self._bring(data)
            vc.again(True)
            return True
        self.readable = False
        vc.would_block()
        if data is not None:
            note("ended", vc)
            vc.ended()
        return False

    def _bring(self, data: bytes) -> None:
        """Give the engine what came: in its scratch if it is much, and passed on if it may be."""
        vc = self.vc
        block: Block = data
        if len(data) > COPY_OUT:
            block = vc.engine.memory.scratch[: len(data)]
            block[:] = data
        sink = vc.direct_sink
        if vc.fan is not None and sink is None:
            short = push_all(vc.fan, block)
            self._driver.note("spread", vc, *(count for _, count in short))
            vc.spread(block, short)
        elif sink is None or sink.port is None:
            vc.received(block)
        else:
            count = sink.port.push(block)
            self._driver.note("passed", vc, count)
            vc.passed(block, count)

    def push(self, data: Block) -> int:
        """Write at once what another port has read."""
        if not self.writable or not self.established:
            return 0
        try:
            count = self.stream.send([data])
        except ConnectionError as error:
            self.vc.soon(partial(self._break, error))  # under the reader's lock now
            return 0
        if count is None:
            self.writable = False
        return count or 0

    def write(self) -> None:
        """Write once, as `begin_write` says."""
        if not self.writable or not self.established:
            return
        if self.bridged_in is not None:
            self.bridged_in.move()
            return
        vc = self.vc
        views = vc.begin_write()
        if views is None:
            return
        try:
            count = self.stream.send(views)
        except ConnectionError as error:
            vc.sent(0)
            self._lose(error)
            return
        if count is None:
            self.writable = False
        else:
            self._driver.note("sent", vc, count)
        vc.sent(count or 0)

    def _lose(self, error: Exception) -> None:
        """The connection is broken. What came before is read first."""
        self.writable = False
        if self._failed or self._lost is not None:
            return
        self._lost = error
        self.readable = True
        if self.bridged_out is not None:
            self.bridged_out.stop()
        self._read()

    def _break(self, error: Exception) -> None:
        """The connection is broken, and all has been read: bridges end first, then the VC."""
        self.readable = self.writable = False
        if self.bridged_out is not None:
            self.bridged_out.stop()
        if self.bridged_in is not None:
            self.bridged_in.stop(in_vain=True)
        if not self._failed:
            self._failed = True
            self._driver.note("failed", self.vc, str(error))
            self.vc.failed(error)

    def shutdown_write(self) -> None:
        """Tell the peer that no more will come."""
        self.writable = False
        self.stream.shutdown()

    def close(self, abort: bool) -> None:
        """Close, with a reset behind what was sent, or in order."""
        self.readable = self.writable = False
        self._driver.woken.pop(self, None)
        if abort:
            self.stream.abort()
        else:
            self.stream.close()


class SimPipe:
    """A bridge's bytes on their way between two ports. See Bridge for its obligations."""

    __slots__ = ("_bridge", "_capacity", "_driver", "_inside", "_sink", "_source")

    def __init__(
        self, driver: SimDriver, bridge: Bridge, source: SimPort, sink: SimPort, capacity: int
    ) -> None:
        self._driver = driver
        self._bridge = bridge
        self._source = source
        self._sink = sink
        self._capacity = capacity
        self._inside = bytearray()
        source.bridged_out = sink.bridged_in = self

    def move(self) -> bool:
        """Move once in and once out, as far as both sides are ready; True if anything came in."""
        bridge, source, sink, inside = self._bridge, self._source, self._sink, self._inside
        todo = bridge.begin()
        if not todo:
            if todo == 0:
                self.stop()
            return False
        taken = given = 0
        over = False
        space = min(todo, self._capacity - len(inside))
        try:
            if source.readable and space:
                data = source.stream.recv(space)
                source.readable = data is not None
                over = data == b""
                inside += data or b""
                taken = len(data or b"")
            if sink.writable and inside:
                count = sink.stream.send([inside])
                sink.writable = count is not None
                given = count or 0
                del inside[:given]
        except ConnectionError:
            over = True
        self._driver.note("moved", source.vc, taken, given)
        bridge.moved(taken, given)
        if over:
            self.stop()  # copying goes on from here and meets the same end
        elif taken or given:
            source.vc.again(True)
        return taken > 0

    def stop(self, *, in_vain: bool = False) -> None:
        """Bring what is on the way into the engine's buffer, unless nobody will read it."""
        if self._source.bridged_out is self:
            self._source.bridged_out = self._sink.bridged_in = None
            if in_vain or self._bridge.abandoned:
                self._inside.clear()
            self._driver.note("bridge ended", self._source.vc, len(self._inside))
            self._bridge.ended(bytes(self._inside))
