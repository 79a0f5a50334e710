"""SimPort: a VC's stream connection in the simulated driver; SimPipe: moves a bridge's bytes.

Port and pipe refer to each other. Tested in tests/drivers/test_sim.py and
tests/conformance/test_sim.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING
from zlib import crc32

from vcproxy.drivers.sim.files.opened_files import as_bytes, read_range
from vcproxy.drivers.spreading import push_all
from vcproxy.drivers.tls import Truncated
from vcproxy.engine.blocks import COPY_OUT, Block

if TYPE_CHECKING:
    from vcproxy.drivers.sim.link import Stream
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.engine.bridge import Bridge
    from vcproxy.engine.commands import EndBridge, StartBridge
    from vcproxy.engine.file_range import FileRange
    from vcproxy.engine.net import NetVConnection


class SimPort:
    """A connected stream. See Port and NetVConnection for what they require.

    As with edge-triggered epoll, `readable` and `writable` are set by an edge and cleared by a call
    that would block. A short read or write does not clear them.
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

    def __init__(self, driver: PortDriver, stream: Stream) -> None:
        self._driver = driver
        self.stream = stream
        self.spliceable = stream.spliceable
        self.readable = self.writable = True
        self.established = False
        self.bridged_out: SimPipe | None = None
        """The bridge that moves this port's input."""
        self.bridged_in: SimPipe | None = None
        """The bridge that moves this port's output."""
        # the error that broke the connection; input may be unread
        self._lost: Exception | None = None
        self._failed = False
        stream.on_edge = self._edge

    def _edge(self) -> None:
        self._driver.edge(self)

    def ready(self) -> None:
        """Handle an edge, in the turn after it."""
        stream = self.stream
        self._driver.maybe_hold(self.vc)
        self.readable = self.readable or stream.readable
        self.writable = self.writable or stream.writable
        if not self.established:
            self.continue_handshake()
            return
        self._read()
        self.write()
        if stream.error is not None:
            self._connection_lost(stream.error)

    def continue_handshake(self) -> None:
        """Continue the handshake."""
        vc = self.vc
        try:
            self.established = self.stream.handshake()
        except ConnectionError as error:
            self._fail(error)
        else:
            if self.established and self.stream.secure is not None:
                tls = self.stream.secure
                self._driver.trace_call("established", vc, tls.sni, tls.alpn)
                certificate = getattr(tls, "certificate", None)  # not of every scripted handshake
                if certificate is not None:
                    self._driver.trace_call("presented", vc, certificate.subject)
                    vc.presented(certificate)
                vc.established(tls.sni, tls.alpn, tls.peer)

    def read(self) -> None:
        """Read once from the stream, at most `begin_read()` bytes."""
        self._read()

    def _read(self) -> bool:
        """Read once; return whether there was data."""
        if not self.readable or not self.established:
            return False
        if self.bridged_out is not None:
            return self.bridged_out.move()
        vc, trace = self.vc, self._driver.trace_call
        room = vc.begin_read()
        if not room:
            if self._lost is not None and not self.stream.unread:
                self._fail(self._lost)
            elif self._lost is not None:
                trace("broke", vc, str(self._lost))
                vc.broke(self._lost)
            return False
        try:
            data = self.stream.recv(room)
        except Truncated as error:
            self.readable = False
            vc.would_block()
            trace("ended", vc, str(error))
            vc.ended(error)
            return False
        except ConnectionError as error:
            vc.would_block()
            self._fail(error)
            return False
        if data:
            trace("received", vc, len(data), crc32(data))
            self._deliver(data)
            vc.again(True)
            return True
        self.readable = False
        vc.would_block()
        if data is not None:
            trace("ended", vc)
            vc.ended()
        return False

    def _deliver(self, data: bytes) -> None:
        """Deliver data to the VC, large data in the engine's scratch buffer. Send it to the VC's
        direct sink or fan, if any."""
        vc = self.vc
        block: Block = data
        if len(data) > COPY_OUT:
            block = vc.engine.memory.scratch[: len(data)]
            block[:] = data
        direct = vc.read_vio.direct  # type: ignore[union-attr]
        sink = vc.direct_sink
        if direct is not None:
            if (message := direct.accept(block)) is not None:
                port = direct.sink.port
                count = 0 if port is None else port.push(message)
                self._driver.trace_call("direct", direct.sink, count)
                direct.pushed(message, count)
        elif vc.fan is not None and sink is None:
            short = push_all(vc.fan, block)
            self._driver.trace_call("spread", vc, *(count for _, count in short))
            vc.spread(block, short)
        elif sink is None or sink.port is None:
            vc.received(block)
        else:
            count = sink.port.push(block)
            self._driver.trace_call("passed", vc, count)
            vc.passed(block, count)

    def push(self, data: Block) -> int:
        """Write data that another port has just read; return the number of bytes written."""
        if not self.writable or not self.established:
            return 0
        try:
            count = self.stream.send([data])
        except ConnectionError as error:
            self.vc.soon(
                partial(self._fail, error)
            )  # in a later call: now the lock of the reader is held
            return 0
        if count is None:
            self.writable = False
        return count or 0

    def expect_files(self) -> None:
        """See FilePort."""

    def push_file(self, piece: FileRange) -> int:
        """See FilePort."""
        if not self.writable or not self.established:
            return 0
        data = read_range(self.vc, piece)
        return self.push(data) if data else 0

    def push_each(self, blocks: Sequence[Block]) -> int:
        """See MessagePort."""
        taken = 0
        for block in blocks:
            count = self.push(block)
            taken += count
            if not count:
                break
        return taken

    def write(self) -> None:
        """Write once the data that `begin_write()` returns."""
        if not self.writable or not self.established:
            return
        if self.bridged_in is not None:
            self.bridged_in.move()
            return
        vc = self.vc
        views = vc.begin_write()
        if views is None:
            return
        views = as_bytes(vc, views)
        try:
            count = self.stream.send(views) if views else 0
        except ConnectionError as error:
            vc.sent(0)
            self._connection_lost(error)
            return
        if count is None:
            self.writable = False
        else:
            self._driver.trace_call("sent", vc, count)
        vc.sent(count or 0)

    def _connection_lost(self, error: Exception) -> None:
        """Handle a broken connection: first read what arrived before the error."""
        self.writable = False
        if self._failed or self._lost is not None:
            return
        self._lost = error
        self.readable = True
        if self.bridged_out is not None:
            self.bridged_out.stop()
        self._read()

    def _fail(self, error: Exception) -> None:
        """Report a broken connection to the VC; all input has been read. Bridges end first."""
        self.readable = self.writable = False
        if self.bridged_out is not None:
            self.bridged_out.stop()
        if self.bridged_in is not None:
            self.bridged_in.stop(discard=True)
        if not self._failed:
            self._failed = True
            self._driver.trace_call("failed", self.vc, str(error))
            self.vc.failed(error)

    def shutdown_write(self) -> None:
        """End this direction, after all data."""
        self.writable = False
        self.stream.shutdown()

    def close(self, abort: bool) -> None:
        """Close in order, or with a reset after the data (`abort`)."""
        self.readable = self.writable = False
        self._driver.ready_ports.pop(self, None)
        if abort:
            self.stream.abort()
        else:
            self.stream.close()


