"""MemoryPressure: what happens when the memory of all buffers is spent.

Reading pauses. Conversations that hold next to nothing still read, from a reserve: who takes what
he asked for is served on, whatever others have heaped up. If pausing does not help soon, who does
not move is closed, those first whose end frees most, as many as it takes; then those who hold
nothing but the memory of TLS and are idle, the longest idle first; then those who do move, one at a
time.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.units import rounded_size

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.iobuffer import IOBuffer
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.scheduler import Action

TICK_S = 0.05
"""How often a spent budget is looked at: soon for a person, seldom for the processor."""

PATIENCE_S = 0.5
"""How long reading pauses before who has not moved meanwhile is closed: what a retransmission or
two take. Of those who move, one is closed each time twice that has passed."""

MODEST = 16 * 1024
"""Bytes that a conversation may hold and still read from the reserve, as many at a time."""

FEW = 8
"""A conversation of more VCs than this has no claim to the reserve: it is not one client's."""

NAMED = 5
"""So many of those who are closed at a time are logged by their names."""


class Laggard(NamedTuple):
    """Who would be closed of a conversation, and what that would free."""

    vc: NetVConnection
    moves: bool
    size: int
    idle_since: float | None
    """When its conversation moved last, where it holds nothing but the memory of TLS."""


class MemoryPressure(Continuation):
    """Keeps the VCs that may not read, until there is room; makes room when that takes too long."""

    __slots__ = ("_closed_at", "_look_at", "_paused", "_tick")

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, Mutex())
        self._paused: dict[NetVConnection, None] = {}
        self._look_at = 0.0  # when patience is at an end
        self._closed_at = 0.0  # when somebody was closed, or reading began to pause
        self._tick: Action | None = None

    def read_allowance(self, vc: NetVConnection, room: int) -> int:
        """The budget is spent: how much of `room` a VC may read for all that.

        0: nothing now. It is listed again when it may.
        """
        memory = self.engine.memory
        if self._tick is None:
            now = self.engine.now
            self._closed_at, self._look_at = now, now + PATIENCE_S
            self._tick = self.engine.schedule_every(TICK_S, self, Event.TIMEOUT, None)
        if memory.used < memory.budget and len(vc.mutex.vcs) <= FEW and _held_for(vc) < MODEST:
            return min(room, MODEST)
        self._paused[vc] = None
        return 0

    def handle_event(self, key: Hashable, data: object) -> None:
        """Let reading go on, or make room when patience is at an end."""
        memory = self.engine.memory
        patient = self.engine.now < self._look_at
        # Not at the brim, where it would only swing; but nobody is closed for what is not spent.
        if memory.used < memory.resume_below or not (patient or memory.spent):
            self._resume()
        elif not patient:
            self._make_room(memory.used - memory.resume_below)

    def _resume(self) -> None:
        starved, self._paused = self._paused, {}
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        for vc in starved:
            vc.reenable(True)

    def _make_room(self, wanted: int) -> None:
        """Close those who do not move, until so much is free; or the largest of those who do."""
        now = self.engine.now
        laggards = sorted(self._laggards(), key=_order)
        closed = []
        for laggard in laggards:
            if not laggard.moves and wanted > 0:
                closed.append(laggard)
                wanted -= laggard.size
        if not closed and now >= self._closed_at + 2 * PATIENCE_S:
            closed = [laggard for laggard in laggards if laggard.idle_since is None][:1]
        self._close(closed)
        if closed:
            self._closed_at = now
        self._look_at = now + (TICK_S if closed else PATIENCE_S)

    def _laggards(self) -> list[Laggard]:
        """Who would be closed of each conversation that holds anything."""
        vcs = [vc for vc in self.engine.vcs if not vc.closed and vc.error is None]
        drained = {vc.write_vio.buffer for vc in vcs if vc.write_vio is not None}
        worst: dict[Mutex, tuple[bool, int, NetVConnection]] = {}
        held: dict[Mutex, dict[IOBuffer, None]] = {}
        tls: dict[Mutex, int] = {}
        moved: dict[Mutex, float] = {}
        for vc in vcs:
            mutex, write, read = vc.mutex, vc.write_vio, vc.read_vio
            tls[mutex] = tls.get(mutex, 0) + vc.tls_size
            moved[mutex] = max(moved.get(mutex, 0.0), vc.moved_at)
            owed = 0 if write is None else write.reader.avail
            if owed and write is not None:
                held.setdefault(mutex, {})[write.buffer] = None
            brought = 0
            if read is not None and read.buffer not in drained:  # it has no VC to go to
                held.setdefault(mutex, {})[read.buffer] = None
                brought = read.buffer.held
            # Who does not take is to blame for what is not taken from others.
            rank = owed > 0, owed or brought
            if mutex not in worst or rank > worst[mutex][:2]:
                worst[mutex] = *rank, vc
        still = self.engine.now - PATIENCE_S
        laggards = []
        for mutex, (_, _, vc) in worst.items():
            size = mutex.held_bytes + sum(buffer.held for buffer in held.get(mutex, ()))
            # Of a conversation of many, closing one does not free the others' TLS.
            freed = size + (tls[mutex] if len(mutex.vcs) <= FEW else vc.tls_size)
            if size:
                laggards.append(Laggard(vc, vc.moved_at > still, freed, None))
            elif freed:
                laggards.append(Laggard(vc, moved[mutex] > still, freed, moved[mutex]))
        return laggards

    def _close(self, laggards: list[Laggard]) -> None:
        log = self.engine.log
        for number, (vc, _, size, idle_since) in enumerate(laggards):
            held = rounded_size(size)
            if number < NAMED:
                what = f"it holds {held}"
                if idle_since is not None:
                    what += f" for TLS, idle for {self.engine.now - idle_since:.1f} s"
                log("warning", f"{vc.name}: closed, memory is spent and {what}")
            vc.fail(MemoryError(f"the memory budget is spent, and {held} wait here"))
        rest = laggards[NAMED:]
        if rest:
            held = rounded_size(sum(laggard.size for laggard in rest))
            log("warning", f"memory is spent: {len(rest)} more are closed, that hold {held}")


def _order(laggard: Laggard) -> tuple[bool, float]:
    """Who holds data comes first, the largest first; then who is idle, the longest idle first."""
    idle_since = laggard.idle_since
    return (False, -laggard.size) if idle_since is None else (True, idle_since)


def _held_for(vc: NetVConnection) -> int:
    """Bytes that are held for a VC's conversation: in its VCs' buffers, and beside them.

    What TLS takes is not in it: it is no sign of excess.
    """
    buffers: dict[IOBuffer, None] = {}
    for each in vc.mutex.vcs:
        for vio in (each.read_vio, each.write_vio):
            if vio is not None:
                buffers[vio.buffer] = None
    return vc.mutex.held_bytes + sum(buffer.held for buffer in buffers)
