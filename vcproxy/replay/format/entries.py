"""Entries: one for each call of a driver into an engine, with its result.

This module is longer than others because it is one table: a NamedTuple for each call. The fields
are encoded one after another as their types require. Only `shared` has no byte of its own: it is
the high bit of the opcode, to keep entries of small messages short. The opcode of a kind is its
index in KINDS: append new kinds at the end; at most 128 are possible.

Tested in tests/replay/test_format.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, get_type_hints

from vcproxy.replay.format.values import (
    FailureValue,
    Pairs,
    Value,
    pack,
    pack_pairs,
    unpack,
    unpack_pairs,
)
from vcproxy.replay.format.varint import BrokenOctets, Cursor, counted, double, text, varint

Short: TypeAlias = Pairs
"""The VCs of a fan that did not take all bytes, each with the number of bytes that it took."""

HEALTH_CHECK = "Check"
"""ResolvedEntry.requester of a health check."""

Listening: TypeAlias = tuple[int, str, str, str | FailureValue]
"""The number of a listener (a known name keeps its number), its name, the requested address, and
the address it is bound to or the failure."""


# -- a turn ----------------------------------------------------------------------------------


class ClockEntry(NamedTuple):
    """`engine.clock(now)`: the start of a turn."""

    now: float


class RunEntry(NamedTuple):
    """`engine.run()`. Recorded only if there are events in the queue."""


class TimeOfDayEntry(NamedTuple):
    """`engine.time_of_day(seconds)`."""

    seconds: int


class CommandsEntry(NamedTuple):
    """`engine.take_commands()`. Recorded only if it returned commands."""

    digest: int
    """CRC-32 of the commands' texts, each followed by a newline. See `recorder.command_text`."""
    texts: tuple[str, ...] | None
    """Only in a log with full outputs."""


# -- listeners -------------------------------------------------------------------------------


class ServeEntry(NamedTuple):
    """A configuration was applied: that of the header, or after a reload a new one."""

    configuration: str | None
    """The text of the configuration; None: it is the one in the header."""
    sources: dict[str, bytes] | None
    """The sources of the plugins. See Header.sources."""
    listening: tuple[Listening, ...]
    """The results of listening, one for each address that the driver did not listen on before."""


class AdmitsEntry(NamedTuple):
    """`listener.admits()`."""

    listener: int
    answer: bool


class CountAcceptedEntry(NamedTuple):
    """`listener.count_accepted()`."""

    listener: int


class AcceptedEntry(NamedTuple):
    """`engine.accepted(...)`."""

    listener: int
    peer: str
    secure: bool
    message_oriented: bool
    vc: int
    """The number of the new VC."""
    local: str


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


class PresentedEntry(NamedTuple):
    """`vc.presented(certificate)`."""

    vc: int
    certificate: Value
    """A PeerCertificate as a tuple."""


class IntroducedEntry(NamedTuple):
    """`vc.introduced(data)`: the PROXY header of the VC."""

    vc: int
    data: bytes


class NoReadEntry(NamedTuple):
    """`vc.begin_read()` returned 0."""

    vc: int


class WouldBlockEntry(NamedTuple):
    """`vc.begin_read()`, then `would_block()`."""

    vc: int


class ReceivedEntry(NamedTuple):
    """`vc.begin_read()`, then `received(data)`."""

    vc: int
    shared: bool
    """Whether the data was a view of the shared read buffer."""
    data: bytes


class PassedEntry(NamedTuple):
    """`vc.begin_read()`, then `passed(data, taken)`: the VC `sink` took `taken` bytes at once."""

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
    """`vc.begin_write()` returned None."""

    vc: int


class SentEntry(NamedTuple):
    """`vc.begin_write()`, then `sent(size)`."""

    vc: int
    size: int
    digest: int
    """CRC-32 of these bytes."""
    data: bytes | None
    """Only in a log with full outputs."""


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
    """`outgoing.resolved(addresses, error)`, for the VC of that connection."""

    vc: int
    addresses: tuple[str, ...]
    error: FailureValue | None
    client: int
    """The client whose conversation requested the connection; 0: none."""
    target: str
    """The requested address."""
    requester: str
    """The class that requested the connection; HEALTH_CHECK for a health check."""


