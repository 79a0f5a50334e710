"""RecordingEngine: an engine that records each driver call before executing it.

Otherwise it is an ordinary engine. Its VCs, its listeners and the objects in its commands record
the driver's calls as well: see `recorded`. Tested in tests/e2e/test_recording.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast
from zlib import crc32

from vcproxy.engine.commands import (
    Call,
    CancelCall,
    Close,
    CloseSource,
    Command,
    Connect,
    DisableSource,
    EnableSource,
    OpenSource,
    Rescan,
    Resolve,
    SendBusReply,
    SendDatagram,
    ShutdownWrite,
    SignalChild,
    Spread,
    Stop,
    Subscribe,
    UnwatchPath,
    WatchContent,
    WatchPath,
)
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.fan import Fan
from vcproxy.engine.listener import Listener
from vcproxy.engine.log_function import LogFunction
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.outgoing import Outgoing
from vcproxy.engine.port import Port
from vcproxy.engine.sources.datagrams import show_peer
from vcproxy.replay.format.entries import (
    OPCODES,
    AcceptedEntry,
    AcceptFailedEntry,
    BlockedEntry,
    CalledEntry,
    ClockEntry,
    CommandsEntry,
    Entry,
    HappenedEntry,
    MakeRoomEntry,
    MovedEntry,
    RunEntry,
    TimeOfDayEntry,
    encode,
    failure,
)
from vcproxy.replay.format.frames import Octets
from vcproxy.replay.format.redaction import redacted, redacted_value
from vcproxy.replay.format.values import DataclassValue, FailureValue, NotPlain, plain
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
    from vcproxy.engine.sources.source import Source

_CLOCK, _RUN = OPCODES[ClockEntry], OPCODES[RunEntry]


class FrameSink(Protocol):
    """The destination of encoded entries: a Writer, or a FrameComparison in a replay."""

    out: bytearray
    """The current frame: encoded entries are appended. It is always the same object."""

    def cut(self, tail: Octets = b"") -> None:
        """End the frame. `tail`: its last bytes, which are not in `out`."""

    def flush(self) -> None:
        """Write the finished frames to the file."""


class RecordingEngine(Engine):
    """Records each call of its driver. It never bridges connections and has no direct paths."""

    connection: ClassVar[type[NetVConnection]] = RecordedVC
    listening: ClassVar[type[Listener]] = RecordedListener
    resolves_all: ClassVar[bool] = True  # ResolvedEntry records the opener and the target

    __slots__ = (
        "_begin",
        "_call_texts",
        "_keep_turn",
        "_last",
        "_patterns",
        "frames",
        "full",
        "listener_count",
        "moved",
        "out",
        "redact",
    )

    def __init__(
        self,
        name: str,
        frames: FrameSink,
        *,
        memory: int,
        seed: int,
        log: LogFunction,
        full: bool = False,
        redact: Sequence[re.Pattern[bytes]] = (),
        token: str = "",
    ) -> None:
        super().__init__(
            name,
            memory=memory,
            random=Random(seed),
            log=log,
            bridges=False,
            direct=False,
            token=token,
        )
        self.frames = frames
        self.out = frames.out
        """The `out` of `frames`."""
        self.full = full
        """Whether outputs are recorded in full, not only as digests."""
        self.redact: Callable[[Block], bytes] | None = None
        """Redacts content before it is recorded; None: no redaction. Digests are 0 with it."""
        self._patterns: tuple[re.Pattern[bytes], ...] = ()
        self.redact_also(redact)
        self.listener_count = 0
        """Listeners numbered so far."""
        self.moved: dict[RecordedVC, None] = {}
        """Server connections that have changed their conversation since the last MovedEntry."""
        self._call_texts: dict[int, str] = {}  # the texts of calls without a result, by call number
        self._begin = b""
        self._keep_turn = False  # whether to record the turn even if only its clock was recorded
        self._last = 0.0

    def note_vc(self, vc: RecordedVC) -> None:
        """A VC was made."""

    def number_listener(self, listener: RecordedListener) -> int:
        """Return the number for a new listener."""
        self.listener_count += 1
        return self.listener_count

    def record_moves(self) -> None:
        """Record the new conversations of connections that have moved."""
        moves = tuple((vc.number, client_of(vc)) for vc in self.moved)
        self.moved.clear()
        self.record(MovedEntry(moves))

    def record(self, entry: Entry) -> None:
        """Record an entry."""
        self.out += encode(entry)

    def write_ahead(self) -> None:
        """Write all entries to the file. Plugin code runs next and may end the process."""
        self.frames.cut()
        self.frames.flush()

    # -- called by the driver ----------------------------------------------------------------

    def tick(self, now: float) -> None:
        """See Engine. A turn without other entries is not recorded."""
        if self.moved:
            self.record_moves()
        out = self.out
        if out == self._begin and not self._keep_turn:
            out.clear()
        else:
            self.frames.cut()
        self._last = self.now
        self._keep_turn = bool(self.inbox.calls)
        self._begin = _CLOCK + double(now)
        out += self._begin
        super().tick(now)

    def time_of_day(self, seconds: int) -> None:
        """See Engine."""
        self.record(TimeOfDayEntry(seconds))
        super().time_of_day(seconds)

    def run(self) -> None:
        """See Engine."""
        self._scheduler.clock(self.now)
        if self.queue:
            self.out += _RUN
            self.write_ahead()
            super().run()
            if self.moved:
                self.record_moves()

    def _postpone(self, late: float) -> None:
        self._keep_turn = True  # the delay counts from this turn, not from a later one
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
        local: str = "",
    ) -> NetVConnection:
        """See Engine."""
        number = self.vc_count + 1
        self.record(AcceptedEntry(_number(listener), peer, secure, message_oriented, number, local))
        return super().accepted(
            listener, port, peer, secure=secure, message_oriented=message_oriented, local=local
        )

    def accept_failed(self, listener: Listener, error: Exception) -> None:
        """See Engine."""
        self.record(AcceptFailedEntry(_number(listener), FailureValue.of(error)))
        super().accept_failed(listener, error)

    def make_room(self) -> bool:
        """See Engine."""
        self.record(MakeRoomEntry())
        return super().make_room()

    def called(self, number: int, value: object, error: Exception | None = None) -> None:
        """See Engine."""
        entry = CalledEntry(number, plain(value), failure(error), self._call_texts.pop(number, ""))
        try:
            self.record(self._redacted(entry))
        except NotPlain as reason:
            value, error = None, TypeError(f"a call must return plain data or a verdict: {reason}")
            self.record(self._redacted(entry._replace(value=None, error=failure(error))))
        super().called(number, value, error)

    def happened(self, source: Source, event: object) -> None:
        """See Engine. An event that the engine ignores is not recorded."""
        if source.number in self.sources:
            self.record(self._redacted(HappenedEntry(source.number, DataclassValue.of(event))))
            super().happened(source, event)

    def redact_also(self, patterns: Iterable[re.Pattern[bytes]]) -> None:
        """Redact the matches of further patterns from now on."""
        self._patterns = tuple(dict.fromkeys((*self._patterns, *patterns)))
        if self._patterns:
            self.redact = partial(redacted, self._patterns)

    def _redacted(self, entry: Any) -> Any:
        """Return the entry, redacted if patterns are configured."""
        if self.redact is None:
            return entry
        return entry._make(redacted_value(self._patterns, value) for value in entry)

    def blocked(self, cont: Continuation, delivery: tuple[float, int]) -> None:
        """See Engine. A report about a delivery before the previous turn is ignored."""
        if delivery[0] in (self.now, self._last):
            self.record(BlockedEntry(*delivery))
            self.write_ahead()
            super().blocked(cont, delivery)

    def take_commands(self) -> list[Command]:
        """See Engine."""
        commands = super().take_commands()
        if commands:
            shown = [command_text(command) for command in commands]
            digest = 0
            if self.redact is None:
                digest = crc32("".join(f"{line}\n" for line in shown).encode())
            self.record(self._redacted(CommandsEntry(digest, tuple(shown) if self.full else None)))
            for command in commands:
                if isinstance(command, Call):
                    self._call_texts[command.number] = call_text(command)
            return [_recorded(command) for command in commands]
        return commands


def command_text(command: Command) -> str:
    """Return the text of a command, as used in digests. Equal commands have equal texts."""
    verb = type(command).__name__
    match command:
        case Resolve(outgoing, address):
            return f"{verb} {_vc(outgoing.vc)} {address}"
        case Connect(outgoing, address) | Subscribe(outgoing, address):
            tls = "" if outgoing.tls is None else f" tls {outgoing.server_name}"
            return f"{verb} {_vc(outgoing.vc)} {address}{tls}{_announced(outgoing.introduction)}"
        case ShutdownWrite(vc):
            return f"{verb} {_vc(vc)}"
        case Close(vc, abort):
            return f"{verb} {_vc(vc)}{' abort' if abort else ''}"
        case Call(number):
            return f"{verb} {number} {call_text(command)}"
        case CancelCall(number):
            return f"{verb} {number}"
        case OpenSource(source):
            return f"{verb} {source.number} {source.request}"
        case CloseSource(source) | DisableSource(source) | EnableSource(source):
            return f"{verb} {source.number}"
        case SignalChild(source, number):
            return f"{verb} {source.number} {number}"
        case SendDatagram(source, data, to):
            peer = to if isinstance(to, str) else show_peer(to)
            return f"{verb} {source.number} {peer} {data!r}"
        case WatchPath(source, watch):
            return f"{verb} {source.number} {watch.text}"
        case UnwatchPath(source, path):
            return f"{verb} {source.number} {path}"
        case WatchContent(source, paths):
            return f"{verb} {source.number} {paths}"
        case SendBusReply(source, route, text):
            return f"{verb} {source.number} {route} {text}"
        case Stop(status) if status:
            return f"{verb} {status}"
        case Spread() | Rescan() | Stop():
            return verb
    return f"{verb} {getattr(getattr(command, 'listener', None), 'name', '')}"


def _announced(introduction: bytes) -> str:
    """Return what a PROXY header says, but its fields: they may contain what OpenSSL has
    negotiated, which a replay does not have."""
    if not introduction:
        return ""
    from vcproxy.proxy_protocol.parser import parse  # most proxies send none

    parsed = parse(introduction)
    assert parsed is not None
    header = parsed.header
    client = f"{header.peer} at {header.target}" if header.has_addresses else "no client"
    return f" PROXY v{header.version} of {client}"


def call_text(call: Call) -> str:
    """Return the function's name and the arguments of a call."""
    return f"{getattr(call.fn, '__qualname__', '')} {_arguments(call.args)}".rstrip()


def _vc(vc: NetVConnection) -> str:
    assert isinstance(vc, RecordedVC)
    return f"{vc.number}"


def _arguments(args: tuple[object, ...]) -> str:
    """Return arguments as text. Objects: class only, because a repr may contain an address."""
    kinds = (str, bytes, int, float, bool, type(None))
    return " ".join(repr(arg) if isinstance(arg, kinds) else type(arg).__name__ for arg in args)


def _number(listener: Listener) -> int:
    assert isinstance(listener, RecordedListener)
    return listener.number


def _recorded(command: Command) -> Command:
    """Return the command with its Outgoing or Fan replaced by the recording variant."""
    match command:
        case Resolve(outgoing, address):
            return Resolve(_recorded_outgoing(outgoing), address)
        case Connect(outgoing, address):
            return Connect(_recorded_outgoing(outgoing), address)
        case Subscribe(outgoing, address):
            return Subscribe(_recorded_outgoing(outgoing), address)
        case Spread(fan):
            return Spread(cast(Fan, RecordedFan(fan)))
    return command


def _recorded_outgoing(outgoing: Outgoing) -> Outgoing:
    return cast(Outgoing, RecordedOutgoing(outgoing))
