"""NetVConnection: a VConnection that a driver feeds.

The second half of the class is what drivers call. It is the hottest code of the project: flat on
purpose, with everything looked up once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.blocks import EMPTY, SLAB, Block
from vcproxy.engine.bridge import BULK_READ, BULK_READS, Bridge
from vcproxy.engine.commands import Close, ShutdownWrite
from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import WATER_MARK, IOBuffer, Reader
from vcproxy.engine.vconnection import VConnection

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.fan import Fan
    from vcproxy.engine.listener import Listener
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.outgoing import Outgoing
    from vcproxy.engine.port import Port
    from vcproxy.engine.scheduler import Action
    from vcproxy.engine.vio import VIO


TLS_SIZE = 64 * 1024
"""Bytes that the TLS of a connection counts in the memory budget, from accept or connect to close.

Measured with OpenSSL 3.0: 20 KiB after the handshake; 60 KiB once 32 KiB or more went out at a
time, for OpenSSL's buffers keep their largest size; 90 KiB while the peer takes nothing; 85 KiB
more once 64 KiB came in at a time. It is a constant, so that a recording need not hold what OpenSSL
does.
"""


class NetVConnection(VConnection):
    """A VC over a driver's port.

    The driver's obligations, on the engine's own thread:

    - when the port may be readable: `begin_read()`. 0: not now, the engine lists the VC in
      `engine.reads` when it can proceed. A number: read at most so much, once, then
      `received(data)`, or `would_block()` if nothing came. Where `direct_sink` names a VC, its port
      may `push` the data first: then `passed(data, count)`. Where `fan` is one, those that are
      level in it may be pushed the data: then `spread(data, short)`. Of a whole VC it is one
      message, which may be more than so much;
    - when it may be writable: `begin_write()`. None as above, with `engine.writes`. Views: write
      them once, in order, then `sent(n)`, n counting plaintext, 0 if nothing went. Of a whole VC
      each is one message, and n counts those that went whole;
    - the end of what the peer sends, after all data: `ended()` if it is orderly (FIN,
      close_notify), `ended(error)` if not (FIN alone, where close_notify is owed). A connection
      that is broken (reset, timed out): `failed(error)`, after all data too; where `begin_read`
      does not let it be read, `broke(error)` now and `failed(error)` when it has been read.
      Between a `begin_` and its answer the mutex is held: answer first, then report the end;
    - where there may be more to do in a direction than it was asked for: `again()`;
    - `established()` when it can be used, after its handshake with TLS; `gone()` is the last call
      for a VC, and is owed for each. What cannot be reported at once goes through `soon()`.
    """

    __slots__ = (
        "_deadline",
        "_end_event",
        "alpn",
        "certificate",
        "direct_sink",
        "excess",
        "fan",
        "full",
        "listed_in",
        "listener",
        "local",
        "open",
        "outgoing",
        "peer",
        "port",
        "read_listed",
        "secure",
        "served_by",
        "sni",
        "tls_size",
        "write_listed",
    )

    def __init__(self, engine: Engine, mutex: Mutex, name: str) -> None:
        super().__init__(engine, mutex, name)
        self.port: Port | None = None
        """The driver's own; None until there is a connection."""
        self.listener: Listener | None = None
        """Where it came in; None for a connection that was asked for (see `outgoing`)."""
        self.outgoing: Outgoing | None = None
        """How it came or comes to be; None for one that came in."""
        self.local = ""
        self.peer = ""
        self.sni: str | None = None
        self.alpn: str | None = None
        self.certificate: str | None = None
        """The subject of the peer's verified certificate."""
        self.secure = False
        """Whether it came in by TLS."""
        self.tls_size = 0
        """What its TLS counts in the memory budget just now."""
        self.excess = False
        """Whether its client had as many connections at the listener as it may, when it came."""
        self.served_by: Continuation | None = None
        """Whose client it is, whoever it is lent to; None once it is closed."""
        self.open = False
        """Whether it is established: connected, and through its handshake with TLS."""
        self.read_listed = self.write_listed = False
        self.listed_in = 0
        """The turn of the engine in which it was last listed for reading. At the end of that turn
        the driver reads it; what it is told then stands in a recording, and when it looked does
        not."""
        self.direct_sink: NetVConnection | None = None
        """Between `begin_read` and its answer: where what is read may be written at once."""
        self.fan: Fan | None = None
        """The same, where that is many."""
        self.full = False  # reading found no room: the consumer's progress must list it again
        self._end_event: Event | None = None  # how reading has ended, if it has
        self._deadline: Action | None = None

    @property
    def missed(self) -> int:
        """See VConnection: the port counts."""
        return getattr(self.port, "dropped", 0)

    @property
    def peer_address(self) -> str:
        """The peer's IP address; empty where it has none, as on a Unix socket."""
        return self.peer.rpartition(":")[0].strip("[]")

    # -- verbs -------------------------------------------------------------------------------

    def reenable(self, reads: bool) -> None:
        """List the VC for reading or writing, on its own engine."""
        engine = self.engine
        if not engine.is_current:
            engine.inbox.post(partial(self.reenable, reads))
            return
        vio = self.read_vio if reads else self.write_vio
        if not self.open or self.closed:
            pass
        elif (
            vio is not None
            and vio.nbytes is not None
            and vio.ndone >= vio.nbytes
            and vio.bridge is None  # a bridge sees to its own goals
        ):
            self._reached(vio)
        elif reads:
            self.full = False
            self.listed_in = engine.turns
            if not self.read_listed:
                self.read_listed = True
                engine.reads.append(self)
        elif not self.write_listed:
            self.write_listed = True
            engine.writes.append(self)

    def _reached(self, vio: VIO) -> None:
        """The goal of an operation is what has been done already: no byte will complete it."""
        if not vio.mutex.try_acquire(self.engine):
            vio.mutex.park(self.engine, partial(self.reenable, vio.reads))
            return
        if vio.ndone or not vio.reads:  # a read of nothing is no read: it waits for timeouts
            vio.end(Event.READ_COMPLETE if vio.reads else Event.WRITE_COMPLETE)
        vio.mutex.release(self.engine)

    def do_io_read(self, cont: Continuation, nbytes: int | None, buffer: IOBuffer) -> VIO:
        """See VConnection. An end that came before is reported to each new reader."""
        vio = super().do_io_read(cont, nbytes, buffer)
        self.fan = None
        if self._end_event is not None:
            vio.end(self._end_event)
        return vio

    def as_direct_sink(self, source: VConnection) -> NetVConnection | None:
        """Itself, if the same driver feeds both."""
        same = isinstance(source, NetVConnection) and source.engine is self.engine
        return self if same else None

    def _end_writing(self) -> None:
        self.engine.command(ShutdownWrite(self))

    def _end(self, abort: bool) -> None:
        self.served_by = None
        self.count_tls(False)
        self._stop_waiting()
        if self.outgoing is not None:
            self.outgoing.closed()
        self.engine.command(Close(self, abort))

    # -- beginning ---------------------------------------------------------------------------

    def count_tls(self, held: bool) -> None:
        """Whether its TLS counts in the memory budget from now on."""
        size = TLS_SIZE if held else 0
        self.engine.memory.used += size - self.tls_size
        self.tls_size = size

    def wait_at_most(self, seconds: float) -> None:
        """Fail unless it is established within that time; 0 waits for ever."""
        self.wait_until(self.engine.now + seconds if seconds else 0.0)

    def wait_until(self, when: float) -> None:
        """The same, by the engine's time."""
        if self._deadline is not None and self._deadline.when == when:
            return
        self._stop_waiting()
        if when:
            self._deadline = self.engine.schedule_at(when, self, Event.TIMEOUT, None)

    def establish(
        self, sni: str | None = None, alpn: str | None = None, certificate: str | None = None
    ) -> None:
        """It can be used from now on: ACCEPT or CONNECTED is on its way."""
        if self.closed:
            return
        self.sni, self.alpn, self.certificate = sni, alpn, certificate
        self.open = True
        self._stop_waiting()
        self._notify_established()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Judge the VC's own timers."""
        if key is Event.TIMEOUT:
            self._deadline = None
            if self.outgoing is not None:
                self.outgoing.expired()
            else:
                self.fail(TimeoutError("connection timed out in the TLS handshake"))
        else:
            super().handle_event(key, data)

    def expire(self) -> None:
        """Its time without traffic is over, whatever is left of it."""
        mutex, engine = self.mutex, self.engine
        if not mutex.try_acquire(engine):
            mutex.park(engine, self.expire)
            return
        if not self.closed:
            self._notify_timeout(Event.INACTIVITY_TIMEOUT)
        mutex.release(engine)

    def fail(self, error: Exception) -> None:
        """It has broken, or could not be made: both directions are over."""
        mutex, engine = self.mutex, self.engine
        if not mutex.try_acquire(engine):
            mutex.park(engine, partial(self.fail, error))
            return
        if not self.closed and (self.error is None or self.unread):
            self._break(error)
            self.unread = False
            if not self.open:
                self._not_made(error)
            elif self.read_vio is not None:
                self.read_vio.end(Event.ERROR)
        mutex.release(engine)

    def _break(self, error: Exception) -> None:
        """The connection is broken: nothing is written any more. The mutex is held."""
        self.error = self.error or error
        self._stop_waiting()
        if self.open and self.write_vio is not None:
            self.write_vio.end(Event.ERROR)

    def _break_unread(self, error: Exception) -> None:
        mutex, engine = self.mutex, self.engine
        if not mutex.try_acquire(engine):
            mutex.park(engine, partial(self._break_unread, error))
            return
        if not self.closed and self.error is None:
            self.unread = True
            self._break(error)
            vio = self.read_vio
            if vio is not None and (vio.ntodo == 0 or vio.buffer.full):
                vio.end(Event.ERROR)
        mutex.release(engine)

    def _end_reading(self, error: Exception | None) -> None:
        mutex, engine = self.mutex, self.engine
        if not mutex.try_acquire(engine):
            mutex.park(engine, partial(self._end_reading, error))
            return
        self.read_error = error
        self._end_event = Event.EOS if error is None else Event.ERROR
        if self.read_vio is not None:
            self.read_vio.end(self._end_event)
        mutex.release(engine)

    def _notify_established(self) -> None:
        if self.listener is not None:
            self.engine.notify_acceptor(self, self.listener)
        elif self.outgoing is not None:
            self.outgoing.notify(Event.CONNECTED)
            self.reenable(True)
            self.reenable(False)

    def _not_made(self, error: Exception) -> None:
        if self.outgoing is not None:
            self.outgoing.notify(Event.ERROR)
        else:
            # In order, not by a reset: the alert that says why is still on its way.
            if not isinstance(error, ConnectionResetError):  # it left: a check, most often
                self.engine.log("info", f"{self.name}: {error}")
            self.do_io_close()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # -- what the driver calls ---------------------------------------------------------------

    def soon(self, call: Callable[[], object]) -> None:
        """Make a driver's call about this VC in the next turn, unless `gone()` comes first.

        For what cannot be reported where it is found: under a lock, or on another thread.
        """
        self.engine.inbox.feed(partial(self._unless_gone, call))

    def _unless_gone(self, call: Callable[[], object]) -> None:
        if self in self.engine.vcs:
            call()

    def established(
        self, sni: str | None = None, alpn: str | None = None, certificate: str | None = None
    ) -> None:
        """The handshake is done."""
        self.establish(sni, alpn, certificate)

    def again(self, reads: bool) -> None:
        """There may be more to do in a direction: list the VC for it."""
        self.reenable(reads)

    def begin_read(self) -> int:
        """Take the lock and say how many bytes may be read, a slab's at most.

        0: not now, and no lock is held.
        """
        vio = self.read_vio
        if vio is None or vio.over or vio.bridge is not None:
            return 0
        engine = self.engine
        mutex = vio.mutex
        # try_acquire(), in line: the two calls of a message would be a tenth of its cost
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
                    elif vio.bulk > BULK_READS and vio.nbytes is None and room == WATER_MARK:
                        room = SLAB  # bulk that no bridge moves, and that has been taken so far
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
        """Answer `begin_read`: this came. `bytes` are kept, a view of the scratch is taken over."""
        engine = self.engine
        vio: VIO = self.read_vio  # type: ignore[assignment]
        buffer: IOBuffer = vio.store  # type: ignore[assignment]
        buffer.append_read(data, engine.memory)
        self.moved_at = engine.now
        count = len(data)
        vio.ndone += count
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
        """Answer `begin_read`: this came, and `direct_sink` took its first `count` bytes at once.

        The same as `received(data)`, then the sink's `begin_write()` and `sent(count)`.
        """
        engine = self.engine
        vio: VIO = self.read_vio  # type: ignore[assignment]
        sink: VIO = vio.partner  # type: ignore[assignment]
        size = len(data)
        self.moved_at = engine.now
        if count:
            sink.vc.moved_at = engine.now
        vio.ndone += size
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
        if mutex.depth == 1:  # release(), in line
            mutex.depth = 0
            mutex.owner = None
            mutex.lock.release()
            if mutex.parked:
                mutex.post_parked()
        else:
            mutex.release(engine)

    def spread(self, data: Block, short: Sequence[tuple[NetVConnection, int]]) -> None:
        """Answer `begin_read`: this came, and all that are level in `fan` took it at once but those
        who are named.

        The same as `received(data)`, then the fan's `begin()` and `sent(len(data), short)`.
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
        """Take the lock and say what to write; None: not now, and no lock is held."""
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
        if vio.live and (fan is None or reader is not fan.place):  # a fan feeds who is level
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
        """What `begin_write` gives of messages where bytes travel: a stream has no empty ones."""
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
        """Answer `begin_write`: that many bytes have been taken over (plaintext, with TLS)."""
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

    def ended(self, error: Exception | None = None) -> None:
        """The peer has ended its direction, and all its data has been read. `error`: why that is
        no orderly end, though the other direction still works."""
        self._end_reading(error)

    def broke(self, error: Exception) -> None:
        """The connection has broken, and what came before that cannot be read just now.

        The writer gets ERROR now, and so does a reader that has no room or reads nothing; any other
        reader gets it from `failed`, which is owed once all has been read.
        """
        self._break_unread(error)

    def failed(self, error: Exception) -> None:
        """The connection has broken, and all that came before that has been read; or its handshake
        has failed."""
        self.fail(error)

    def gone(self) -> None:
        """The descriptor is closed: nothing will be called for this VC any more."""
        self.port = None
        self.engine.remove(self)

    def _bridge(self, source: VIO, sink: VIO) -> None:
        """Hand the direction to the driver, where nothing stands against it."""
        if (
            source.direct_sink is None
            or source.buffer.held
            or source.over
            or sink.nbytes is not None
        ):
            return
        giver, taker = self.port, source.direct_sink.port
        if taker is not None and taker.spliceable and giver is not None and giver.spliceable:
            Bridge(source, sink, (giver, taker))
