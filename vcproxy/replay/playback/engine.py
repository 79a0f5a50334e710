"""ReplayEngine: a recording engine driven by a ReplayDriver, and the comparison of its frames.

Tested in tests/e2e/test_recording.py.
"""

from __future__ import annotations

import pdb
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from vcproxy.engine.commands import Command, Spread
from vcproxy.engine.net import NetVConnection
from vcproxy.machine.state import label
from vcproxy.replay.format.frames import Octets
from vcproxy.replay.record.recorded import RecordedListener, RecordedVC
from vcproxy.replay.record.recorder import RecordingEngine, command_text

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.scheduler import Ticket
    from vcproxy.replay.format.writer import Writer


class FrameComparison:
    """A FrameSink that compares frames with those of a log, and copies them to a writer, if any."""

    def __init__(self, copy: Writer | None = None) -> None:
        self.out = bytearray()
        self.expected = b""
        """The payload of the frame that is being replayed."""
        self.cuts = 0
        """The number of frames that have ended."""
        self.same = True
        """Whether the last frame was equal to the expected one."""
        self._copy = copy

    def flush(self) -> None:
        """See FrameSink."""

    def cut(self, tail: Octets = b"") -> None:
        """See FrameSink."""
        out, expected = self.out, self.expected
        if out:
            self.cuts += 1
            self.same = (
                len(out) + len(tail) == len(expected)
                and expected.startswith(out)
                and expected.endswith(tail)
            )
            if self._copy is not None:
                self._copy.out += out
                self._copy.cut(tail)
            out.clear()


class Callback(NamedTuple):
    """A callback: the time and number of its delivery, and the continuation."""

    now: float
    number: int
    cont: Continuation


class ReplayEngine(RecordingEngine):
    """A recording engine that gives access to its VCs, listeners, callbacks and commands."""

    __slots__ = (
        "_running",
        "breaks",
        "deliveries",
        "numbered_listeners",
        "numbered_vcs",
        "spreads",
        "texts",
    )

    def __init__(self, name: str, frames: FrameComparison, **keywords: Any) -> None:
        self._running: Continuation | None = None
        self.deliveries: list[Callback] = []
        """The callbacks of the current turn and of the previous one."""
        self.numbered_vcs: dict[int, RecordedVC] = {}
        """Its VCs, by number."""
        self.numbered_listeners: dict[int, RecordedListener] = {}
        """Its listeners, by number."""
        self.spreads: Iterator[Spread] = iter(())
        """The Spread commands among those taken last."""
        self.texts: list[str] = []
        """The texts of the commands taken last."""
        self.breaks = ""
        """The key of the events before which the debugger is started."""
        super().__init__(name, frames, **keywords)

    @property
    def running(self) -> Continuation | None:
        """See Engine."""
        return self._running

    @running.setter
    def running(self, cont: Continuation | None) -> None:
        self._running = cont
        if cont is not None:
            self.deliveries.append(Callback(self.now, self.delivery, cont))

    def note_vc(self, vc: RecordedVC) -> None:
        """See RecordingEngine."""
        self.numbered_vcs[vc.number] = vc

    def number_listener(self, listener: RecordedListener) -> int:
        """See RecordingEngine."""
        number = super().number_listener(listener)
        self.numbered_listeners[number] = listener
        return number

    def record_moves(self) -> None:
        """See RecordingEngine. In a replay, the recorded entry triggers it instead."""

    def tick(self, now: float) -> None:
        """See Engine."""
        self.deliveries = [each for each in self.deliveries if each.now == self.now]
        super().tick(now)

    def remove(self, vc: NetVConnection) -> None:
        """See Engine."""
        assert isinstance(vc, RecordedVC)
        self.numbered_vcs.pop(vc.number, None)
        super().remove(vc)

    def take_commands(self) -> list[Command]:
        """See Engine."""
        self.texts = [command_text(command) for command in self.commands]
        taken = super().take_commands()
        self.spreads = iter([command for command in taken if isinstance(command, Spread)])
        return taken

    def _deliver(self, ticket: Ticket, key: Hashable, data: object) -> None:
        if self.breaks and self.breaks in (label(key), str(key)):
            # pdb.set_trace() is not used: from Python 3.14 on, its `q` asks for confirmation and
            # ends the process. `key` and `data` are the next delivery.
            pdb.Pdb().set_trace()
        super()._deliver(ticket, key, data)
