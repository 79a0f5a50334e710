"""AnnotatedLog: the entries of a log, with their conversations and the full output of the proxy.

Tested in tests/replay/log/test_show.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from vcproxy.replay.format import entries as e
from vcproxy.replay.format.reader import Frame, LogError, RecordingLog
from vcproxy.replay.playback.divergence import Divergence
from vcproxy.replay.playback.engine import ReplayEngine
from vcproxy.replay.playback.replay import Replay, differences
from vcproxy.replay.record.recorded import RecordedVC

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.commands import Command, Spread
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.fan import Fan
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.net import NetVConnection
    from vcproxy.replay.playback.engine import FrameComparison


class AnnotatedEntry(NamedTuple):
    """An entry with its position, time and conversation."""

    step: int
    frame: int
    """The number of its frame, from 0."""
    at: float
    """Seconds since the log began."""
    entry: e.Entry
    """The entry, with the full output if it is known."""
    vc: int
    """The VC of the entry; 0: none."""
    conversation: int
    """Its conversation; 0: none."""
    spread: tuple[tuple[int, bytes], ...] = ()
    """Data sent to several VCs at once, if known: each VC and its bytes."""


class AnnotatingVC(RecordedVC):
    """A VC that stores the sent data in its engine."""

    __slots__ = ()

    engine: AnnotatingEngine

    def sent(self, count: int) -> None:
        """See NetVConnection."""
        whole = b"".join(map(bytes, self._views))
        self.engine.sent = whole[:count] if len(whole) != count else whole
        super().sent(count)

    def spread(self, data: Block, short: Sequence[tuple[NetVConnection, int]]) -> None:
        """See NetVConnection."""
        assert self.fan is not None
        self.engine.spread = _taken(self.fan.level, bytes(data), short)
        super().spread(data, short)


class AnnotatingFan:
    """A fan that stores the sent data in its engine."""

    def __init__(self, fan: Fan, engine: AnnotatingEngine) -> None:
        self._fan = fan
        self._engine = engine
        self._data = b""

    def begin(self) -> list[Block] | None:
        """See Fan."""
        blocks = self._fan.begin()
        self._data = b"".join(map(bytes, blocks or ()))
        return blocks

    def sent(self, size: int, short: Sequence[tuple[NetVConnection, int]]) -> None:
        """See Fan."""
        self._engine.spread = _taken(self._fan.level, self._data[:size], short)
        self._fan.sent(size, short)


def _taken(
    level: Iterable[NetVConnection], data: bytes, short: Sequence[tuple[NetVConnection, int]]
) -> tuple[tuple[int, bytes], ...]:
    """Return what each VC at the fan's level has taken: all of the data, or its beginning."""
    counts = dict(short)
    taken = [(cast(RecordedVC, vc).number, data[: counts.get(vc, len(data))]) for vc in level]
    return tuple(each for each in taken if each[1])


class AnnotatingSpread(NamedTuple):
    """A Spread command with an AnnotatingFan."""

    fan: AnnotatingFan


class AnnotatingEngine(ReplayEngine):
    """A replay engine that stores what was sent, and the conversations of its VCs and calls."""

    connection = AnnotatingVC

    __slots__ = ("_mutexes", "calls", "conversation_of", "sent", "spread")

    def __init__(self, name: str, frames: FrameComparison, **keywords: Any) -> None:
        self.sent = b""
        """The data that was sent last."""
        self.spread: tuple[tuple[int, bytes], ...] = ()
        """What was sent to several VCs last. See AnnotatedEntry."""
        self.conversation_of: dict[int, int] = {}
        """The conversation of each VC: the number of its first VC."""
        self.calls: dict[int, int] = {}
        """The conversations of calls without a result so far."""
        self._mutexes: dict[Mutex, int] = {}
        super().__init__(name, frames, **keywords)

    def note_vc(self, vc: RecordedVC) -> None:
        """See RecordingEngine."""
        super().note_vc(vc)
        self.conversation_of[vc.number] = self._mutexes.setdefault(vc.mutex, vc.number)

    def take_commands(self) -> list[Command]:
        """See Engine."""
        taken = super().take_commands()
        watched = [AnnotatingSpread(AnnotatingFan(each.fan, self)) for each in self.spreads]
        self.spreads = iter(cast("list[Spread]", watched))
        return taken

    def conversation_of_source(self, number: int) -> int:
        """Return the conversation of an open source; 0: none, or none with a VC."""
        source = self.sources.get(number)
        cont = None if source is None else source.cont
        return 0 if cont is None else self._mutexes.get(cont.mutex, 0)

    def remove(self, vc: NetVConnection) -> None:
        """See Engine."""
        super().remove(vc)
        if not vc.mutex.vcs:
            self._mutexes.pop(vc.mutex, None)

    def call(
        self,
        cont: Continuation,
        fn: Callable[..., object],
        *args: object,
        deadline: float = 0.0,
        shares: float | None = None,
    ) -> None:
        """See Engine. A shared call is one of the conversation that was the first."""
        super().call(cont, fn, *args, deadline=deadline, shares=shares)
        self.calls.setdefault(self.pending_calls.last, self._mutexes.get(cont.mutex, 0))


class AnnotatingReplay(Replay):
    """A replay with an AnnotatingEngine."""

    kind = AnnotatingEngine
    engine: AnnotatingEngine