class SimPipe:
    """Moves the bytes of one bridge between two ports. See Bridge for what it requires."""

    __slots__ = ("_bridge", "_capacity", "_driver", "_inside", "_sink", "_source")

    def __init__(
        self, driver: PortDriver, bridge: Bridge, source: SimPort, sink: SimPort, capacity: int
    ) -> None:
        self._driver = driver
        self._bridge = bridge
        self._source = source
        self._sink = sink
        self._capacity = capacity
        self._inside = bytearray()
        source.bridged_out = sink.bridged_in = self

    def move(self) -> bool:
        """Move once in and once out, if the ports are ready; return whether bytes came in."""
        bridge, source, sink, inside = self._bridge, self._source, self._sink, self._inside
        todo = bridge.begin()
        if not todo:
            if todo == 0:
                self.stop()
            return False
        moved_in = moved_out = 0
        source_ended = False
        space = min(todo, self._capacity - len(inside))
        try:
            if source.readable and space:
                data = source.stream.recv(space)
                source.readable = data is not None
                source_ended = data == b""
                inside += data or b""
                moved_in = len(data or b"")
            if sink.writable and inside:
                count = sink.stream.send([inside])
                sink.writable = count is not None
                moved_out = count or 0
                del inside[:moved_out]
        except ConnectionError:
            source_ended = True
        self._driver.trace_call("moved", source.vc, moved_in, moved_out)
        bridge.moved(moved_in, moved_out)
        if source_ended:
            self.stop()  # copying continues from here and reads the same end
        elif moved_in or moved_out:
            source.vc.again(True)
        return moved_in > 0

    def stop(self, *, discard: bool = False) -> None:
        """End the bridge: move its bytes into the engine's buffer. They are discarded instead with
        `discard`, or if the tunnel has ended."""
        if self._source.bridged_out is self:
            self._source.bridged_out = self._sink.bridged_in = None
            if discard or self._bridge.abandoned:
                self._inside.clear()
            self._driver.trace_call("bridge ended", self._source.vc, len(self._inside))
            self._bridge.ended(bytes(self._inside))


def start_bridge(driver: PortDriver, network: Network, command: StartBridge) -> None:
    """Move a direction by a pipe from now on; refuse if there is none."""
    bridge = command.bridge
    source, sink = bridge.ports
    assert isinstance(source, SimPort)
    assert isinstance(sink, SimPort)
    if network.happens(network.faults.no_pipe):
        bridge.refuse()
    else:
        capacity = network.random.randint(*network.faults.pipe)
        SimPipe(driver, bridge, source, sink, capacity).move()


def end_bridge(command: EndBridge) -> None:
    """Stop moving."""
    source, _ = command.bridge.ports
    if isinstance(source, SimPort) and source.bridged_out is not None:
        source.bridged_out.stop()