class MovedEntry(NamedTuple):
    """After `engine.run()`: server connections have moved to other conversations."""

    moves: Short
    """Each VC, and the client of its new conversation; 0: no client, it is kept for reuse."""


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
    """`fan.begin()`, then `sent(size, short)`. If `begin()` returned None, `size` is None.

    The fan belongs to the next Spread command of the last `take_commands()`.
    """

    size: int | None
    digest: int
    """CRC-32 of the bytes that `begin()` returned."""
    short: Short


class CalledEntry(NamedTuple):
    """`engine.called(number, value, error)`."""

    number: int
    value: Value
    error: FailureValue | None
    call: str
    """The function's name and its arguments."""


class BlockedEntry(NamedTuple):
    """`engine.blocked(...)`: a callback has blocked the thread."""

    since: float
    """The time of the turn of the delivery: the current turn or the previous one."""
    delivery: Value
    """The number of the delivery in that turn, an int."""


class SignalledEntry(NamedTuple):
    """The process received a termination signal. Programs were notified of it."""

    number: int
    pid: int


class StoppedEntry(NamedTuple):
    """The run ended without an error. This is the last entry."""


class MakeRoomEntry(NamedTuple):
    """`engine.make_room()`."""


class HappenedEntry(NamedTuple):
    """`engine.happened(source, event)`."""

    source: int
    """The number of the source."""
    event: Value
    """A DataclassValue."""


class ChangedEntry(NamedTuple):
    """An operator has made one of CHANGES: see `vcproxy.control.changes`."""

    name: str
    arguments: Value
    """A dict of texts."""


Entry: TypeAlias = (
    ClockEntry
    | RunEntry
    | CommandsEntry
    | ServeEntry
    | AdmitsEntry
    | CountAcceptedEntry
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
    | HappenedEntry
    | IntroducedEntry
    | ChangedEntry
    | PresentedEntry
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
    Pairs: (pack_pairs, unpack_pairs),
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
SHARED = 128
"""The bit of the opcode of an entry that is `shared`."""
_new = tuple.__new__

OPCODES = {kind: varint(number) for number, kind in enumerate(KINDS)}
"""The first byte of each kind."""


def high(opcode: bytes) -> bytes:
    """Return the opcode of an entry that is `shared`."""
    return bytes((opcode[0] | SHARED,))


def encode(entry: Entry) -> bytes:
    """Encode an entry. Raises NotPlain for a value that is not plain data."""
    opcode, writers = _WRITERS[type(entry)]
    if getattr(entry, "shared", False):
        opcode = high(opcode)
    return opcode + b"".join([write(value) for write, value in zip(writers, entry, strict=True)])


def decode(cursor: Cursor) -> Entry:
    """Decode the next entry. Raises BrokenOctets."""
    number = cursor.octet()
    if number == PASSED:
        return decode_passed(cursor)
    cursor.high = number >= SHARED
    try:
        kind, readers = _READERS[number & ~SHARED]
    except IndexError:
        raise BrokenOctets(f"unknown entry type {number & ~SHARED}") from None
    entry: Entry = kind._make([read(cursor) for read in readers])
    return entry


def decode_passed(cursor: Cursor, shared: bool = False) -> PassedEntry:
    """Decode the fields of a PassedEntry, whose opcode is already read.

    Most entries of a log are of this kind. This special decoder takes half the time. The data of a
    `shared` entry is a view of the cursor's bytes, because a copy would take longer than everything
    else.
    """
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
        raise BrokenOctets("the data ends inside an entry") from None
    cursor.place = end = place + size
    if end > len(octets):
        raise BrokenOctets("the data ends inside an entry")
    data = memoryview(octets)[place:end] if shared else octets[place:end]
    return _new(PassedEntry, (vc, sink, taken, shared, data))


def call_name(entry: Entry) -> str:
    """Return the name of the recorded driver call, as shown in logs and errors."""
    return type(entry).__name__.removesuffix("Entry")


def vc_of(entry: Entry) -> int | None:
    """Return the number of the VC of an entry, or None if the entry has no VC."""
    number: int | None = getattr(entry, "vc", None)
    return number


def failure(error: Exception | None) -> FailureValue | None:
    """Return an exception as a FailureValue, or None for None."""
    return None if error is None else FailureValue.of(error)