class LogPass:
    """A log that can be read repeatedly, up to the first place where it is broken."""

    def __init__(self, path: Path) -> None:
        """Read the header. Raises LogError."""
        self.log = RecordingLog(path)
        self.done = 0
        """The number of the last step."""
        self.offset = 0
        """The position of its frame in the file."""
        self.problem = ""
        """Why the reading stopped before the end of the run; empty: it did not."""
        self.sound = True
        """Whether the file is readable to its end, except for an incomplete last turn."""

    def frames(self) -> Iterator[Frame]:
        """Yield the frames."""
        self.problem, self.sound = "", True
        try:
            for frame in self.log:
                self.offset, self.done = frame.offset, frame.step
                yield frame
        except LogError as error:
            self.end(str(error))
        if self.log.truncated:
            self.problem = f"{self.log.path}: the last turn is incomplete and is ignored"

    def __iter__(self) -> Iterator[AnnotatedEntry]:
        """Yield the entries, not annotated."""
        for number, frame in enumerate(self.frames()):
            for step, entry in enumerate(frame.entries, frame.step):
                yield AnnotatedEntry(step, number, 0.0, entry, 0, 0)

    def end(self, problem: str) -> None:
        """Record that the log cannot be read further."""
        self.problem, self.sound = problem, False


class AnnotatedLog(LogPass):
    """A log whose entries are annotated: it is replayed while it is read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.conversation_of: dict[int, int] = {}
        """The current conversation of each VC: the number of its first VC; 0: none, as for a server
        connection that is kept for further requests."""
        self._replay: AnnotatingReplay | None = None
        self._calls: dict[int, int] = {}
        self._clients: Iterator[int] = iter(())
        self._only = 0  # the conversation, if a log with a mark has only one

    def __iter__(self) -> Iterator[AnnotatedEntry]:
        """Yield the entries, annotated."""
        try:
            self._begin()
            yield from self._entries()
        except LogError as error:  # the replay failed
            self.end(str(error))
        except Divergence as error:
            self.end(
                "\n".join(
                    [
                        f"{self.log.path}: {error}",
                        *differences(self.log),
                        f"the log is not shown from step {self.done} on",
                    ]
                )
            )

    def _begin(self) -> None:
        header = self.log.header
        if header.conversations:
            self._calls = {}
            self._clients = iter(sorted(client for client, *_ in header.conversations if client))
            self.conversation_of = {}
            for vcs in header.conversations:
                numbers = [number for number in vcs if number]
                self.conversation_of |= dict.fromkeys(numbers, min(numbers))
                self._only = 0 if len(header.conversations) > 1 else min(numbers)
        else:
            self._replay = AnnotatingReplay(self.log.path)
            self.conversation_of = self._replay.engine.conversation_of
            self._calls = self._replay.engine.calls

    def _entries(self) -> Iterator[AnnotatedEntry]:
        begin: float | None = None
        now = 0.0
        replay = self._replay
        following = 0
        for number, frame in enumerate(self.frames()):
            for step, read in enumerate(frame.entries, frame.step):
                self.done = step
                if isinstance(read, e.AcceptedEntry):
                    following = (
                        next(self._clients, 0) if replay is None else replay.engine.vc_count + 1
                    )
                vc, conversation = e.vc_of(read) or 0, 0
                if isinstance(read, e.HappenedEntry):  # it may be the last of the source
                    conversation = self._of_source(read.source)
                entry = read if replay is None else self._replayed(replay, read)
                if isinstance(entry, e.ClockEntry):
                    begin = entry.now if begin is None else begin
                    now = entry.now - begin
                elif isinstance(entry, e.AcceptedEntry):
                    vc = following
                elif isinstance(entry, e.CalledEntry):
                    conversation = self._calls.pop(entry.number, self._only)
                conversation = conversation or self.conversation_of.get(vc, 0)
                spread = (
                    self._spread if isinstance(entry, e.SpreadEntry | e.SpreadReadEntry) else ()
                )
                yield AnnotatedEntry(step, number, now, entry, vc, conversation, spread)
                if isinstance(entry, e.MovedEntry):
                    self.conversation_of |= dict(entry.moves)

    def _of_source(self, number: int) -> int:
        replay = self._replay
        return self._only if replay is None else replay.engine.conversation_of_source(number)

    @property
    def _spread(self) -> tuple[tuple[int, bytes], ...]:
        return () if self._replay is None else self._replay.engine.spread

    def _replayed(self, replay: AnnotatingReplay, entry: e.Entry) -> e.Entry:
        """Replay an entry; return it with the output in full."""
        replay.engine.spread = ()
        replay.step()
        if isinstance(entry, e.SentEntry):
            return entry._replace(data=replay.engine.sent)
        if isinstance(entry, e.CommandsEntry):
            return entry._replace(texts=tuple(replay.engine.texts))
        return entry

    def of_command(self, text: str) -> tuple[str, int, str]:
        """Return the verb of a command's text, its VC (0: none), and the rest."""
        verb, _, rest = text.partition(" ")
        number, _, rest = rest.partition(" ")
        about = verb in _OF_VCS and number.isdecimal()
        return verb, int(number) if about else 0, rest

    def with_number(self, text: str, number: int) -> str:
        """Return a command's text with the VC number replaced."""
        verb, vc, rest = self.of_command(text)
        return f"{verb} {number} {rest}".rstrip() if vc else text

    def conversation_of_command(self, text: str) -> int:
        """Return the conversation of a command; 0: none."""
        verb, vc, _ = self.of_command(text)
        if verb == "Call":
            return self._calls.get(int(text.split(" ", 2)[1]), self._only)
        return self.conversation_of.get(vc, 0)


_OF_VCS = frozenset({"Resolve", "Connect", "Subscribe", "ShutdownWrite", "Close"})
