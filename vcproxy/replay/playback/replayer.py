"""Replayer: the driver of a run that was recorded. It tells an engine what it was told then.

The engine records again, and what it writes is held against what is in the log: so all that it
gives out is compared, and the first difference ends the replay.
"""

from __future__ import annotations

import pdb
from bdb import BdbQuit
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vcproxy.engine.address import Address
from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.commands import Command, Spread
from vcproxy.engine.net import NetVConnection
from vcproxy.machine.state import label
from vcproxy.replay.format import entries as e
from vcproxy.replay.format.frames import Octets
from vcproxy.replay.format.values import RecordType
from vcproxy.replay.format.varint import BrokenOctets, Cursor
from vcproxy.replay.format.writer import LARGE
from vcproxy.replay.record.recorded import RecordedListener, RecordedOutgoing, RecordedVC
from vcproxy.replay.record.recorder import RecordingEngine, text

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.scheduler import Ticket
    from vcproxy.replay.format.reader import RecordingLog
    from vcproxy.replay.format.writer import Writer


class Divergence(Exception):
    """A replay does something else than was recorded; the text says what, at which step, and what
    the machines of that conversation had received."""


class ReplayedProxy(Protocol):
    """What stands around an engine and is replayed with it."""

    def serve(self, entry: e.ServeEntry) -> e.ServeEntry:
        """Apply a configuration; return what came of it."""

    def signalled(self, entry: e.SignalledEntry) -> None:
        """Tell programs of a signal."""


class CommandComparison:
    """A sheet that is held against the frames of a log, and copied to another if there is one."""

    def __init__(self, copy: Writer | None = None) -> None:
        self.out = bytearray()
        self.expected = b""
        """The payload of the frame that is being replayed."""
        self.cuts = 0
        """How many frames have ended."""
        self.same = True
        """Whether the last one was as expected."""
        self._copy = copy

    def flush(self) -> None:
        """See Sheet."""

    def cut(self, tail: Octets = b"") -> None:
        """See Sheet."""
        if self.out:
            self.cuts += 1
            self.out += tail
            self.same = self.out == self.expected
            if self._copy is not None:
                self._copy.out += self.out
                self._copy.cut()
            self.out.clear()


class Callback(NamedTuple):
    """Who was called back."""

    now: float
    number: int
    cont: Continuation


class ReplayEngine(RecordingEngine):
    """A recording engine that can tell what it was doing."""

    __slots__ = ("_running", "breaks", "conversations", "deliveries", "doors", "spreads", "texts")

    def __init__(self, name: str, sheet: CommandComparison, **keywords: Any) -> None:
        self._running: Continuation | None = None
        self.deliveries: list[Callback] = []
        """Of the present turn and the one before."""
        self.conversations: dict[int, RecordedVC] = {}
        """Its VCs by their numbers."""
        self.doors: dict[int, RecordedListener] = {}
        """Its listeners by their numbers."""
        self.spreads: Iterator[Spread] = iter(())
        """Those among the commands that were taken last."""
        self.texts: list[str] = []
        """What those were."""
        self.breaks = ""
        """The key of the events before which the debugger is called."""
        super().__init__(name, sheet, **keywords)

    @property
    def running(self) -> Continuation | None:
        """See Engine."""
        return self._running

    @running.setter
    def running(self, cont: Continuation | None) -> None:
        self._running = cont
        if cont is not None:
            self.deliveries.append(Callback(self.now, self.delivery, cont))

    def enlist(self, vc: RecordedVC) -> int:
        """See RecordingEngine."""
        number = super().enlist(vc)
        self.conversations[number] = vc
        return number

    def enrol(self, listener: RecordedListener) -> int:
        """See RecordingEngine."""
        number = super().enrol(listener)
        self.doors[number] = listener
        return number

    def note_moves(self) -> None:
        """See RecordingEngine. That is a step of its own here."""

    def tick(self, now: float) -> None:
        """See Engine."""
        self.deliveries = [each for each in self.deliveries if each.now == self.now]
        super().tick(now)

    def remove(self, vc: NetVConnection) -> None:
        """See Engine."""
        assert isinstance(vc, RecordedVC)
        self.conversations.pop(vc.number, None)
        super().remove(vc)

    def take_commands(self) -> list[Command]:
        """See Engine."""
        self.texts = [text(command) for command in self.commands]
        taken = super().take_commands()
        self.spreads = iter([command for command in taken if isinstance(command, Spread)])
        return taken

    def _deliver(self, ticket: Ticket, key: Hashable, data: object) -> None:
        if self.breaks and self.breaks in (label(key), str(key)):
            # `cont`, `key` and `data` are what is about to be delivered. Not pdb.set_trace(): from
            # Python 3.14 on its `q` asks, and then ends the process.
            pdb.Pdb().set_trace()
        super()._deliver(ticket, key, data)


