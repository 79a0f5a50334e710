"""ThreadMessages: messages from other threads of this process, as a source.

Threads of an author, or of a client library, pass plain data to a program or a session with it.
A thread that belongs to the program from the beginning is an OwnThread.

Tested in tests/conformance/test_thread_sources.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.sources.source import PRIORITY, Source

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation

LIMIT = 1024
"""The messages that may wait: more mean that the thread is faster than its receiver. At 1 KiB each
that is 1 MiB."""

DEEPEST = 100
"""Levels of nesting of plain data: what is deeper is circular."""

_ATOMS = (type(None), bool, int, float, str, bytes)


@dataclass(frozen=True, slots=True)
class ThreadMessage:
    """A message from another thread."""

    name: str
    value: object
    """Plain data. It belongs to the receiver: the thread must not change it any more."""


class ThreadMessages(Source):
    """What other threads post. The event: ThreadMessage for each `post`, in order.

    At most `limit` messages wait to be passed in; while it is disabled they wait too.
    """

    __slots__ = ("limit", "outlet", "waiting")

    def __init__(
        self, cont: Continuation, name: str, priority: int = PRIORITY, *, limit: int = LIMIT
    ) -> None:
        self.limit = limit
        """The most messages that wait."""
        self.waiting: deque[object] = deque()
        """The events that the driver has not passed in yet, in order."""
        self.outlet: Callable[[], None] | None = None
        """To be called after each event that is added to `waiting`; set by the driver that has
        opened the source. None in a replay, which has recorded messages only."""
        super().__init__(cont, name, priority)

    def post(self, value: object) -> bool:
        """Pass a message in; return False if it is not: `limit` are waiting, or it is closed.

        Any thread may call it. `value` is plain data (None, bool, int, float, str, bytes, and
        lists, tuples and dicts of plain data), so that it can be recorded; TypeError is raised for
        anything else.
        """
        if self.cont is None or len(self.waiting) >= self.limit:
            return False
        self.add(ThreadMessage(self.name, require_plain(value, f"{self.name}: a message")))
        return True

    def add(self, event: object) -> None:
        """Add an event to `waiting`. Any thread may call it."""
        self.waiting.append(event)
        outlet = self.outlet  # read after the event is in: see ThreadFeed
        if outlet is not None:
            outlet()


def require_plain(value: object, what: str) -> object:
    """Return the value. Raises TypeError, naming `what`, if it is not plain data."""
    other = _other(value, DEEPEST)
    if other:
        raise TypeError(
            f"{what} must be plain data (None, bool, int, float, str, bytes, and lists, tuples "
            f"and dicts of them), not {other}"
        )
    return value


def _other(value: object, depth: int) -> str:
    """Return what in a value is not plain data; "": nothing."""
    kind = type(value)
    if kind in _ATOMS:
        return ""
    if not depth:
        return "nested too deeply"
    if isinstance(value, dict) and kind is dict:
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple) and kind in (list, tuple):
        parts = list(value)
    else:
        return kind.__qualname__
    return next(filter(None, (_other(part, depth - 1) for part in parts)), "")
