"""Mutex: what one conversation shares, owned by an engine and never waited for.

Traffic Server's ProxyMutex: re-entrant, and on the net threads only ever tried. What happens on a
miss differs: there the event comes back after 10 ms; here it is parked on the mutex, and whoever
releases the mutex posts it, so nobody blocks and nobody spins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.event_dispatcher import EventDispatcher
    from vcproxy.engine.vconnection import VConnection


class LockNotHeld(RuntimeError):
    """A verb other than `reenable()` was used without holding the mutex it needs."""


class _Current(threading.local):
    """Which engine this OS thread is running just now: in simulation one thread runs several."""

    engine: EventDispatcher | None = None


current = _Current()


class Mutex:
    """A re-entrant try-lock that an engine owns.

    `ended` is set when the conversation under it has crashed: no event is delivered any more.
    """

    __slots__ = ("depth", "ended", "held_bytes", "lock", "owner", "parked", "vcs")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.parked: list[tuple[EventDispatcher, Callable[[], None]]] = []
        self.owner: EventDispatcher | None = None
        self.ended = False
        self.held_bytes = 0
        """Bytes that are held for the conversation beside the buffers of its VCs: see Keep."""
        self.vcs: dict[VConnection, None] = {}
        """The open VCs of the conversation, whatever their kind and engine, as they joined."""

    @property
    def held(self) -> bool:
        """Whether the engine that runs in this thread holds it."""
        return self.owner is not None and self.owner is current.engine

    def require(self, verb: str) -> None:
        """Raise LockNotHeld, naming the verb, unless this engine holds the mutex."""
        if self.owner is None or self.owner is not current.engine:
            raise LockNotHeld(
                f"{verb} needs the mutex of its conversation, and this engine does not hold it; "
                "from another conversation's callback only reenable() may be called"
            )

    def try_acquire(self, engine: EventDispatcher) -> bool:
        """Take it for the engine if it is free or already the engine's; never wait."""
        if self.owner is engine:
            self.depth += 1
            return True
        if self.lock.acquire(False):
            self.owner = engine
            self.depth = 1
            return True
        return False

    def release(self, engine: EventDispatcher) -> None:
        """Undo one `try_acquire`; the last one posts what was parked meanwhile."""
        self.depth -= 1
        if self.depth == 0:
            self.owner = None
            self.lock.release()
            if self.parked:
                self.post_parked()

    def park(self, engine: EventDispatcher, retry: Callable[[], None]) -> None:
        """Have `retry` posted to the engine's inbox once the mutex is released."""
        self.parked.append((engine, retry))
        # The owner may have released between the miss and the line above, without seeing it.
        if self.try_acquire(engine):
            self.release(engine)

    def post_parked(self) -> None:
        """Post what was parked: owed by whoever has released the lock."""
        while self.parked:
            try:
                engine, retry = self.parked.pop(0)
            except IndexError:  # another releasing thread was quicker
                return
            engine.inbox.post(retry)

    @contextmanager
    def hold(self, engine: EventDispatcher) -> Iterator[None]:
        """Hold it for code outside an engine's turn: start-up and tests. It must be free."""
        before, current.engine = current.engine, engine
        if not self.try_acquire(engine):
            current.engine = before
            raise LockNotHeld("hold() found the mutex taken by another engine")
        try:
            yield
        finally:
            self.release(engine)
            current.engine = before
