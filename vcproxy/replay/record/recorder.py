"""Recorder: an engine that writes down what its driver tells it, before it does it.

It does what any engine does. Its VCs and listeners are of kinds that record too (`recorded`), and
so is what its commands are answered by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast
from zlib import crc32

from vcproxy.engine.commands import (
    Call,
    CancelCall,
    Close,
    Command,
    Connect,
    Rescan,
    Resolve,
    ShutdownWrite,
    Spread,
    Stop,
    Subscribe,
)
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.fan import Fan
from vcproxy.engine.listener import Listener
from vcproxy.engine.log_function import LogFunction
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.outgoing import Outgoing
from vcproxy.engine.port import Port
from vcproxy.replay.format.entries import (
    OPCODES,
    AcceptedEntry,
    AcceptFailedEntry,
    BlockedEntry,
    CalledEntry,
    ClockEntry,
    CommandsEntry,
    Entry,
    MakeRoomEntry,
    MovedEntry,
    RunEntry,
    TimeOfDayEntry,
    encode,
    failure,
)
from vcproxy.replay.format.frames import Octets
from vcproxy.replay.format.redaction import redacted, redacted_value
from vcproxy.replay.format.values import FailureValue, NotPlain, plain
from vcproxy.replay.format.varint import double
from vcproxy.replay.record.recorded import (
    RecordedFan,
    RecordedListener,
    RecordedOutgoing,
    RecordedVC,
    client_of,
)

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block

_CLOCK, _RUN = OPCODES[ClockEntry], OPCODES[RunEntry]


class Sheet(Protocol):
    """What a recorder writes on: a Writer, or what compares with what was written before."""

    out: bytearray
    """Encoded entries of the present turn are appended. It stays the same object."""

    def cut(self, tail: Octets = b"") -> None:
        """End a frame. `tail`: the last of it, which is not in `out`."""

    def flush(self) -> None:
        """Write the frames that have ended to where they are kept."""


class RecordingEngine(Engine):
    """Records each call of its driver's on a sheet. It is never bridged."""

    connection: ClassVar[type[NetVConnection]] = RecordedVC
    listening: ClassVar[type[Listener]] = RecordedListener

    __slots__ = (
        "_begin",
        "_last",
        "_must",
        "_patterns",
        "_questions",
        "full",
        "listeners",
        "made",
        "moved",
        "out",
        "redact",
        "sheet",
    )

    def __init__(
        self,
        name: str,
        sheet: Sheet,
        *,
        memory: int,
        seed: int,
        log: LogFunction,
        full: bool = False,
        redact: Sequence[re.Pattern[bytes]] = (),
        token: str = "",
    ) -> None:
        super().__init__(
            name, memory=memory, random=Random(seed), log=log, bridges=False, token=token
        )
        self.sheet = sheet
        self.out = sheet.out
        """That of its sheet."""
        self.full = full
        """Whether outputs are written down in full."""
        self.redact: Callable[[Block], bytes] | None = partial(redacted, redact) if redact else None
        """What is done to content before it is written down. Digests are left out then."""
        self._patterns = redact
        self.made = 0
        """VCs made so far: the number of the last."""
        self.listeners = 0
        """Listeners numbered so far."""
        self.moved: dict[RecordedVC, None] = {}
        """Connections to servers that have changed their conversation, if that is not noted yet."""
        self._questions: dict[int, str] = {}  # by the numbers of calls that are out
        self._begin = b""
        self._must = False  # the turn has to be there, even if nothing follows its clock
        self._last = 0.0

    def enlist(self, vc: RecordedVC) -> int:
        """Give a VC its number."""
        self.made += 1
        return self.made

    def enrol(self, listener: RecordedListener) -> int:
        """Give a listener its number."""
        self.listeners += 1
        return self.listeners

    def note_moves(self) -> None:
        """Write down whose conversation they are in now."""
        moves = tuple((vc.number, client_of(vc)) for vc in self.moved)
        self.moved.clear()
        self.note(MovedEntry(moves))

    def note(self, entry: Entry) -> None:
        """Write an entry down."""
        self.out += encode(entry)

    def write_ahead(self) -> None:
        """Code of a plugin runs next, and may end the process: what led to it goes to the file."""
        self.sheet.cut()
        self.sheet.flush()

    # -- what the driver calls ---------------------------------------------------------------

    def tick(self, now: float) -> None:
        """See Engine. A turn in which nothing happened is left out."""
        if self.moved:
            self.note_moves()
        out = self.out
        if out == self._begin and not self._must:
            out.clear()
        else:
            self.sheet.cut()
        self._last = self.now
        self._must = bool(self.inbox.calls)
        self._begin = _CLOCK + double(now)
        out += self._begin
        super().tick(now)

    def time_of_day(self, seconds: int) -> None:
        """See Engine."""
        self.note(TimeOfDayEntry(seconds))
        super().time_of_day(seconds)

    def run(self) -> None:
        """See Engine."""
        self._scheduler.clock(self.now)
        if self.queue:
            self.out += _RUN
            self.write_ahead()
            super().run()
            if self.moved:
                self.note_moves()

    def _postpone(self, late: float) -> None:
        self._must = True  # by the time of this turn, not of a later one
        super()._postpone(late)

    def notify_acceptor(self, vc: NetVConnection, listener: Listener) -> None:
        """See Engine."""
        self.write_ahead()
        super().notify_acceptor(vc, listener)

    def accepted(
        self,
        listener: Listener,
        port: Port,
        peer: str,
        *,
        secure: bool = False,
        message_oriented: bool = False,
    ) -> NetVConnection:
        """See Engine."""
        self.note(AcceptedEntry(_number(listener), peer, secure, message_oriented, self.made + 1))
        return super().accepted(
            listener, port, peer, secure=secure, message_oriented=message_oriented
        )

    def accept_failed(self, listener: Listener, error: Exception) -> None:
        """See Engine."""
        self.note(AcceptFailedEntry(_number(listener), FailureValue.of(error)))
        super().accept_failed(listener, error)

    def make_room(self) -> bool:
        """See Engine."""
        self.note(MakeRoomEntry())
        return super().make_room()

    def called(self, number: int, value: object, error: Exception | None = None) -> None:
        """See Engine."""
        entry = CalledEntry(number, plain(value), failure(error), self._questions.pop(number, ""))
        try:
            self.note(self._safe(entry))
        except NotPlain as reason:
            value, error = None, TypeError(f"a call returns plain data or a verdict: {reason}")
            self.note(self._safe(entry._replace(value=None, error=failure(error))))
        super().called(number, value, error)

    def _safe(self, entry: Any) -> Any:
        """The same entry, without what must not be written down."""
        if self.redact is None:
            return entry
        return entry._make(redacted_value(self._patterns, value) for value in entry)

    def blocked(self, cont: Continuation, delivery: tuple[float, int]) -> None:
        """See Engine. One that comes late, when its turn is not the last any more, is ignored."""
        if delivery[0] in (self.now, self._last):
            self.note(BlockedEntry(*delivery))
            self.write_ahead()
            super().blocked(cont, delivery)

    def take_commands(self) -> list[Command]:
        """See Engine."""
        commands = super().take_commands()
        if commands:
            shown = [text(command) for command in commands]
            digest = 0
            if self.redact is None:
                digest = crc32("".join(f"{line}\n" for line in shown).encode())
            self.note(self._safe(CommandsEntry(digest, tuple(shown) if self.full else None)))
            for command in commands:
                if isinstance(command, Call):
                    self._questions[command.number] = asked(command)
            return [_recorded(command) for command in commands]
        return commands


