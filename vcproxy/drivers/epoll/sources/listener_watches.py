"""Listener watches of the epoll driver: an address is looked at on another thread, at intervals.

Tested in tests/conformance/test_listener_watch.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.sources.kernel_sockets import listens

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.engine.sources.listening import ListenerWatch


class WatchedListener:
    """Looks at one address."""

    def __init__(self, driver: EpollDriver, source: ListenerWatch) -> None:
        self._driver = driver
        self._source = source
        self._seen: bool | None = None
        self._round = 0  # a look that was begun in an earlier one has no effect
        self.set_watched(True)

    def set_watched(self, watched: bool) -> None:
        """Look now and at intervals, or no more."""
        self._round += 1
        if watched:
            self._look(self._round)

    def close(self) -> None:
        """Look no more."""
        self.set_watched(False)

    def _look(self, turn: int) -> None:
        if turn == self._round:
            feed = self._driver.engine.inbox.feed

            def done(value: object, error: Exception | None) -> None:
                feed(partial(self._looked, turn, value, error))

            self._driver.offload.looks.run(listens, (self._source.address,), done)

    def _looked(self, turn: int, value: object, error: Exception | None) -> None:
        source = self._source
        if turn != self._round:
            return
        listening = bool(value) and error is None
        if listening is not self._seen:
            self._seen = listening
            self._driver.engine.happened(source, source.event(listening))
        self._driver.after(source.every_s, partial(self._look, turn))
