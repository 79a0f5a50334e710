"""Continuation: whoever is called back, under one mutex."""

from __future__ import annotations

from collections.abc import Hashable
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
