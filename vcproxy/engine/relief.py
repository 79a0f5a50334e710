"""Relief: what happens when the memory of all buffers is spent."""

from __future__ import annotations

from collections.abc import Container, Hashable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.units import about

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.iobuffer import IOBuffer
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action

TICK_S = 0.05
"""How often a spent budget is looked at: soon for a person, seldom for the processor."""

PATIENCE_S = 1.0
"""How long the budget may stay spent before the largest laggard is closed."""


class Relief(Continuation):
    """Keeps the VCs that may not read, until there is room; makes room when that takes too long.

    Reading pauses first. If that does not help within `PATIENCE_S`, the VC that most bytes wait
    for is closed and logged, whatever the policy of its tunnel, and so on until it does.
    """

    __slots__ = ("_since", "_starved", "_tick")

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, Mutex())
        self._starved: dict[NetVConnection, None] = {}
        self._since = 0.0
        self._tick: Action | None = None

    def starve(self, vc: NetVConnection) -> None:
        """A VC may not read. It is listed again when it may."""
        self._starved[vc] = None
        if self._tick is None:
            self._since = self.engine.now
            self._tick = self.engine.schedule_every(TICK_S, self, Event.TIMEOUT, None)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Let reading go on, or close the largest laggard when patience is at an end."""
        memory = self.engine.memory
        patient = self.engine.now - self._since < PATIENCE_S
        # Not at the brim, where it would only swing; but nobody is closed for what is not spent.
        if memory.used < memory.budget * 3 // 4 or not (patient or memory.spent):
            self._resume()
        elif not patient:
            self._close_laggard()
            self._since = self.engine.now

    def _resume(self) -> None:
        starved, self._starved = self._starved, {}
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        for vc in starved:
            vc.look_again(True)

    def _close_laggard(self) -> None:
        engine = self.engine
        vcs = [vc for vc in engine.vcs if not vc.closed and vc.error is None]
        drained = {vc.write_vio.buffer for vc in vcs if vc.write_vio is not None}
        held_by = partial(_held_by, drained)
        laggard = max(vcs, key=held_by, default=None)
        if laggard is not None and held_by(laggard):
            held = about(held_by(laggard))
            engine.log("warning", f"{laggard.name}: closed, memory is spent and it holds {held}")
            laggard.fail(MemoryError(f"the memory budget is spent, and {held} wait here"))


def _held_by(drained: Container[IOBuffer], vc: NetVConnection) -> int:
    """Bytes that wait for a VC to take them, or that came from it and have no VC to go to."""
    write, read = vc.write_vio, vc.read_vio
    behind = 0 if write is None else write.reader.avail
    hoarded = 0 if read is None or read.buffer in drained else read.buffer.held
    return max(behind, hoarded)