def text(command: Command) -> str:
    """A command as it goes into a digest: what it asks for, in words that are always the same."""
    asks = type(command).__name__
    match command:
        case Resolve(outgoing, address):
            return f"{asks} {_vc(outgoing.vc)} {address}"
        case Connect(outgoing, address) | Subscribe(outgoing, address):
            tls = "" if outgoing.tls is None else f" tls {outgoing.server_name}"
            return f"{asks} {_vc(outgoing.vc)} {address}{tls}"
        case ShutdownWrite(vc):
            return f"{asks} {_vc(vc)}"
        case Close(vc, abort):
            return f"{asks} {_vc(vc)}{' abort' if abort else ''}"
        case Call(number):
            return f"{asks} {number} {asked(command)}"
        case CancelCall(number):
            return f"{asks} {number}"
        case Spread() | Rescan() | Stop():
            return asks
    return f"{asks} {getattr(getattr(command, 'listener', None), 'name', '')}"


def asked(call: Call) -> str:
    """What a call asks: the function's name, and its arguments."""
    return f"{getattr(call.fn, '__qualname__', '')} {_plain(call.args)}".rstrip()


def _vc(vc: NetVConnection) -> str:
    assert isinstance(vc, RecordedVC)
    return f"{vc.number}"


def _plain(args: tuple[object, ...]) -> str:
    """Arguments that have a text of their own: that of an object may hold its address."""
    kinds = (str, bytes, int, float, bool, type(None))
    return " ".join(repr(arg) if isinstance(arg, kinds) else type(arg).__name__ for arg in args)


def _number(listener: Listener) -> int:
    assert isinstance(listener, RecordedListener)
    return listener.number


def _recorded(command: Command) -> Command:
    """The same command, whose answers are written down."""
    match command:
        case Resolve(outgoing, address):
            return Resolve(_answered(outgoing), address)
        case Connect(outgoing, address):
            return Connect(_answered(outgoing), address)
        case Subscribe(outgoing, address):
            return Subscribe(_answered(outgoing), address)
        case Spread(fan):
            return Spread(cast(Fan, RecordedFan(fan)))
    return command


def _answered(outgoing: Outgoing) -> Outgoing:
    return cast(Outgoing, RecordedOutgoing(outgoing))
