"""ReplayDriver: the driver of a replay, which makes the recorded calls into an engine.

The engine records again, and each of these entries is compared with the log. So everything that
the engine does is compared, and the first difference ends the replay.
Tested in tests/e2e/test_recording.py.
"""

from __future__ import annotations

from bdb import BdbQuit
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from vcproxy.engine.address import Address
from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.peer_certificate import PeerCertificate
from vcproxy.replay.format import entries as e
from vcproxy.replay.format.values import DataclassValue
from vcproxy.replay.format.varint import BrokenOctets, Cursor
from vcproxy.replay.format.writer import LARGE
from vcproxy.replay.playback.divergence import Divergence, report, shown, without_content
from vcproxy.replay.record.recorded import RecordedListener, RecordedOutgoing, RecordedVC
from vcproxy.replay.record.recorder import RecordingEngine

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.file_range import FileRange
    from vcproxy.replay.format.reader import RecordingLog
    from vcproxy.replay.playback.engine import FrameComparison, ReplayEngine


class ReplayedProxy(Protocol):
    """The parts of the proxy outside the engine, which are replayed as well."""

    def serve(self, entry: e.ServeEntry) -> e.ServeEntry:
        """Apply a configuration; return the entry with the host's answers."""

    def signalled(self, entry: e.SignalledEntry) -> None:
        """Notify programs of a signal."""

    def changed(self, entry: e.ChangedEntry) -> None:
        """Make a change of an operator."""


