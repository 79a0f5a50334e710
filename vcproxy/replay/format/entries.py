"""Entries: one for each call that a driver makes into an engine, with its answer.

Each is a NamedTuple; its fields are written one after another as their types say, but `shared`,
which is the high bit of the opcode: of a small message each byte counts. The number of a kind is
its place in KINDS: new ones go to its end, and there may be 128.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, get_type_hints

from vcproxy.replay.format.values import FailureValue, Value, pack, unpack
from vcproxy.replay.format.varint import BrokenOctets, Cursor, counted, double, text, varint

Short: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs of numbers. Of a fan: the VCs that did not take all, and how many bytes each took."""

CHECK = "Check"
"""The class of health checks, as Resolved names it."""

Listening: TypeAlias = tuple[int, str, str, str | FailureValue]
"""The number of a listener (a new one, unless one has its name already), its name, the address that
was asked for, and the real one or why there is none."""


# -- a turn ----------------------------------------------------------------------------------


class ClockEntry(NamedTuple):
    """`engine.clock(now)`: a turn begins."""

    now: float


class RunEntry(NamedTuple):
    """`engine.run()`, with something in the queue."""


class TimeOfDayEntry(NamedTuple):
    """`engine.time_of_day(seconds)`."""

    seconds: int


class CommandsEntry(NamedTuple):
    """`engine.take_commands()`, if there were any."""

    digest: int
    """CRC-32 of their texts, each with a newline. See `recorder.texts`."""
    texts: tuple[str, ...] | None
    """In a log with full outputs."""


# -- listeners -------------------------------------------------------------------------------


class ServeEntry(NamedTuple):
    """A configuration is served by from now on: that of the header, or after a reload."""

    configuration: str | None
    """Its text; None: that of the header."""
    sources: dict[str, bytes] | None
    """The plugins, as in the header."""
    listening: tuple[Listening, ...]
    """The driver's answers, for each address that was not listened at before."""


class AdmitsEntry(NamedTuple):
    """`listener.admits()`."""

    listener: int
    answer: bool


class CameEntry(NamedTuple):
    """`listener.count_accepted()`."""

    listener: int


class AcceptedEntry(NamedTuple):
    """`engine.accepted(...)`."""

    listener: int
    peer: str
    secure: bool
    message_oriented: bool
    vc: int
    """The number that the VC was given."""


class AcceptFailedEntry(NamedTuple):
    """`engine.accept_failed(...)`."""

    listener: int
    error: FailureValue


class DroppedEntry(NamedTuple):
    """`listener.dropped(engine)`."""

    listener: int


# -- VCs -------------------------------------------------------------------------------------


class EstablishedEntry(NamedTuple):
    """`vc.established(...)`."""

    vc: int
    sni: str | None
    alpn: str | None
    certificate: str | None


class NoReadEntry(NamedTuple):
    """`vc.begin_read()` answered 0."""

    vc: int


class WouldBlockEntry(NamedTuple):
    """`vc.begin_read()`, then `would_block()`."""

    vc: int


class ReceivedEntry(NamedTuple):
    """`vc.begin_read()`, then `received(data)`."""

    vc: int
    shared: bool
    """Whether it came in a slab, as a view of it."""
    data: bytes


class PassedEntry(NamedTuple):
    """`vc.begin_read()`, then `passed(data, taken)`: the VC `sink` took so many bytes at once."""

    vc: int
    sink: int
    taken: int
    shared: bool
    data: bytes


class SpreadReadEntry(NamedTuple):
    """`vc.begin_read()`, then `spread(data, short)`."""

    vc: int
    short: Short
    shared: bool
    data: bytes


class NoWriteEntry(NamedTuple):
    """`vc.begin_write()` answered None."""

    vc: int


class SentEntry(NamedTuple):
    """`vc.begin_write()`, then `sent(size)`."""

    vc: int
    size: int
    digest: int
    """CRC-32 of these bytes."""
    data: bytes | None
    """In a log with full outputs."""


class AgainEntry(NamedTuple):
    """`vc.again(reads)`."""

    vc: int
    reads: bool


class EndedEntry(NamedTuple):
    """`vc.ended(error)`."""

    vc: int
    error: FailureValue | None


class FailedEntry(NamedTuple):
    """`vc.failed(error)`."""

    vc: int
    error: FailureValue


class BrokeEntry(NamedTuple):
    """`vc.broke(error)`."""

    vc: int
    error: FailureValue


class GoneEntry(NamedTuple):
    """`vc.gone()`."""

    vc: int


class ResolvedEntry(NamedTuple):
    """`outgoing.resolved(addresses, error)`, of the VC that it is for."""

    vc: int
    addresses: tuple[str, ...]
    error: FailureValue | None
    client: int
    """The client in whose conversation it was asked for; 0: in none."""
    target: str
    """The address that was asked for."""
    asker: str
    """The class that asked: CHECK for one that only looks whether the server is well."""


class MovedEntry(NamedTuple):
    """After `engine.run()`: connections to servers have gone over to other conversations."""

    moves: Short
    """The VCs, each with the client in whose conversation it is now; 0: in none, it is kept."""


class RefusedEntry(NamedTuple):
    """`outgoing.refused(address, error)`."""

    vc: int
    address: str
    error: FailureValue


class ConnectedEntry(NamedTuple):
    """`outgoing.connected(address, port, local, peer)`."""

    vc: int
    address: str
    local: str
    peer: str


