"""Continuation: whoever is called back, under one mutex."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from vcproxy.engine.mutex import Mutex

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine


class Continuation:
    """An engine, a mutex, and a method that takes events.

    `handle_event` runs only on an engine that holds `mutex`. It must take a bounded step and
    return; an exception in it ends the whole conversation: every VC under the same mutex.
    """

    __slots__ = ("engine", "mutex")

    def __init__(self, engine: Engine, mutex: Mutex) -> None:
        self.engine = engine
        self.mutex = mutex

    def handle_event(self, key: Hashable, data: object) -> None:
        """Take one event. `key` is an Event, a message class or a tag; see Event for the data."""
        raise NotImplementedError

    def crashed(self, error: Exception) -> str:
        """Say for the log what led to an exception of `handle_event`: machines give history."""
        return ""


class OwnedCall(Continuation):
    """A call in somebody's conversation: under its mutex, and if it fails, the conversation ends.

    It is for `engine.schedule`, with any event.
    """

    __slots__ = ("_call", "_owner")

    def __init__(self, owner: Continuation, call: Callable[[], None]) -> None:
        super().__init__(owner.engine, owner.mutex)
        self._owner = owner
        self._call = call

    def __repr__(self) -> str:
        return repr(self._owner)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Make it."""
        self._call()

    def crashed(self, error: Exception) -> str:
        """Its owner knows what led to it."""
        return self._owner.crashed(error)