class Replayer:
    """Steps through a log. It is the only one to call the engine, and `step` is all it can do."""

    def __init__(
        self,
        log: RecordingLog,
        engine: ReplayEngine,
        sheet: CommandComparison,
        proxy: ReplayedProxy,
    ) -> None:
        self.engine = engine
        self.done = 0
        """The number of the last step."""
        self.offset = 0
        """Where in the file its frame begins."""
        self._sheet = sheet
        self._proxy = proxy
        self._redacted = "redacted" in log.header.marks
        self._log = log
        self._frames = log.payloads(lambda: self.done + 1)
        self._cursor = Cursor(b"")  # in the present frame
        self._act: dict[type[e.Entry], Callable[[Any], object]] = {
            e.ClockEntry: lambda entry: engine.clock(entry.now),
            e.TimeOfDayEntry: lambda entry: engine.time_of_day(entry.seconds),
            e.RunEntry: lambda _: engine.run(),
            e.CommandsEntry: lambda _: engine.take_commands(),
            e.ServeEntry: lambda entry: engine.note(proxy.serve(entry)),
            e.SignalledEntry: self._signalled,
            e.StoppedEntry: engine.note,
            e.MovedEntry: lambda _: RecordingEngine.note_moves(engine),
            e.AdmitsEntry: lambda entry: self._door(entry).admits(),
            e.CameEntry: lambda entry: self._door(entry).count_accepted(),
            e.DroppedEntry: lambda entry: self._door(entry).dropped(engine),
            e.AcceptedEntry: self._accepted,
            e.AcceptFailedEntry: self._accept_failed,
            e.EstablishedEntry: lambda entry: self._vc(entry).established(*entry[1:]),
            e.NoReadEntry: lambda entry: self._vc(entry).begin_read(),
            e.WouldBlockEntry: lambda entry: self._reading(entry).would_block(),
            e.ReceivedEntry: lambda entry: self._reading(entry).received(self._data(entry)),
            e.PassedEntry: self._passed,
            e.SpreadReadEntry: self._spread_read,
            e.NoWriteEntry: lambda entry: self._vc(entry).begin_write(),
            e.SentEntry: self._sent,
            e.AgainEntry: lambda entry: self._vc(entry).again(entry.reads),
            e.EndedEntry: lambda entry: self._vc(entry).ended(entry.error and entry.error.raised()),
            e.BrokeEntry: lambda entry: self._vc(entry).broke(entry.error.raised()),
            e.FailedEntry: lambda entry: self._vc(entry).failed(entry.error.raised()),
            e.GoneEntry: lambda entry: self._vc(entry).gone(),
            e.ResolvedEntry: self._resolved,
            e.RefusedEntry: self._refused,
            e.ConnectedEntry: self._connected,
            e.SpreadEntry: self._spread,
            e.MakeRoomEntry: lambda _: engine.make_room(),
            e.CalledEntry: self._called,
            e.BlockedEntry: self._blocked,
        }

    def step(self) -> bool:
        """Make the next call; False at the end of the log. Raises Divergence, LogError."""
        cursor, sheet = self._cursor, self._sheet
        content = cursor.data
        place = cursor.place
        if place == len(content):
            if not self._turn():
                return False
            cursor = self._cursor
            content, place = cursor.data, 0
        entry: e.Entry
        try:
            if content[place] == _PASSED:
                # By far the most frequent: without writing it down first, in half the time.
                cursor.place += 1
                entry = passed = e.decode_passed(cursor)
                vc = self.engine.conversations.get(passed.vc)
                if vc is not None and len(passed.data) < LARGE and _begin_read(vc):
                    sink = self.engine.conversations.get(passed.sink)
                    if sink is not None and vc.direct_sink is sink:
                        self.done += 1
                        sheet.out += content[place : cursor.place]
                        _pass(vc, passed.data or EMPTY, passed.taken)
                        return True
                    _would_block(vc)
            else:
                entry = e.decode(cursor)
        except BrokenOctets as error:
            raise self._log.broken(self.offset, self.done + 1, error) from None
        self.done += 1
        mark, cuts = len(sheet.out), sheet.cuts
        try:
            self._act[type(entry)](entry)
        except BdbQuit:
            raise Divergence(f"step {self.done}: left in the debugger") from None
        except Exception as error:
            raise Divergence(self._report(entry, str(error))) from error
        if sheet.cuts > cuts:
            if not (sheet.same or self._redacted):
                raise Divergence(self._report(entry, "it wrote something else"))
            return True
        done = bytes(sheet.out[mark:])
        if done != content[place : cursor.place] and not (
            self._redacted and _bare(_read(done)) == _bare(entry)
        ):
            raise Divergence(self._report(entry, _shown(_read(done))))
        return True

    def _turn(self) -> bool:
        """Go on to the next frame; False if there is none."""
        self._sheet.cut()
        frame = next(self._frames, None)
        if frame is None:
            return False
        self.offset, _, self._sheet.expected = frame
        self._cursor = Cursor(self._sheet.expected)
        return True

    # -- who is meant ------------------------------------------------------------------------

    def _vc(self, entry: Any) -> RecordedVC:
        try:
            return self.engine.conversations[entry.vc]
        except KeyError:
            raise LookupError(f"there is no VC {entry.vc}") from None

    def _door(self, entry: Any) -> RecordedListener:
        try:
            return self.engine.doors[entry.listener]
        except KeyError:
            raise LookupError(f"there is no listener {entry.listener}") from None

    def _outgoing(self, entry: Any) -> RecordedOutgoing:
        vc = self._vc(entry)
        if vc.outgoing is None:
            raise LookupError(f"VC {entry.vc} was not asked for")
        return RecordedOutgoing(vc.outgoing)

    # -- the calls that take more than a line ------------------------------------------------

    def _signalled(self, entry: e.SignalledEntry) -> None:
        self.engine.note(entry)
        self.engine.write_ahead()
        self._proxy.signalled(entry)

    def _accepted(self, entry: e.AcceptedEntry) -> None:
        self.engine.accepted(
            self._door(entry),
            _PORT,
            entry.peer,
            secure=entry.secure,
            message_oriented=entry.message_oriented,
        )

    def _accept_failed(self, entry: e.AcceptFailedEntry) -> None:
        self.engine.accept_failed(self._door(entry), entry.error.raised())

    def _reading(self, entry: Any) -> RecordedVC:
        vc = self._vc(entry)
        if not vc.begin_read():
            raise LookupError("it reads nothing now")
        return vc

    def _data(self, entry: e.ReceivedEntry | e.PassedEntry | e.SpreadReadEntry) -> Block:
        """What was read, where it was read to."""
        if not entry.shared:
            return entry.data or EMPTY
        view = self.engine.memory.scratch[: len(entry.data)]
        view[:] = entry.data
        return view

    def _passed(self, entry: e.PassedEntry) -> None:
        vc = self._reading(entry)
        if vc.direct_sink is None:
            raise LookupError("it lets nothing pass")
        vc.passed(self._data(entry), entry.taken)

    def _spread_read(self, entry: e.SpreadReadEntry) -> None:
        vc = self._reading(entry)
        if vc.fan is None:
            raise LookupError("it spreads nothing")
        vc.spread(self._data(entry), self._short(entry.short))

    def _short(self, short: e.Short) -> list[tuple[NetVConnection, int]]:
        return [(self.engine.conversations[number], count) for number, count in short]

    def _sent(self, entry: e.SentEntry) -> None:
        vc = self._vc(entry)
        views = vc.begin_write()
        if views is None:
            raise LookupError("it writes nothing now")
        vc.sent(min(entry.size, sum(map(len, views))))

    def _resolved(self, entry: e.ResolvedEntry) -> None:
        addresses = [Address.parse(address) for address in entry.addresses]
        error = None if entry.error is None else entry.error.raised()
        self._outgoing(entry).resolved(addresses, error)

    def _refused(self, entry: e.RefusedEntry) -> None:
        address = Address.parse(entry.address)
        self._outgoing(entry).refused(address, entry.error.raised())

    def _connected(self, entry: e.ConnectedEntry) -> None:
        address = Address.parse(entry.address)
        self._outgoing(entry).connected(address, _PORT, entry.local, entry.peer)

    def _spread(self, entry: e.SpreadEntry) -> None:
        command = next(self.engine.spreads, None)
        if command is None:
            raise LookupError("nothing is to be spread")
        blocks = command.fan.begin()
        if blocks is not None:
            size = sum(map(len, blocks))
            command.fan.sent(size, self._short(entry.short))

    def _called(self, entry: e.CalledEntry) -> None:
        value = entry.value.made() if isinstance(entry.value, RecordType) else entry.value
        error = None if entry.error is None else entry.error.raised()
        self.engine.called(entry.number, value, error)

    def _blocked(self, entry: e.BlockedEntry) -> None:
        for delivery in self.engine.deliveries:
            if (delivery.now, delivery.number) == (entry.since, entry.delivery):
                self.engine.blocked(delivery.cont, (delivery.now, delivery.number))
                return
        raise LookupError("nobody was called back then")

    # -- what has gone wrong -----------------------------------------------------------------

    def _report(self, entry: e.Entry, here: str) -> str:
        engine = self.engine
        lines = [f"step {self.done}: this run parts from what was recorded"]
        if self._redacted:
            lines.append(
                "  the log is redacted: a plugin may decide otherwise without that content"
            )
        lines.append(f"  recorded: {_shown(entry)}")
        if isinstance(entry, e.CommandsEntry):
            lines += [f"            {command}" for command in entry.texts or ()]
        lines.append(f"  here:     {here or 'nothing'}")
        if isinstance(entry, e.CommandsEntry):
            lines += [f"            {command}" for command in engine.texts]
        vc = engine.conversations.get(e.vc_of(entry) or 0)
        told: list[Continuation | None] = []
        if vc is not None:
            lines.append(f"  conversation: {vc.number}, {vc.name}")
            told = [vio.cont for vio in (vc.read_vio, vc.write_vio) if vio is not None]
        elif engine.deliveries:
            told = [engine.deliveries[-1].cont]
        for cont in dict.fromkeys(told):
            while cont is not None:
                lines.append(f"  machine: {cont!r}")
                history = cont.crashed(RuntimeError("it parts from what was recorded"))
                lines += [f"    {line}" for line in history.splitlines()]
                cont = getattr(cont, "_owner", None)  # a tunnel's
        return "\n".join(lines)


