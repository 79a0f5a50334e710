"""Recorded VCs, listeners, connection attempts and fans: the parts of a RecordingEngine.

Each method records its entry, then does what its base class does. The entries of reads and writes
are encoded by hand, in the form that `entries` declares, because they are on the hot path.
RecordingEngine creates these objects, and they write to it.
Tested in tests/e2e/test_recording.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

from vcproxy.engine.blocks import EMPTY, part
from vcproxy.engine.file_range import FileRange
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection
from vcproxy.replay.format.entries import (
    OPCODES,
    AdmitsEntry,
    AgainEntry,
    BrokeEntry,
    ConnectedEntry,
    CountAcceptedEntry,
    DroppedEntry,
    EndedEntry,
    EstablishedEntry,
    FailedEntry,
    GoneEntry,
    IntroducedEntry,
    NoReadEntry,
    NoWriteEntry,
    PassedEntry,
    PresentedEntry,
    ReceivedEntry,
    RefusedEntry,
    ResolvedEntry,
    SentEntry,
    Short,
    SpreadEntry,
    SpreadReadEntry,
    WouldBlockEntry,
    failure,
    high,
)
from vcproxy.replay.format.values import FailureValue, pack
from vcproxy.replay.format.varint import varint
from vcproxy.replay.format.writer import LARGE, LONGEST

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.fan import Fan
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.outgoing import Outgoing
    from vcproxy.engine.peer_certificate import PeerCertificate
    from vcproxy.engine.port import Port
    from vcproxy.replay.record.recorder import RecordingEngine

_NO_READ, _WOULD_BLOCK, _RECEIVED = (
    OPCODES[NoReadEntry],
    OPCODES[WouldBlockEntry],
    OPCODES[ReceivedEntry],
)
_PASSED, _NO_WRITE, _SENT = OPCODES[PassedEntry], OPCODES[NoWriteEntry], OPCODES[SentEntry]
_SPREAD_READ = OPCODES[SpreadReadEntry]
_NONE = pack(None)


class RecordedVC(NetVConnection):
    """A NetVConnection that records."""

    __slots__ = ("_key", "_views")

    engine: RecordingEngine

    def __init__(self, engine: Engine, mutex: Mutex, name: str) -> None:
        super().__init__(engine, mutex, name)
        self.engine.note_vc(self)
        self._key = varint(self.number)
        self._views: list[Block] = []

    def _note_data(self, opcode: bytes, head: bytes, data: Block) -> None:
        """Record an entry that ends with data."""
        recorder = self.engine
        if type(data) is memoryview:
            opcode = high(opcode)
        elif data is EMPTY:
            data = b""
        if recorder.redact is not None:
            data = recorder.redact(data)
        out = recorder.out
        size = len(data)
        out += opcode + head + varint(size)
        if size >= LARGE:
            recorder.frames.cut(data)
        else:
            out += data
            if len(out) > LONGEST:
                recorder.frames.cut()

    def begin_read(self) -> int:
        """See NetVConnection."""
        room = super().begin_read()
        if not room:
            self.engine.out += _NO_READ + self._key
        return room

    def would_block(self) -> None:
        """See NetVConnection."""
        self.engine.out += _WOULD_BLOCK + self._key
        super().would_block()

    def received(self, data: Block) -> None:
        """See NetVConnection."""
        self._note_data(_RECEIVED, self._key, data)
        super().received(data)

    def passed(self, data: Block, count: int) -> None:
        """See NetVConnection."""
        sink = cast(RecordedVC, self.direct_sink)
        self._note_data(_PASSED, self._key + sink._key + varint(count), data)
        super().passed(data, count)

    def spread(self, data: Block, short: Sequence[tuple[NetVConnection, int]]) -> None:
        """See NetVConnection."""
        self._note_data(_SPREAD_READ, self._key + pack(_short(short)), data)
        super().spread(data, short)

    def begin_write(self) -> list[Block] | None:
        """See NetVConnection."""
        views = super().begin_write()
        if views is None:
            self.engine.out += _NO_WRITE + self._key
        else:
            self._views = views
        return views

    def sent(self, count: int) -> None:
        """See NetVConnection."""
        recorder = self.engine
        digest, left = 0, count
        full: list[bytes] | None = [] if recorder.full else None
        for view in self._views:
            if left < len(view):
                view = part(view, 0, left)
            if isinstance(view, FileRange):
                left -= len(view)
                digest = crc32(view.text, digest)
                if full is not None:
                    full.append(bytes(len(view)))
                continue
            digest = crc32(view, digest)
            left -= len(view)
            if full is not None:
                full.append(bytes(view))
            if not left:
                break
        self._views = []
        data = _NONE
        if recorder.redact is not None:
            digest = 0
        if full is not None:
            whole: Block = b"".join(full)
            data = pack(bytes(whole if recorder.redact is None else recorder.redact(whole)))
        out = recorder.out
        out += _SENT + self._key + varint(count) + varint(digest) + data
        if len(out) > LONGEST:
            recorder.frames.cut()
        super().sent(count)

    def introduced(self, data: bytes) -> None:
        """See NetVConnection."""
        self.engine.record(IntroducedEntry(self.number, data))
        super().introduced(data)

    def presented(self, certificate: PeerCertificate) -> None:
        """See NetVConnection."""
        self.engine.record(PresentedEntry(self.number, tuple(certificate)))
        super().presented(certificate)

    def established(
        self, sni: str | None = None, alpn: str | None = None, certificate: str | None = None
    ) -> None:
        """See NetVConnection."""
        self.engine.record(EstablishedEntry(self.number, sni, alpn, certificate))
        super().established(sni, alpn, certificate)

    def again(self, reads: bool) -> None:
        """See NetVConnection."""
        self.engine.record(AgainEntry(self.number, reads))
        super().again(reads)

    def ended(self, error: Exception | None = None) -> None:
        """See NetVConnection."""
        self.engine.record(EndedEntry(self.number, failure(error)))
        super().ended(error)

    def broke(self, error: Exception) -> None:
        """See NetVConnection."""
        self.engine.record(BrokeEntry(self.number, FailureValue.of(error)))
        super().broke(error)

    def failed(self, error: Exception) -> None:
        """See NetVConnection."""
        self.engine.record(FailedEntry(self.number, FailureValue.of(error)))
        super().failed(error)

    def join(self, mutex: Mutex) -> None:
        """See VConnection."""
        if mutex is not self.mutex and self.outgoing is not None:
            self.engine.moved[self] = None
        super().join(mutex)

    def gone(self) -> None:
        """See NetVConnection."""
        self.engine.record(GoneEntry(self.number))
        super().gone()


RecordedVC.__name__ = RecordedVC.__qualname__ = NetVConnection.__name__  # the name in log lines


class RecordedListener(Listener):
    """A Listener that records. It gets its number when it is created."""

    __slots__ = ("number",)

    engine: RecordingEngine

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.number = self.engine.number_listener(self)
        """Its number in the log."""

    def admits(self) -> bool:
        """See Listener."""
        answer = super().admits()
        self.engine.record(AdmitsEntry(self.number, answer))
        return answer

    def count_accepted(self) -> None:
        """See Listener."""
        self.engine.record(CountAcceptedEntry(self.number))
        super().count_accepted()

    def dropped(self, engine: Engine) -> None:
        """See Listener."""
        self.engine.record(DroppedEntry(self.number))
        super().dropped(engine)


class RecordedOutgoing:
    """What drivers use of an Outgoing; the driver's answers are recorded."""

    __slots__ = (
        "_outgoing",
        "_recorder",
        "introduction",
        "server_name",
        "target",
        "tcp",
        "tls",
        "vc",
    )

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self.vc = cast(RecordedVC, outgoing.vc)
        self._recorder = self.vc.engine
        self.target = outgoing.target
        self.tls = outgoing.tls
        self.tcp = outgoing.tcp
        self.introduction = outgoing.introduction
        self.server_name = outgoing.server_name

    def resolved(self, addresses: Sequence[Address], error: Exception | None = None) -> None:
        """See Outgoing."""
        found = tuple(map(str, addresses))
        client, target, requester = client_of(self.vc), str(self.target), self._outgoing.opener_name
        self._recorder.record(
            ResolvedEntry(self.vc.number, found, failure(error), client, target, requester)
        )
        self._outgoing.resolved(addresses, error)

    def refused(self, address: Address, error: Exception) -> None:
        """See Outgoing."""
        self._recorder.record(RefusedEntry(self.vc.number, str(address), FailureValue.of(error)))
        self._outgoing.refused(address, error)

    def connected(self, address: Address, port: Port, local: Callable[[], str], peer: str) -> None:
        """See Outgoing."""
        self._recorder.record(ConnectedEntry(self.vc.number, str(address), local(), peer))
        self._outgoing.connected(address, port, local, peer)


