"""BusExchange: between the doors of the bus and the BusMessages sources of one process.

A door (the control plane's, or a test) calls `deliver`; drivers call the rest. It is used by
several threads.

Tested in tests/drivers/test_bus_exchange.py and tests/conformance/test_sources.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from vcproxy.engine.bus_messages import KEPT, NO_ROUTE, BusMessages, BusReceived

if TYPE_CHECKING:
    from vcproxy.engine.commands import SendBusReply

Feed: TypeAlias = Callable[[Callable[[], None]], None]
"""Makes a call in the next turn of a driver. Any thread may call it."""


class OpenBusMessages:
    """An open source, and the messages that wait while it is disabled."""

    def __init__(self, source: BusMessages, feed: Feed) -> None:
        self.source = source
        self._feed = feed
        self._enabled = True
        self._waiting: list[BusReceived] = []

    def deliver(self, text: str, route: int) -> bool:
        """Pass in a message; return False if too many wait."""
        event = BusReceived(self.source.name, text, route)
        if self._enabled:
            self._feed(partial(self.source.engine.happened, self.source, event))
        elif len(self._waiting) < KEPT:
            self._waiting.append(event)
        else:
            return False
        return True

    def enable(self, enabled: bool) -> None:
        """Pass messages in from now on, first those that wait; or let them wait."""
        self._enabled = enabled
        if enabled:
            waiting, self._waiting = self._waiting, []
            for event in waiting:
                self._feed(partial(self.source.engine.happened, self.source, event))


class BusExchange:
    """The open BusMessages sources of all engines of a process."""

    def __init__(self) -> None:
        self.on_reply: Callable[[int, str], None] = _drop
        """Called with the route and the text of each reply, on the thread of the engine that
        replies. Set by the door."""
        self._lock = Lock()
        self._open: dict[BusMessages, OpenBusMessages] = {}

    # -- for doors ---------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of the sources, sorted, each once: of programs and listeners."""
        return sorted({source.name for source in self._sources()})

    def commands(self, name: str = "") -> list[str]:
        """Return the commands and patterns of all sources, or of those of one name, sorted."""
        found = {c for s in self._sources() if name in ("", s.name) for c in s.commands}
        return sorted(found)

    def takes(self, command: str, name: str = "") -> bool:
        """Return whether a source, or one of that name, takes a command."""
        return any(name in ("", s.name) and s.takes(command) for s in self._sources())

    def describe(self, command: str, name: str = "") -> str:
        """Return one line about a command or pattern, of the first source, or the first of that
        name, that takes it; "": there is none."""
        found = (s.describe(command) for s in self._sources() if name in ("", s.name))
        return next(filter(None, found), "")

    def deliver(self, command: str, text: str, *, route: int = NO_ROUTE, name: str = "") -> int:
        """Pass a message in text form to the sources that take its command; return how many do.

        `name`: only to those of that name. Sources are passed messages in the order of `deliver`.
        """
        with self._lock:
            return sum(
                each.deliver(text, route)
                for each in self._open.values()
                if name in ("", each.source.name) and each.source.takes(command)
            )

    # -- for drivers -------------------------------------------------------------------------

    def open(self, source: BusMessages, feed: Feed) -> None:
        """Add a source. `feed` is that of its driver."""
        with self._lock:
            self._open[source] = OpenBusMessages(source, feed)

    def close(self, source: BusMessages) -> None:
        """Remove a source, if it is there."""
        with self._lock:
            self._open.pop(source, None)

    def watch(self, source: BusMessages, enabled: bool) -> None:
        """Let the messages of a source wait, or pass in those that wait and all later ones."""
        with self._lock:
            if source in self._open:
                self._open[source].enable(enabled)

    def reply(self, command: SendBusReply) -> None:
        """Pass a reply to the door."""
        self.on_reply(command.route, command.text)

    def _sources(self) -> list[BusMessages]:
        with self._lock:
            return list(self._open)


def _drop(route: int, text: str) -> None:
    """Drop a reply: there is no door."""