# -- the rest --------------------------------------------------------------------------------


class SpreadEntry(NamedTuple):
    """`fan.begin()`, then `sent(size, short)`; None: it gave nothing.

    Of the fan whose command comes next among those taken last.
    """

    size: int | None
    digest: int
    """CRC-32 of what it gave."""
    short: Short


class CalledEntry(NamedTuple):
    """`engine.called(number, value, error)`."""

    number: int
    value: Value
    error: FailureValue | None
    asked: str
    """The function's name, and its arguments."""


class BlockedEntry(NamedTuple):
    """`engine.blocked(...)`: a callback has held up the thread."""

    since: float
    """The time of its turn: the last, or the one before."""
    delivery: Value
    """Its number there, an int."""


class SignalledEntry(NamedTuple):
    """The process got a signal to end: programs are told."""

    number: int
    pid: int


class StoppedEntry(NamedTuple):
    """The run has ended as it should: the last entry."""


class MakeRoomEntry(NamedTuple):
    """`engine.make_room()`."""


Entry: TypeAlias = (
    ClockEntry
    | RunEntry
    | CommandsEntry
    | ServeEntry
    | AdmitsEntry
    | CameEntry
    | AcceptedEntry
    | AcceptFailedEntry
    | DroppedEntry
    | EstablishedEntry
    | NoReadEntry
    | WouldBlockEntry
    | ReceivedEntry
    | PassedEntry
    | SpreadReadEntry
    | NoWriteEntry
    | SentEntry
    | AgainEntry
    | EndedEntry
    | FailedEntry
    | GoneEntry
    | ResolvedEntry
    | RefusedEntry
    | ConnectedEntry
    | SpreadEntry
    | CalledEntry
    | BlockedEntry
    | SignalledEntry
    | StoppedEntry
    | MakeRoomEntry
    | BrokeEntry
    | TimeOfDayEntry
    | MovedEntry
)

KINDS: tuple[type[Entry], ...] = Entry.__args__

_Write: TypeAlias = Callable[[Any], bytes]
_Read: TypeAlias = Callable[[Cursor], Any]

_FORMS: dict[object, tuple[_Write, _Read]] = {
    int: (varint, Cursor.varint),
    bool: (lambda flag: b"\1" if flag else b"\0", lambda cursor: bool(cursor.octet())),
    float: (double, Cursor.double),
    str: (text, Cursor.text),
    bytes: (counted, Cursor.counted),
}
_OTHERS: tuple[_Write, _Read] = (pack, unpack)


_SHARED: tuple[_Write, _Read] = (lambda flag: b"", lambda cursor: cursor.high)


def _forms(kind: type[Entry]) -> list[tuple[_Write, _Read]]:
    hints = get_type_hints(kind).items()
    return [_SHARED if name == "shared" else _FORMS.get(hint, _OTHERS) for name, hint in hints]


_WRITERS = {
    kind: (varint(number), [write for write, _ in _forms(kind)])
    for number, kind in enumerate(KINDS)
}
_READERS = [(kind, [read for _, read in _forms(kind)]) for kind in KINDS]

PASSED = KINDS.index(PassedEntry)
_new = tuple.__new__

OPCODES = {kind: varint(number) for number, kind in enumerate(KINDS)}
"""How each kind begins."""


def high(opcode: bytes) -> bytes:
    """The opcode of an entry that is `shared`."""
    return bytes((opcode[0] | 128,))


def encode(entry: Entry) -> bytes:
    """Write an entry. Raises NotPlain for a value that is not."""
    opcode, writers = _WRITERS[type(entry)]
    if getattr(entry, "shared", False):
        opcode = high(opcode)
    return opcode + b"".join([write(value) for write, value in zip(writers, entry, strict=True)])


def decode(cursor: Cursor) -> Entry:
    """Read the entry that comes next. Raises BrokenOctets."""
    number = cursor.octet()
    if number == PASSED:
        return decode_passed(cursor)
    cursor.high = number > 127
    try:
        kind, readers = _READERS[number & 127]
    except IndexError:
        raise BrokenOctets(f"{number} begins no entry") from None
    entry: Entry = kind._make([read(cursor) for read in readers])
    return entry


def decode_passed(cursor: Cursor) -> PassedEntry:
    """What most logs consist of, not shared, behind its opcode: by hand, in half the time."""
    octets, place = cursor.data, cursor.place
    try:
        vc, sink, taken, size = octets[place : place + 4]
        if vc < 128 and sink < 128 and taken < 128 and size < 128:
            place += 4
        else:
            vc, sink, taken = cursor.varint(), cursor.varint(), cursor.varint()
            size = cursor.varint()
            place = cursor.place
    except ValueError:
        raise BrokenOctets("something is missing at its end") from None
    cursor.place = end = place + size
    if end > len(octets):
        raise BrokenOctets("something is missing at its end")
    return _new(PassedEntry, (vc, sink, taken, False, octets[place:end]))


def call_name(entry: Entry) -> str:
    """Return the name of the driver call that an entry stands for, as logs and errors show it."""
    return type(entry).__name__.removesuffix("Entry")


def vc_of(entry: Entry) -> int | None:
    """The number of the VC that an entry is about, if it is about one."""
    number: int | None = getattr(entry, "vc", None)
    return number


def failure(error: Exception | None) -> FailureValue | None:
    """An exception, or none, as entries hold it."""
    return None if error is None else FailureValue.of(error)
