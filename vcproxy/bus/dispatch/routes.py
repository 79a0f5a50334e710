"""Routes: the ways back to the senders of messages whose replies come later.

Tested in tests/control/test_bus_door.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vcproxy.bus.message.bus_message import BusMessage

KEPT: Final = 1000
"""Ways that are kept. Nothing says that a message will not be answered any more, so the oldest way
is dropped for a new one: a plugin that replies after a thousand further messages is too late."""


class Routes:
    """Ways back, by number."""

    def __init__(self) -> None:
        self._ways: dict[int, Callable[[BusMessage], object]] = {}
        self._last = 0

    def add(self, send_back: Callable[[BusMessage], object]) -> int:
        """Return the number of a way back. It is never 0."""
        if len(self._ways) >= KEPT:
            del self._ways[next(iter(self._ways))]
        self._last += 1
        self._ways[self._last] = send_back
        return self._last

    def get(self, route: int) -> Callable[[BusMessage], object] | None:
        """Return a way back, which stays; None: there is none any more."""
        return self._ways.get(route)
