"""SharedConnection: one server connection that serves the requests of many clients.

One for each listener and engine, made by its first source and gone with its last; a reload leaves
it alone where nothing has changed. Where something has, the next source makes another, which
connects when the old one has answered what it owes, has closed its sources, and has gone.
Sources and hub
are conversations of their own: they only send each other messages, so a source that breaks, stalls
or leaves costs the others nothing.

    IDLE --a request--> CONNECTING --CONNECTED--> SERVING
      ^---- no server ------+                        |
      ^---- the server has gone ---------------------+       no source is left: CLOSED

Requests with the key None are sent at once, and answered in their order. Of those with one key only
the oldest is at the server; the next follows when it is done, so that equal keys of two sources are
never mixed up. A request that was given up at the server still holds its place: the answer that may
yet come is the one it was owed, and is dropped. A server that leaves such places taken, for others
to wait behind or too many of them, or that has sent nothing at all since it was asked, is given up
itself: a fresh connection owes nothing. See Turn for orphans = "reconnect".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import SLAB
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.plugin_error import as_error
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.messages.pending_requests import UNANSWERED, PendingRequests
from vcproxy.messages.sharing import (
    Part,
    PartArrived,
    Retired,
    RoomAgain,
    SourceGone,
    SplitRequest,
    Unanswered,
    Waiting,
)
from vcproxy.sessions.streams import InputStream, OutputStream
from vcproxy.upstream.attempts import Attempts

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action
    from vcproxy.engine.vio import VIO
    from vcproxy.messages.splitter import Splitter
    from vcproxy.sessions.service import Service

ASKED = "ASKED"
"""Tag: there are requests."""
OVERDUE = "OVERDUE"
"""Tag: the oldest request has waited too long."""
RETIRE, FREE = "RETIRE", "FREE"
"""Tags: a hub of a new configuration waits; the one of the old configuration has gone."""


class SharedConnection(Machine):
    """Sends what sources ask to one server, and each its part of what comes back."""

    __slots__ = (
        "_asked", "_attempts", "_before", "_due", "_heard_at", "_heir", "_ledger", "_received",
        "_sent", "_server", "_service", "_timer", "_unsent", "_waiting", "sources",
    )  # fmt: skip

    ALIVE = State()
    IDLE = State(parent=ALIVE, initial=True)
    CONNECTING = State(parent=ALIVE)
    SERVING = State(parent=ALIVE)
    CLOSED = State(final=True)

    def __init__(self, engine: Engine, service: Service) -> None:
        super().__init__(engine, Mutex(), name=f"{service.name} hub")
        self._service = service
        self.sources: dict[Splitter, None] = {}
        """Who shares it: a source enters itself, and leaves with SourceGone."""
        self._asked: list[SplitRequest] = []  # in this turn
        self._due: list[bytes] = []
        self._ledger = PendingRequests()
        self._heard_at = 0.0  # when the server has sent something last
        self._unsent = 0  # bytes
        self._waiting: list[Splitter] = []
        self._timer: Action | None = None
        before = service.persistent.get(SharedConnection)
        self._before = before if isinstance(before, SharedConnection) else None
        self._heir: SharedConnection | None = None
        service.persistent[SharedConnection] = self
        self._attempts: Attempts
        self._server: NetVConnection | None = None
        self._sent: OutputStream | None = None
        self._received: InputStream | None = None

    @property
    def full(self) -> bool:
        """Whether no more should be asked for now: see Waiting."""
        return self._unsent >= SLAB or (self._sent is not None and self._sent.full)

    # -- requests ----------------------------------------------------------------------------

    def ask(self, request: SplitRequest) -> None:
        """Have a request answered: its source gets Deliveries, or Unanswered.

        A source calls it directly, for it runs on the same engine; the hub itself takes all that
        were asked in a turn at once.
        """
        if not self._asked:
            self.engine.schedule(self, ASKED, None)
        self._asked.append(request)
        self._unsent += len(request.wire)

    @IDLE.on(ASKED, to=(CONNECTING,))
    @CONNECTING.on(ASKED)
    @SERVING.on(ASKED, to=(IDLE,))
    def asked(self, _: object) -> State | None:
        """Put the requests in their places, and send those whose place is at the server."""
        asked, self._asked = self._asked, []
        ledger, serving = self._ledger, self._sent is not None
        for request in asked:
            # Without a source it was held, and has been given up meanwhile.
            if request.source is not None and ledger.place(request) and serving:
                self._send(request)
        self._flush()
        self._watch()
        if self.state is self.IDLE:
            return self.CONNECTING if ledger.by_key and self._is_free() else None
        return self._next_turn()

    def _watch(self) -> None:
        """Look again when the time of the oldest request is up."""
        if self._timer is None and self._ledger.open:
            oldest = next(iter(self._ledger.open))
            self._timer = self.engine.schedule_at(oldest.until, self, OVERDUE, None)

    def _next_turn(self) -> State | None:
        """Make way for who has to wait, if the connection's user needs it no more, or has left."""
        turn, in_use = self._ledger.turn, self._ledger.by_key
        if not turn.held or self._sent is None or (in_use and turn.holder in self.sources):
            return None
        self._begin_anew()
        return self.IDLE

    def _begin_anew(self) -> None:
        """Ask what was held of a fresh connection, before what has come since."""
        held = self._ledger.turn.held
        self._close()
        self._ledger = PendingRequests(held)
        for number, request in enumerate(held):
            if not self._asked:
                self.engine.schedule(self, ASKED, None)
            self._asked.insert(number, request)
            self._unsent += len(request.wire)

    def _send(self, request: SplitRequest) -> None:
        request.sent = True
        self._due.append(request.wire)

    def _flush(self) -> None:
        """Say at once what has come to be due."""
        if self._due and self._sent is not None:
            due, self._due = self._due, []
            self._unsent -= sum(map(len, due))
            for wire in due if self._sent.buffer.message_oriented else (b"".join(due),):
                self._sent.send(wire)

    @ALIVE.on(Waiting)
    def awaited(self, waiting: Waiting) -> None:
        """A source has more to ask than there is room for."""
        self._waiting.append(waiting.source)
        self._make_room()

    def _make_room(self) -> None:
        if self._waiting and not self.full:
            for source in self._waiting:
                self.engine.deliver_soon(source.ticket, RoomAgain, RoomAgain())
            self._waiting.clear()

    # -- reloads -----------------------------------------------------------------------------

    def serves(self, service: Service) -> bool:
        """Whether the sources of a service may share it."""
        over = self.mutex.ended or self.state is self.CLOSED or self._heir is not None
        return not over and self._service.origin == service.origin

    def _is_free(self) -> bool:
        """Whether it may connect. A server may allow one connection: an older hub has to go."""
        before = self._before
        if before is None or before.mutex.ended or before.state is self.CLOSED:
            self._before = None
            return True
        self.engine.schedule(before, RETIRE, self)
        return False

    @ALIVE.on(RETIRE)
    def retire(self, heir: SharedConnection) -> None:
        """A hub of a new configuration waits."""
        if self._heir is None:
            self._heir = heir
            for source in self.sources:
                self.engine.deliver_soon(source.ticket, Retired, Retired())

    @ALIVE.on(FREE)
    def freed_already(self, _: object) -> None:
        """It was seen to have gone before it said so."""

    @IDLE.on(FREE, to=(CONNECTING,))
    def freed(self, _: object) -> State | None:
        """The hub before it has gone."""
        self._before = None
        return self.CONNECTING if self._ledger.by_key else None

    # -- the server --------------------------------------------------------------------------

    @CONNECTING.enter
    def connecting(self) -> None:
        """There is something to ask."""
        service = self._service
        assert service.upstream is not None
        self._attempts = Attempts((service.upstream,), timeout=service.connect_s)
        self._server = self._attempts.connect(self)

    @CONNECTING.on(Event.ERROR, to=(IDLE,))
    def refused(self, server: NetVConnection) -> State | None:
        """Try the next server."""
        if self._attempts.failed(server):
            self._log(f"server {server.name} failed: {server.error}; trying the next")
            server.do_io_close()
            self._server = self._attempts.connect(self)
            return None
        self._ledger.turn.held.clear()
        return self._lose(f"server {server.name} failed: {server.error}; no server is left")

    @CONNECTING.on(Event.CONNECTED, to=(SERVING, IDLE))
    def connected(self, server: NetVConnection) -> State:
        """Ask what has gathered."""
        author = next(iter(self.sources))
        self._sent = OutputStream(self, server)
        self._received = InputStream(self, server, author.replies or author.framing)
        self._heard_at = self.engine.now
        for key in self._ledger.by_key:
            for request in self._ledger.due(key):
                self._send(request)
        self._flush()
        self._make_room()
        return self._next_turn() or self.SERVING

    @SERVING.on(Event.WRITE_READY)
    def heard(self, vio: VIO) -> None:
        """The server has taken some."""
        self._make_room()

    @SERVING.on(Event.READ_READY, Event.EOS, to=(IDLE,))
    def answered(self, vio: VIO) -> State | None:
        """Give each source its part of what has come."""
        received = self._received
        assert received is not None
        self._heard_at = self.engine.now
        author = next(iter(self.sources))
        parts: list[Part] = []
        strange = 0  # replies without a part
        try:
            while (reply := received.take()) is not None:
                before = len(parts)
                parts.extend(author.split(reply))
                strange += len(parts) == before
        except BaseException as mistake:
            error = as_error(mistake)
            # A plugin's mistake: whose answers are right cannot be known any more.
            history = Machine.crashed(self, error)
            self.engine.log("error", f"{self.name}: split() failed\n{history}", error)
            return self._lose("split() failed")
        if self._share(parts, strange) and author.orphans == "reconnect":
            return self._lose("a part that nobody asked for")
        if received.stopped:
            return self._lose(self._end_of(received))
        self._flush()
        self._make_room()
        return self._next_turn()

    @SERVING.on(Event.ERROR, to=(IDLE,))
    def broke(self, vio: VIO) -> State | None:
        """The connection is of no use any more, behind what the server had sent before."""
        received = self._received
        assert received is not None
        if received.read_rest() or not received.vio.over:
            return None
        return self.answered(vio)

    @SERVING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=IDLE)
    def outlived(self, vio: VIO) -> None:
        """It has lasted too long."""
        self._lose(f"{vio.name}: connection timed out: it lasted too long")

    @staticmethod
    def _end_of(received: InputStream) -> str:
        if received.error is not None:
            return f"{received.vio.name}: {received.error}"
        fault = received.fault
        return fault.value if fault else "the server has ended"

    def _share(self, parts: Sequence[Part], orphans: int) -> int:
        """Give each source its parts of what has come; return how many are nobody's.

        Where order alone tells them apart and one is too many, nobody gets any: see Turn.
        """
        ledger = self._ledger
        excess = ledger.excess(parts)
        for part in () if excess else parts:
            request = ledger.owed(part)
            if request is None:
                orphans += 1
                continue
            if request.source is None:
                self._count("late")
            else:
                delivery = PartArrived(request, part)
                self.engine.queue.append((request.source.ticket, PartArrived, delivery))
            if part.last:
                for due in ledger.finish(request):
                    self._send(due)
        self._note_orphans(orphans + excess)
        return orphans + excess

    def _note_orphans(self, count: int) -> None:
        if count and not self._service.counts["orphan"]:
            self._log("a part that nobody asked for; more of them will only be counted")
        self._count("orphan", count)

    # -- requests that are not answered ------------------------------------------------------

    def _give_up(self, request: SplitRequest) -> None:
        if self._ledger.give_up(request):
            self._unsent -= len(request.wire)

    @ALIVE.on(OVERDUE, to=(IDLE,))
    def overdue(self, _: object) -> State | None:
        """Give up what has waited too long. Its place stays taken: see the module."""
        self._timer = None
        ledger, now = self._ledger, self.engine.now
        late = ledger.late(now)
        distrusted = ledger.distrusted(late, self._heard_at, now) if self._sent else ""
        timed_out = [request for request in late if request.source is not None]
        for request in timed_out:
            self._tell(request, "timed out: no answer")
            self._give_up(request)
        for request in late:
            ledger.open.pop(request, None)
        self._count("timed_out", len(timed_out))
        if distrusted or ledger.overdrawn:
            return self._lose(distrusted or UNANSWERED)
        self._watch()
        self._make_room()
        return self._next_turn()

    @ALIVE.on(SourceGone, to=(IDLE, CLOSED))
    def left(self, gone: SourceGone) -> State | None:
        """What a source asked for is owed to nobody. With the last one the connection goes."""
        self.sources.pop(gone.source, None)
        for request in gone.requests:
            if request in self._ledger.open:
                self._give_up(request)
        if not self.sources:
            return self.CLOSED
        if self._ledger.overdrawn:
            return self._lose(UNANSWERED)
        self._make_room()
        return self._next_turn()

    def _lose(self, why: str) -> State:
        """The connection is over: no request under way is answered; the next one opens another."""
        owed = self._ledger.unanswered
        self._log(f"{why}; {len(owed)} requests are not answered")
        self._count("unanswered", len(owed))
        for request in owed:
            self._tell(request, why)
        self._begin_anew()
        self._make_room()
        return self.IDLE

    def _tell(self, request: SplitRequest, why: str) -> None:
        if request.source is not None:
            source = request.source
            self.engine.deliver_soon(source.ticket, Unanswered, Unanswered(request, why))

    def _close(self) -> None:
        for way in (self._sent, self._received):
            if way is not None:
                way.close()
        if self._server is not None:
            self._server.do_io_close()
        self._sent = self._received = self._server = None
        self._due.clear()
        self._unsent = sum(len(request.wire) for request in self._asked)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- ends --------------------------------------------------------------------------------

    def finished(self) -> None:
        """Nobody shares it any more: whoever comes next makes another."""
        self._close()
        self._forget()

    def crashed(self, error: Exception) -> str:
        """Nobody may wait for what will not come."""
        for request in (*self._ledger.open, *self._asked):
            self._tell(request, "the hub failed")
        for source in self._waiting:
            self.engine.deliver_soon(source.ticket, RoomAgain, RoomAgain())
        self._forget()
        return super().crashed(error)

    def _forget(self) -> None:
        if self._service.persistent.get(SharedConnection) is self:
            del self._service.persistent[SharedConnection]
        if self._heir is not None:
            self.engine.schedule(self._heir, FREE, None)

    def _count(self, what: str, times: int = 1) -> None:
        if times:
            self._service.counts[what] += times

    def _log(self, text: str) -> None:
        self.engine.log("info", f"{self.name}: {text}")
