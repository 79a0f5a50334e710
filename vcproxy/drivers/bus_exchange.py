"""BusExchange: between the doors of the bus and the BusMessages sources of one process.

A door (the control plane's, or a test) calls `deliver`; drivers call the rest. It is used by
several threads.

Tested in tests/drivers/test_bus_exchange.py and tests/conformance/test_sources.py.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from vcproxy.engine.sources.bus_messages import KEPT, KEPT_SIZE, NO_ROUTE, BusMessages, BusReceived

if TYPE_CHECKING:
    from vcproxy.engine.commands import SendBusReply

Feed: TypeAlias = Callable[[Callable[[], None]], None]
"""Makes a call in the next turn of a driver. Any thread may call it."""


class OpenBusMessages:
    """An open source, and the messages that wait for its engine, or until it is enabled."""

    def __init__(self, source: BusMessages, feed: Feed, lock: Lock) -> None:
        """`lock` is held in all calls, except those of `feed`."""
        self.source = source
        self._feed = feed
        self._lock = lock
        self._enabled = True
        self._fed = False  # whether the engine will take what waits, in its next turn
        self._waiting: list[BusReceived] = []
        self._size = 0

    def deliver(self, text: str, route: int) -> bool:
        """Let a message wait for the engine; return False if too many do."""
        size = self._size + len(text)
        if len(self._waiting) >= KEPT or size > KEPT_SIZE:
            return False
        self._waiting.append(BusReceived(self.source.name, text, route))
        self._size = size
        self._wake()
        return True

    def enable(self, enabled: bool) -> None:
        """Pass messages in from now on, first those that wait; or let them wait."""
        self._enabled = enabled
        self._wake()

    def _wake(self) -> None:
        if self._enabled and self._waiting and not self._fed:
            self._fed = True
            self._feed(self._pass_in)

    def _pass_in(self) -> None:
        """Pass in what waits. Called by the driver."""
        with self._lock:
            self._fed = False
            if not self._enabled:
                return
            waiting, self._waiting, self._size = self._waiting, [], 0
        for event in waiting:
            self.source.engine.happened(self.source, event)


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

    def usages(self, name: str = "") -> list[str]:
        """Return a line about each of `commands`, sorted: the command or pattern first."""
        found = {
            source.describe(command)
            for source in self._sources()
            if name in ("", source.name)
            for command in source.commands
        }
        return sorted(found)

    def deliver(self, command: str, text: str, *, route: int = NO_ROUTE, name: str = "") -> int:
        """Pass a message in text form to the sources that take its command; return to how many.

        `name`: only to those of that name. Sources are passed messages in the order of `deliver`.
        One for which too many wait already gets no more.
        """
        with self._lock:
            return sum(
                each.deliver(text, route)
                for each in self._open.values()
                if name in ("", each.source.name) and each.source.takes(command)
            )

    # -- for drivers -------------------------------------------------------------------------

    def open(self, source: BusMessages, feed: Feed) -> TakenMessages:
        """Add a source. `feed` is that of its driver."""
        with self._lock:
            self._open[source] = OpenBusMessages(source, feed, self._lock)
        return TakenMessages(self, source)

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


class TakenMessages:
    """What a driver has opened for a BusMessages source."""

    def __init__(self, exchange: BusExchange, source: BusMessages) -> None:
        self._exchange = exchange
        self._source = source

    def set_watched(self, watched: bool) -> None:
        """Pass messages in, or let them wait."""
        self._exchange.watch(self._source, watched)

    def close(self) -> None:
        """Take no more."""
        self._exchange.close(self._source)


def _drop(route: int, text: str) -> None:
    """Drop a reply: there is no door."""