class RecordedFan:
    """What drivers use of a Fan; the driver's calls are recorded."""

    __slots__ = ("_digest", "_fan", "_recorder")

    def __init__(self, fan: Fan) -> None:
        self._fan = fan
        self._recorder = cast("RecordingEngine", fan.engine)
        self._digest = 0

    @property
    def level(self) -> dict[NetVConnection, int]:
        """See Fan."""
        return self._fan.level

    def begin(self) -> list[Block] | None:
        """See Fan."""
        blocks = self._fan.begin()
        self._digest = 0
        if blocks is None:
            self._recorder.record(SpreadEntry(None, 0, ()))
        else:
            for block in blocks:
                self._digest = crc32(block, self._digest)
        return blocks

    def sent(self, size: int, short: Iterable[tuple[NetVConnection, int]]) -> None:
        """See Fan."""
        short = list(short)
        digest = self._digest if self._recorder.redact is None else 0
        self._recorder.record(SpreadEntry(size, digest, _short(short)))
        self._fan.sent(size, short)


def client_of(vc: NetVConnection) -> int:
    """Return the number of the client in the conversation of a VC; 0: none."""
    for each in vc.mutex.vcs:
        if isinstance(each, RecordedVC) and each.listener is not None:
            return each.number
    return 0


def _short(short: Sequence[tuple[NetVConnection, int]]) -> Short:
    return tuple((cast(RecordedVC, vc).number, count) for vc, count in short)