_PASSED = e.PASSED
_begin_read, _pass = NetVConnection.begin_read, NetVConnection.passed
_would_block = NetVConnection.would_block


class _NoPort:
    """The port of a connection that was."""

    spliceable = False

    def read(self) -> None:
        """Nobody asks."""

    def write(self) -> None:
        """Nobody asks."""

    def push(self, data: Block) -> int:
        """Nobody asks."""
        return 0

    def close(self, abort: bool) -> None:
        """Nobody asks."""


_PORT = _NoPort()

_SHOWN = 60
"""Bytes of content that a report shows: a line."""


def _read(done: bytes) -> e.Entry | None:
    try:
        return e.decode(Cursor(done)) if done else None
    except BrokenOctets:
        return None


def _bare(entry: e.Entry | None) -> object:
    """An entry without what is said about contents."""
    if isinstance(entry, e.SentEntry):
        return entry._replace(digest=0, data=None)
    if isinstance(entry, e.SpreadEntry):
        return entry._replace(digest=0)
    if isinstance(entry, e.CommandsEntry):
        return entry._replace(digest=0, texts=None)
    if isinstance(entry, e.CalledEntry):
        return entry._replace(asked="")
    if isinstance(entry, e.ResolvedEntry):
        return entry._replace(target="")
    return entry


def _shown(entry: e.Entry | None) -> str:
    if entry is None:
        return "nothing"
    fields = [
        f"{name}={value[:_SHOWN] if isinstance(value, bytes) else value!r}"
        for name, value in zip(entry._fields, entry, strict=True)
    ]
    return f"{e.call_name(entry)} {' '.join(fields)}"
