"""MemoryPressure: what happens when the memory budget is used up.

Reading pauses. Conversations that hold little still read, from a reserve: so clients that read
their answers are served even if others use up the budget. If pausing does not help soon,
connections are closed: first those that move nothing, the largest first, as many as needed; then
those that hold only the memory of TLS and are idle, the longest idle first; then those that move,
one at a time.
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
"""The interval of the checks while reading pauses."""

PAUSE_S = 0.5
"""How long reading pauses before connections that have not moved meanwhile are closed: the time of
one or two retransmissions. Of those that move, one is closed after twice that time."""

RESERVE_SHARE = 16 * 1024
"""A conversation that holds fewer bytes may read from the reserve, at most this many at a time."""

ONE_CLIENT = 8
"""A conversation of more VCs than this may not use the reserve: it has many clients."""

LOGGED = 5
"""How many of the connections closed at a time are logged one by one."""


class Candidate(NamedTuple):
    """The VC to close in one conversation, and the bytes that closing it would free."""

    vc: NetVConnection
    moves: bool
    size: int
    idle_since: float | None
    """When the conversation last moved bytes, if it holds only the memory of TLS; else None."""


class MemoryPressure(Continuation):
    """Pauses the VCs that may not read, and closes connections when that does not help."""

    __slots__ = ("_closed_at", "_look_at", "_paused", "_tick")

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, Mutex())
        self._paused: dict[NetVConnection, None] = {}
        self._look_at = 0.0  # when connections may be closed
        self._closed_at = 0.0  # when one was closed last, or reading paused
        self._tick: Action | None = None

    def begin(self) -> None:
        """Begin to check, because the budget is used up."""
        if self._tick is None:
            now = self.engine.now
            self._closed_at, self._look_at = now, now + PAUSE_S
            self._tick = self.engine.schedule_every(TICK_S, self, Event.TIMEOUT, None)

    def read_allowance(self, vc: NetVConnection, room: int) -> int:
        """Return how much of `room` a VC may read although the budget is used up.

        0: not now; the VC is listed again when it may read.
        """
        memory = self.engine.memory
        self.begin()
        if (
            memory.used < memory.budget
            and len(vc.mutex.vcs) <= ONE_CLIENT
            and _held_for(vc) < RESERVE_SHARE
        ):
            return min(room, RESERVE_SHARE)
        self._paused[vc] = None
        return 0

    def handle_event(self, key: Hashable, data: object) -> None:
        """Resume reading, or close connections if the pause has not helped."""
        memory = self.engine.memory
        patient = self.engine.now < self._look_at
        # If memory is just below the limit, reading does not resume, and nothing is closed.
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
        """Close VCs that do not move until `wanted` bytes are free; else the largest that moves."""
        now = self.engine.now
        candidates = sorted(self._candidates(), key=_order)
        closed = []
        for candidate in candidates:
            if not candidate.moves and wanted > 0:
                closed.append(candidate)
                wanted -= candidate.size
        if not closed and now >= self._closed_at + 2 * PAUSE_S:
            closed = [candidate for candidate in candidates if candidate.idle_since is None][:1]
        self._close(closed)
        if closed:
            self._closed_at = now
        self._look_at = now + (TICK_S if closed else PAUSE_S)

    def _candidates(self) -> list[Candidate]:
        """Return the candidate of each conversation that holds anything."""
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
            unsent = 0 if write is None else write.reader.avail
            if unsent and write is not None:
                held.setdefault(mutex, {})[write.buffer] = None
            received = 0
            if read is not None and read.buffer not in drained:  # no VC sends its data
                held.setdefault(mutex, {})[read.buffer] = None
                received = read.buffer.held
            # A VC that does not take its data is closed before the VC from which the data was read.
            rank = unsent > 0, unsent or received
            if mutex not in worst or rank > worst[mutex][:2]:
                worst[mutex] = *rank, vc
        recently = self.engine.now - PAUSE_S
        candidates = []
        for mutex, (_, _, vc) in worst.items():
            size = mutex.held_bytes + sum(buffer.held for buffer in held.get(mutex, ()))
            # In a conversation of many clients, closing one does not free the TLS of others.
            freed = size + (tls[mutex] if len(mutex.vcs) <= ONE_CLIENT else vc.tls_size)
            if size:
                candidates.append(Candidate(vc, vc.moved_at > recently, freed, None))
            elif freed:
                candidates.append(Candidate(vc, moved[mutex] > recently, freed, moved[mutex]))
        return candidates

    def _close(self, candidates: list[Candidate]) -> None:
        log = self.engine.log
        for number, (vc, _, size, idle_since) in enumerate(candidates):
            held = rounded_size(size)
            if number < LOGGED:
                what = f"it holds {held}"
                if idle_since is not None:
                    what += f" for TLS, idle for {self.engine.now - idle_since:.1f} s"
                log("warning", f"{vc.name}: closed: the memory budget is used up, and {what}")
            vc.fail(MemoryError(f"the memory budget is used up, and it holds {held}"))
        rest = candidates[LOGGED:]
        if rest:
            held = rounded_size(sum(candidate.size for candidate in rest))
            text = f"{len(rest)} more connections are closed, which hold {held}"
            log("warning", f"the memory budget is used up: {text}")


def _order(candidate: Candidate) -> tuple[bool, float]:
    """Return a sort key: those that hold data, the largest first; then the longest idle."""
    idle_since = candidate.idle_since
    return (False, -candidate.size) if idle_since is None else (True, idle_since)


def _held_for(vc: NetVConnection) -> int:
    """Return the bytes held for a VC's conversation: in its VCs' buffers, and outside of them.

    The memory of TLS is not included: it does not show that a client is slow.
    """
    buffers: dict[IOBuffer, None] = {}
    for each in vc.mutex.vcs:
        for vio in (each.read_vio, each.write_vio):
            if vio is not None:
                buffers[vio.buffer] = None
    return vc.mutex.held_bytes + sum(buffer.held for buffer in buffers)
