"""NetVConnection: a VConnection whose bytes a driver moves.

The second half of the class is what drivers call. It is the hottest code of the project: flat on
purpose, with everything looked up once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from vcproxy.engine.blocks import EMPTY, SLAB, Block
from vcproxy.engine.bridge import BULK_READ, BULK_READS, Bridge
from vcproxy.engine.commands import Close, ShutdownWrite
from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import WATER_MARK, IOBuffer, Reader
from vcproxy.engine.lifecycle import VCLifecycle
from vcproxy.engine.mutex import current

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.file_range import FileRange
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.port import FilePort
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO


class NetVConnection(VCLifecycle):
    """A VC over a driver's port.

    The driver's obligations, on the engine's own thread:

    - when the port may be readable, call `begin_read()`. If it returns 0: not now; the engine lists
      the VC in `engine.reads` when reading can resume. If more: read once, at most that many bytes,
      then call `received(data)`, or `would_block()` if nothing came. If `direct_sink` is a VC, the
      data may be pushed to its port first: then call `passed(data, count)`. If `fan` is set, the
      data may be pushed to its level sinks first: then call `spread(data, short)`. If the read VIO
      has a `direct`, offer it the data first: see DirectHandler. On a message-oriented VC the data
      are one message, which may be longer than that number;
    - when the port may be writable, call `begin_write()`. If it returns None: not now; the engine
      lists the VC in `engine.writes` later. If views: write them once, in order, then call
      `sent(n)`, where n counts plaintext bytes, 0 if nothing was written. On a message-oriented VC
      each view is one message, and n counts whole messages;
    - after `expect_files()` of the port, a view may be a FileRange: send these bytes of the file.
      If it cannot be read or is shorter, call `sent(0)`, and pass FileFailed to its source once;
    - the end of the peer's direction, after all its data: `ended()` if it is orderly (FIN,
      close_notify), `ended(error)` if not (FIN without the close_notify that TLS requires). A
      broken connection (reset, timed out): `failed(error)`, also after all data; where `begin_read`
      does not allow that to be read, `broke(error)` now and `failed(error)` after it was read.
      Between a `begin_` call and its answer the mutex is held: answer first, then report the end;
    - where a direction may have more to do than it was listed for: `again()`;
    - `established()` after the TLS handshake; `gone()` is the last call for each VC, and required.
      What cannot be reported at once goes through `soon()`.
    """

    __slots__ = (
        "answered_in",
        "direct_sink",
        "full",
        "listed_in",
        "number",
        "opened_at",
        "read_listed",
        "write_listed",
    )

    def __init__(self, engine: Engine, mutex: Mutex, name: str) -> None:
        super().__init__(engine, mutex, name)
        engine.vc_count += 1
        self.number = engine.vc_count
        """Its number among the VCs of its engine, from 1."""
        self.opened_at = self.moved_at
        """When it was accepted, or its connecting began."""
        self.read_listed = self.write_listed = False
        self.listed_in = 0
        """The engine's turn in which the VC was last listed for reading. The driver reads it at the
        end of that turn, because a recording does not contain the moment of a read."""
        self.answered_in = -1
        """The engine's turn in which the VC was last read by a direct path and given back to its
        pool."""
        self.direct_sink: NetVConnection | None = None
        """Between `begin_read` and its answer: the VC to which the data may be written at once."""
        self.full = False  # a read found no room: list the VC again when there is some

    @property
    def id(self) -> str:
        """Its id among all VCs that the proxy has had, such as "0-17"; of worker 2 "2-0-17"."""
        return f"{self.engine.place}-{self.number}"

    @property
    def missed(self) -> int:
        """See VConnection. The count is the port's."""
        return getattr(self.port, "dropped", 0)

    # -- verbs -------------------------------------------------------------------------------

    def reenable(self, reads: bool) -> None:
        """List the VC for reading or writing, on its own engine. See VConnection."""
        engine = self.engine
        if current.engine is not engine:
            engine.inbox.post(partial(self.reenable, reads))
            return
        vio = self.read_vio if reads else self.write_vio
        if not self.open or self.closed:
            pass
        elif (
            vio is not None
            and vio.nbytes is not None
            and vio.ndone >= vio.nbytes
            and vio.bridge is None  # a bridge checks its own goals
        ):
            self._goal_reached(vio)
        elif reads:
            self.full = False
            self.listed_in = engine.turns
            if not self.read_listed:
                self.read_listed = True
                engine.reads.append(self)
        elif not self.write_listed:
            self.write_listed = True
            engine.writes.append(self)

    def _goal_reached(self, vio: VIO) -> None:
        """End an operation whose `nbytes` have moved already: no further byte completes it."""
        if not vio.mutex.try_acquire(self.engine):
            vio.mutex.park(self.engine, partial(self.reenable, vio.reads))
            return
        if vio.ndone or not vio.reads:  # a read of 0 bytes only receives timeouts
            vio.end(Event.READ_COMPLETE if vio.reads else Event.WRITE_COMPLETE)
        vio.mutex.release(self.engine)

    def send_at_once(self, data: bytes) -> int:
        """Let the port write data now, and return how many bytes it has taken; 0 if earlier output
        waits, or the engine is not `direct`. The rest must be written to the buffer.

        It is called under the lock, and does what writing them to the buffer of `write_vio` would
        do at the end of the turn, but delivers no WRITE_READY.
        """
        engine, port, vio = self.engine, self.port, self.write_vio
        if not engine.direct or port is None or vio is None or vio.over or not vio.live:
            return 0
        reader: Reader = vio.store  # type: ignore[assignment]
        buffer = reader.buffer
        if reader.position != buffer.written:
            return 0
        count = port.push(data)
        if count:
            self.moved_at = engine.now
            vio.ndone += count
            buffer.written += count
            reader.position += count
        return count

    def send_first(self, reader: Reader) -> int:
        """Let the port write now what a reader has, before there is a write VIO: as `send_at_once`.
        Return how many bytes it has taken, which the reader has consumed."""
        engine, port = self.engine, self.port
        if (
            not engine.direct
            or port is None
            or self.write_vio is not None
            or self.error is not None
        ):
            return 0
        count = port.push(reader.peek())
        if count:
            self.moved_at = engine.now
            reader.consume(count)
        return count

    def send_file(self, piece: FileRange) -> None:
        """Send a range of a file after all that `write_vio` sends: at once, as far as that is
        possible (see `send_at_once`); the rest is written to its buffer.

        WRITE_READY is delivered for what was not sent at once.
        """
        engine, vio = self.engine, self.write_vio
        assert vio is not None
        port = cast("FilePort", self.port)
        port.expect_files()
        reader: Reader = vio.store  # type: ignore[assignment]
        buffer = reader.buffer
        count = 0
        if engine.direct and reader.position == buffer.written and not vio.over and vio.live:
            count = port.push_file(piece)
            self.moved_at = engine.now
            vio.ndone += count
            buffer.written += count
            reader.position += count
        if count < len(piece):
            buffer.write_range(piece.part(count))
            vio.reenable()

    def as_direct_sink(self, source: VConnection) -> NetVConnection | None:
        """Return this VC, if both are on one engine."""
        same = isinstance(source, NetVConnection) and source.engine is self.engine
        return self if same else None

    def _end_writing(self) -> None:
        self.engine.command(ShutdownWrite(self))

    def _end(self, abort: bool) -> None:
        if self.record is not None:
            self.record.closed()
        self.session = self.direct_sink = None
        if self.tls_size:
            self.count_tls(False)
        if self._deadline is not None:
            self._stop_waiting()
        if self.outgoing is not None:
            self.outgoing.closed()
        self.engine.command(Close(self, abort))

    def _notify_established(self) -> None:
        if self.listener is not None:
            self.engine.notify_acceptor(self, self.listener)
        elif self.outgoing is not None:
            self.outgoing.notify(Event.CONNECTED)
            if self.read_vio is not None:
                self.reenable(True)
            if self.write_vio is not None:
                self.reenable(False)

    # -- called by the driver ----------------------------------------------------------------

    def again(self, reads: bool) -> None:
        """List the VC for a direction in which there may be more to do."""
        self.reenable(reads)

    def begin_read(self) -> int:
        """Take the lock and return how many bytes may be read, at most a slab.

        0: not now, and the lock is not held.
        """
        vio = self.read_vio
        if vio is None or vio.over or vio.bridge is not None:
            return 0
        engine = self.engine
        mutex = vio.mutex
        # try_acquire() inlined: its two calls would be a tenth of the cost of a message
        if mutex.lock.acquire(False):
            mutex.owner = engine
            mutex.depth = 1
        elif not mutex.try_acquire(engine):
            mutex.park(engine, partial(self.reenable, True))
            return 0
        if vio.live:
            buffer: IOBuffer = vio.store  # type: ignore[assignment]
            held = buffer.held
            room = buffer.water_mark - held
            if vio.nbytes is not None and vio.nbytes - vio.ndone < room:
                room = vio.nbytes - vio.ndone
            if room <= 0:
                self.full = True
            elif buffer.memory.used < buffer.memory.limit or (
                room := engine.read_allowance(self, room)
            ):
                direct_sink = vio.direct_sink
                if direct_sink is not None:
                    sink: VIO = vio.partner  # type: ignore[assignment]
                    if held or sink.over or sink.nbytes is not None or len(buffer.readers) > 1:
                        direct_sink = None
                    elif vio.bulk > BULK_READS and room == WATER_MARK:
                        # The sink keeps up with bulk data that no bridge moves: read more at once.
                        room = SLAB if vio.nbytes is None else vio.nbytes - vio.ndone
                self.direct_sink = direct_sink
                fan = vio.fan
                if fan is not None:
                    self.fan = fan if not held and len(buffer.readers) == 1 else None
                return room if room < SLAB else SLAB
        mutex.release(engine)
        return 0

    def would_block(self) -> None:
        """Answer `begin_read`: nothing came."""
        self.read_vio.mutex.release(self.engine)  # type: ignore[union-attr]

    def received(self, data: Block) -> None:
        """Answer `begin_read`: these data came, as `bytes` or as a view of the scratch slab."""
        engine = self.engine
        vio: VIO = self.read_vio  # type: ignore[assignment]
        buffer: IOBuffer = vio.store  # type: ignore[assignment]
        at_once = vio.at_once
        if at_once is not None:
            vio.at_once = None
            if not (
                engine.queue
                or engine.writes
                or engine.ran_in == engine.turns
                or buffer.held
                or vio.pending
                or vio.over
            ):
                self.moved_at = engine.now
                vio.ndone += len(data)
                engine.deliver_at_once(vio, at_once, data)
                return
        buffer.append_read(data, engine.memory)
        self.moved_at = engine.now
        count = len(data)
        done = vio.ndone
        if not done and self.first_at < 0:
            self.first_at = engine.now
        vio.ndone = done + count
        partner = vio.partner
        if vio.ndone == vio.nbytes:
            vio.end(Event.READ_COMPLETE)
        if partner is not None:
            vio.bulk = vio.bulk + 1 if count >= BULK_READ else 0
            partner.vc.reenable(False)
        elif vio.fan is not None:
            vio.fan.progress(vio)
        elif not vio.pending and not vio.over:
            vio.pending = True
            engine.queue.append((vio, Event.READ_READY, vio))
        vio.mutex.release(engine)

    def passed(self, data: Block, count: int) -> None:
        """Answer `begin_read`: `direct_sink` took the first `count` bytes of these data at once.

        The same as `received(data)`, then the sink's `begin_write()` and `sent(count)`.
        """
        engine = self.engine
        vio: VIO = self.read_vio  # type: ignore[assignment]
        sink: VIO = vio.partner  # type: ignore[assignment]
        size = len(data)
        self.moved_at = engine.now
        if count:
            sink.vc.moved_at = engine.now
        done = vio.ndone
        if not done and self.first_at < 0:
            self.first_at = engine.now
        vio.ndone = done + size
        sink.ndone += count
        buffer: IOBuffer = vio.store  # type: ignore[assignment]
        buffer.written += count
        sink.store.position += count  # type: ignore[union-attr]
        if count < size:
            buffer.append_read(data[count:], engine.memory)
            sink.vc.reenable(False)
        if vio.ndone == vio.nbytes:
            vio.end(Event.READ_COMPLETE)
        if size < BULK_READ:
            vio.bulk = 0
        else:
            vio.bulk += 1
            if vio.bulk >= BULK_READS and engine.bridges:
                self._bridge(vio, sink)
        mutex = vio.mutex
        if mutex.depth == 1:  # release() inlined
            mutex.depth = 0
            mutex.owner = None
            mutex.lock.release()
            if mutex.parked:
                mutex.post_parked()
        else:
            mutex.release(engine)

    def spread(self, data: Block, short: Sequence[tuple[NetVConnection, int]]) -> None:
        """Answer `begin_read`: the level sinks of `fan` took these data at once.

        `short` lists those that did not take all, and how many bytes they took. The same as
        `received(data)`, then the fan's `begin()` and `sent(len(data), short)`.
        """
        engine = self.engine
        vio: VIO = self.read_vio  # type: ignore[assignment]
        self.moved_at = engine.now
        vio.ndone += len(data)
        self.fan.spread_directly(data, short)  # type: ignore[union-attr]
        if vio.ndone == vio.nbytes:
            vio.end(Event.READ_COMPLETE)
        vio.mutex.release(engine)

    def begin_write(self) -> list[Block] | None:
        """Take the lock and return what to write; None: not now, and the lock is not held."""
        vio = self.write_vio
        if vio is None or vio.over or vio.bridge is not None:
            return None
        engine = self.engine
        mutex = vio.mutex
        if not mutex.try_acquire(engine):
            mutex.park(engine, partial(self.reenable, False))
            return None
        reader: Reader = vio.store  # type: ignore[assignment]
        fan = vio.fan
        if vio.live and (fan is None or reader is not fan.place):  # the fan writes to level sinks
            buffer = reader.buffer
            avail = buffer.written - reader.position
            if vio.nbytes is not None:
                avail = min(avail, vio.nbytes - vio.ndone)
            if avail > 0:
                if buffer.message_oriented and not self.message_oriented:
                    return self._streamed(vio, reader, avail)
                return reader.views(avail)
        mutex.release(engine)
        return None

    def _streamed(self, vio: VIO, reader: Reader, avail: int) -> list[Block] | None:
        """Return what a stream writes of a buffer of messages: all but the empty ones."""
        while avail and (views := reader.views(avail)):
            empty = next((index for index, view in enumerate(views) if view is EMPTY), len(views))
            if empty:
                return views[:empty]
            reader.consume(1)
            vio.ndone += 1
            avail -= 1
        if vio.ndone == vio.nbytes:
            vio.end(Event.WRITE_COMPLETE)
        else:
            vio.ready()
        vio.mutex.release(self.engine)
        return None

    def sent(self, count: int) -> None:
        """Answer `begin_write`: the port has taken that many bytes (of plaintext, with TLS)."""
        engine = self.engine
        vio: VIO = self.write_vio  # type: ignore[assignment]
        mutex = vio.mutex
        if not count:
            mutex.release(engine)
            return
        reader: Reader = vio.store  # type: ignore[assignment]
        reader.consume(count)
        self.moved_at = engine.now
        vio.ndone += count
        if vio.ndone == vio.nbytes:
            vio.end(Event.WRITE_COMPLETE)
        elif reader.position < reader.buffer.written and not self.write_listed:
            self.write_listed = True
            engine.writes.append(self)
        source = vio.partner
        if source is not None:
            vc = source.vc
            if source.direct_sink is None:
                source.reenable()
            elif isinstance(vc, NetVConnection):
                if source.bulk >= BULK_READS and engine.bridges:
                    vc._bridge(source, vio)
                if vc.full:
                    vc.reenable(True)
        elif vio.fan is not None:
            vio.fan.progress(vio)
        elif not vio.pending and not vio.over:
            vio.pending = True
            engine.queue.append((vio, Event.WRITE_READY, vio))
        mutex.release(engine)

    def gone(self) -> None:
        """Forget the VC: its descriptor is closed. The driver's last call for it."""
        self.port = None
        # The VIOs refer to the VC: a cycle would keep the buffers until a garbage collection.
        if self.read_vio is not None:
            self.read_before += self.read_vio.ndone
            self.read_vio = None
        if self.write_vio is not None:
            self.written_before += self.write_vio.ndone
            self.write_vio = None
        self.engine.remove(self)
        self.outgoing = None

    def _bridge(self, source: VIO, sink: VIO) -> None:
        """Start a bridge for the direction, if that is possible."""
        if (
            source.direct_sink is None
            or source.buffer.held
            or source.over
            or sink.nbytes is not None
        ):
            return
        source_port, sink_port = self.port, source.direct_sink.port
        if source_port is None or sink_port is None:
            return
        if source_port.spliceable and sink_port.spliceable:
            Bridge(source, sink, (source_port, sink_port))
