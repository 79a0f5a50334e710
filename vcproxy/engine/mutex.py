"""Mutex: the lock of one conversation, which no engine ever waits for.

As Traffic Server's ProxyMutex it is re-entrant, and net threads only try it. What happens when it
is taken differs: there the event is tried again after 10 ms; here it is parked on the mutex and
posted when the mutex is released, so no thread blocks or spins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.event_dispatcher import EventDispatcher
    from vcproxy.engine.vconnection import VConnection


class LockNotHeld(RuntimeError):
    """A method other than `reenable()` was called without holding the mutex it needs."""


class _Current(threading.local):
    """The engine that this OS thread is running: in simulation one thread runs several."""

    engine: EventDispatcher | None = None
    looping: EventDispatcher | None = None
    """The engine whose driver runs on this thread until it is stopped."""

    def give_way(self) -> None:
        """Let that engine go on, if there is one, after a turn of another engine: one that is about
        to get a thread of its own."""
        if self.looping is not None:
            self.engine = self.looping


current = _Current()

_FIRST_PARKED = threading.Lock()
"""Held to create a mutex's list of parked events, because two threads may park the first event at
the same time."""


class Mutex:
    """A re-entrant try-lock, owned by an engine.

    `ended` is set when the conversation under it has failed: no event is delivered any more.
    """

    __slots__ = ("depth", "ended", "held_bytes", "lock", "owner", "parked", "vcs")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.parked: list[tuple[EventDispatcher, Callable[[], None]]] | None = None
        self.owner: EventDispatcher | None = None
        self.ended = False
        self.held_bytes = 0
        """Bytes held for the conversation outside the buffers of its VCs: see HeldMemory."""
        self.vcs: dict[VConnection, None] = {}
        """The open VCs of the conversation, of any kind and engine, in the order they joined."""

    @property
    def held(self) -> bool:
        """Whether the engine that runs in this thread holds it."""
        return self.owner is not None and self.owner is current.engine

    def require(self, verb: str) -> None:
        """Raise LockNotHeld, naming the method, unless this engine holds the mutex."""
        if self.owner is None or self.owner is not current.engine:
            raise LockNotHeld(
                f"{verb} needs the mutex of its conversation, and this engine does not hold it; "
                "from another conversation's callback only reenable() may be called"
            )

    def try_acquire(self, engine: EventDispatcher) -> bool:
        """Take the mutex if it is free or the engine has it already; never wait."""
        if self.owner is engine:
            self.depth += 1
            return True
        if self.lock.acquire(False):
            self.owner = engine
            self.depth = 1
            return True
        return False

    def release(self, engine: EventDispatcher) -> None:
        """Undo one `try_acquire`; the last release posts what was parked."""
        if self.depth > 1:
            self.depth -= 1
            return
        self.depth = 0
        self.owner = None
        self.lock.release()
        if self.parked:
            self.post_parked()

    def park(self, engine: EventDispatcher, retry: Callable[[], None]) -> None:
        """Post `retry` to the engine's inbox when the mutex is released."""
        if self.parked is None:
            with _FIRST_PARKED:
                if self.parked is None:
                    self.parked = []
        self.parked.append((engine, retry))
        # The owner may have released the mutex before it could see the new entry.
        if self.try_acquire(engine):
            self.release(engine)

    def post_parked(self) -> None:
        """Post the parked events. To be called after each release of the lock."""
        while self.parked:
            try:
                engine, retry = self.parked.pop(0)
            except IndexError:  # another thread has posted the last one
                return
            engine.inbox.post(retry)

    def hold(self, engine: EventDispatcher) -> Hold:
        """Hold the mutex in a `with` block, outside of a delivery: new connections, start-up,
        tests. It must be free.
        """
        return Hold(self, engine)


class Hold:
    """The context manager of `Mutex.hold`. Written out because it runs for each connection."""

    __slots__ = ("_before", "_engine", "_mutex")

    def __init__(self, mutex: Mutex, engine: EventDispatcher) -> None:
        self._mutex = mutex
        self._engine = engine
        self._before: EventDispatcher | None = None

    def __enter__(self) -> None:
        self._before, current.engine = current.engine, self._engine
        if not self._mutex.try_acquire(self._engine):
            current.engine = self._before
            raise LockNotHeld("hold() found the mutex taken by another engine")

    def __exit__(self, *error: object) -> None:
        self._mutex.release(self._engine)
        current.engine = self._before