class ReplayDriver:
    """Makes the calls of a log, one at each `step`. Nothing else calls the engine."""

    def __init__(
        self,
        log: RecordingLog,
        engine: ReplayEngine,
        frames: FrameComparison,
        proxy: ReplayedProxy,
    ) -> None:
        self.engine = engine
        self.done = 0
        """The number of the last step."""
        self.offset = 0
        """The position of its frame in the file, in bytes."""
        self._comparison = frames
        self._proxy = proxy
        self._redacted = "redacted" in log.header.marks
        self._log = log
        self._frames = log.payloads(lambda: self.done + 1)
        self._cursor = Cursor(b"")  # in the current frame
        self._act: dict[type[e.Entry], Callable[[Any], object]] = {
            e.ClockEntry: lambda entry: engine.clock(entry.now),
            e.TimeOfDayEntry: lambda entry: engine.time_of_day(entry.seconds),
            e.RunEntry: lambda _: engine.run(),
            e.CommandsEntry: lambda _: engine.take_commands(),
            e.ServeEntry: lambda entry: engine.record(proxy.serve(entry)),
            e.SignalledEntry: self._signalled,
            e.ChangedEntry: self._changed,
            e.StoppedEntry: engine.record,
            e.MovedEntry: lambda _: RecordingEngine.record_moves(engine),
            e.AdmitsEntry: lambda entry: self._listener(entry).admits(),
            e.CountAcceptedEntry: lambda entry: self._listener(entry).count_accepted(),
            e.DroppedEntry: lambda entry: self._listener(entry).dropped(engine),
            e.AcceptedEntry: self._accepted,
            e.AcceptFailedEntry: self._accept_failed,
            e.IntroducedEntry: lambda entry: self._vc(entry).introduced(entry.data),
            e.PresentedEntry: lambda entry: self._vc(entry).presented(
                PeerCertificate(*entry.certificate)
            ),
            e.EstablishedEntry: lambda entry: self._vc(entry).established(*entry[1:]),
            e.NoReadEntry: lambda entry: self._vc(entry).begin_read(),
            e.WouldBlockEntry: lambda entry: self._reading(entry).would_block(),
            e.ReceivedEntry: lambda entry: self._reading(entry).received(self._data(entry)),
            e.PassedEntry: self._passed,
            e.SpreadReadEntry: self._spread_read,
            e.NoWriteEntry: lambda entry: self._vc(entry).begin_write(),
            e.SentEntry: self._sent,
            e.AgainEntry: lambda entry: self._vc(entry).again(entry.reads),
            e.EndedEntry: lambda entry: self._vc(entry).ended(
                entry.error and entry.error.to_exception()
            ),
            e.BrokeEntry: lambda entry: self._vc(entry).broke(entry.error.to_exception()),
            e.FailedEntry: lambda entry: self._vc(entry).failed(entry.error.to_exception()),
            e.GoneEntry: lambda entry: self._vc(entry).gone(),
            e.ResolvedEntry: self._resolved,
            e.RefusedEntry: self._refused,
            e.ConnectedEntry: self._connected,
            e.SpreadEntry: self._spread,
            e.MakeRoomEntry: lambda _: engine.make_room(),
            e.CalledEntry: self._called,
            e.HappenedEntry: self._happened,
            e.BlockedEntry: self._blocked,
        }

    def step(self) -> bool:
        """Make the next call; False at the end of the log. Raises Divergence, LogError."""
        cursor, comparison = self._cursor, self._comparison
        content = cursor.data
        place = cursor.place
        if place == len(content):
            del cursor, content  # free their memory before the next frame is read
            if not self._next_frame():
                return False
            cursor = self._cursor
            content, place = cursor.data, 0
        entry: e.Entry
        try:
            if content[place] == _PASSED:
                # Fast path for by far the most frequent entry. It takes half the time.
                cursor.place += 1
                entry = passed = e.decode_passed(cursor)
                vc = self.engine.numbered_vcs.get(passed.vc)
                if vc is not None and len(passed.data) < LARGE and _begin_read(vc):
                    sink = self.engine.numbered_vcs.get(passed.sink)
                    if sink is not None and vc.direct_sink is sink:
                        self.done += 1
                        comparison.out += content[place : cursor.place]
                        _pass(vc, passed.data or EMPTY, passed.taken)
                        return True
                    _would_block(vc)
            elif content[place] == _PASSED_SHARED:
                cursor.place += 1
                entry = e.decode_passed(cursor, shared=True)
            else:
                entry = e.decode(cursor)
        except BrokenOctets as error:
            raise self._log.broken(self.offset, self.done + 1, error) from None
        self.done += 1
        mark, cuts = len(comparison.out), comparison.cuts
        try:
            self._act[type(entry)](entry)
        except BdbQuit:
            raise Divergence(f"step {self.done}: quit in the debugger") from None
        except Exception as error:
            raise Divergence(self._report(entry, str(error))) from error
        if comparison.cuts > cuts:
            if not (comparison.same or self._redacted):
                raise Divergence(self._report(entry, "different entries in this frame"))
            return True
        done = bytes(comparison.out[mark:])
        if done != content[place : cursor.place] and not (
            self._redacted and without_content(_read(done)) == without_content(entry)
        ):
            raise Divergence(self._report(entry, shown(_read(done))))
        return True

    def _next_frame(self) -> bool:
        """Advance to the next frame. Return False at the end of the log."""
        self._comparison.cut()
        self._comparison.expected = b""
        self._cursor = Cursor(b"")
        frame = next(self._frames, None)
        if frame is None:
            return False
        self.offset, _, self._comparison.expected = frame
        self._cursor = Cursor(self._comparison.expected)
        return True

    # -- objects by number -------------------------------------------------------------------

    def _vc(self, entry: Any) -> RecordedVC:
        try:
            return self.engine.numbered_vcs[entry.vc]
        except KeyError:
            raise LookupError(f"there is no VC {entry.vc}") from None

    def _listener(self, entry: Any) -> RecordedListener:
        try:
            return self.engine.numbered_listeners[entry.listener]
        except KeyError:
            raise LookupError(f"there is no listener {entry.listener}") from None

    def _outgoing(self, entry: Any) -> RecordedOutgoing:
        vc = self._vc(entry)
        if vc.outgoing is None:
            raise LookupError(f"VC {entry.vc} is not a connection to a server")
        return RecordedOutgoing(vc.outgoing)

    # -- calls -------------------------------------------------------------------------------

    def _signalled(self, entry: e.SignalledEntry) -> None:
        self.engine.record(entry)
        self.engine.write_ahead()
        self._proxy.signalled(entry)

    def _changed(self, entry: e.ChangedEntry) -> None:
        self.engine.record(entry)
        self.engine.write_ahead()
        self._proxy.changed(entry)

    def _accepted(self, entry: e.AcceptedEntry) -> None:
        self.engine.accepted(
            self._listener(entry),
            _PORT,
            entry.peer,
            secure=entry.secure,
            message_oriented=entry.message_oriented,
            local=entry.local,
        )

    def _accept_failed(self, entry: e.AcceptFailedEntry) -> None:
        self.engine.accept_failed(self._listener(entry), entry.error.to_exception())

    def _reading(self, entry: Any) -> RecordedVC:
        vc = self._vc(entry)
        if not vc.begin_read():
            raise LookupError("the VC does not read")
        return vc

    def _data(self, entry: e.ReceivedEntry | e.PassedEntry | e.SpreadReadEntry) -> Block:
        """Return the recorded data. If it was in the shared read buffer, it is put there again."""
        if not entry.shared:
            return entry.data or EMPTY
        view = self.engine.memory.scratch[: len(entry.data)]
        view[:] = entry.data
        return view

    def _passed(self, entry: e.PassedEntry) -> None:
        vc = self._reading(entry)
        if vc.direct_sink is None:
            raise LookupError("the VC does not pass data to another VC")
        vc.passed(self._data(entry), entry.taken)

    def _spread_read(self, entry: e.SpreadReadEntry) -> None:
        vc = self._reading(entry)
        if vc.fan is None:
            raise LookupError("the VC does not read for a fan")
        vc.spread(self._data(entry), self._short(entry.short))

    def _short(self, short: e.Short) -> list[tuple[NetVConnection, int]]:
        return [(self.engine.numbered_vcs[number], count) for number, count in short]

    def _sent(self, entry: e.SentEntry) -> None:
        vc = self._vc(entry)
        views = vc.begin_write()
        if views is None:
            raise LookupError("the VC does not write")
        vc.sent(min(entry.size, sum(map(len, views))))

    def _resolved(self, entry: e.ResolvedEntry) -> None:
        addresses = [Address.parse(address) for address in entry.addresses]
        error = None if entry.error is None else entry.error.to_exception()
        self._outgoing(entry).resolved(addresses, error)

    def _refused(self, entry: e.RefusedEntry) -> None:
        address = Address.parse(entry.address)
        self._outgoing(entry).refused(address, entry.error.to_exception())

    def _connected(self, entry: e.ConnectedEntry) -> None:
        address = Address.parse(entry.address)
        self._outgoing(entry).connected(address, _PORT, lambda: entry.local, entry.peer)

    def _spread(self, entry: e.SpreadEntry) -> None:
        command = next(self.engine.spreads, None)
        if command is None:
            raise LookupError("there is no Spread command")
        blocks = command.fan.begin()
        if blocks is not None:
            size = sum(map(len, blocks))
            command.fan.sent(size, self._short(entry.short))

    def _called(self, entry: e.CalledEntry) -> None:
        value = entry.value.rebuild() if isinstance(entry.value, DataclassValue) else entry.value
        error = None if entry.error is None else entry.error.to_exception()
        self.engine.called(entry.number, value, error)

    def _happened(self, entry: e.HappenedEntry) -> None:
        source = self.engine.sources.get(entry.source)
        if source is None or not isinstance(entry.event, DataclassValue):
            raise LookupError(f"there is no source {entry.source} with such events")
        self.engine.happened(source, entry.event.rebuild())

    def _blocked(self, entry: e.BlockedEntry) -> None:
        for delivery in self.engine.deliveries:
            if (delivery.now, delivery.number) == (entry.since, entry.delivery):
                self.engine.blocked(delivery.cont, (delivery.now, delivery.number))
                return
        raise LookupError("no callback was running then")

    def _report(self, entry: e.Entry, here: str) -> str:
        if isinstance(entry, e.PassedEntry):
            entry = entry._replace(data=bytes(entry.data))  # the data may be a view
        return report(self.done, entry, here, self.engine, self._redacted)


_PASSED, _PASSED_SHARED = e.PASSED, e.PASSED | e.SHARED
_begin_read, _pass = NetVConnection.begin_read, NetVConnection.passed
_would_block = NetVConnection.would_block


class _NoPort:
    """Placeholder for the port of a recorded connection."""

    spliceable = False

    def read(self) -> None:
        """Never called in a replay."""

    def write(self) -> None:
        """Never called in a replay."""

    def push(self, data: Block) -> int:
        """Never called in a replay."""
        return 0

    def expect_files(self) -> None:
        """Do nothing: the log has how much was sent of each range."""

    def push_file(self, piece: FileRange) -> int:
        """Never called in a replay."""
        return 0

    def close(self, abort: bool) -> None:
        """Never called in a replay."""


_PORT = _NoPort()


def _read(done: bytes) -> e.Entry | None:
    try:
        return e.decode(Cursor(done)) if done else None
    except BrokenOctets:
        return None
