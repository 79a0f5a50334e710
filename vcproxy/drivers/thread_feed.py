"""ThreadFeed: passes the events that other threads add to a ThreadMessages source into its engine.

`result_of` runs the function of an OwnThread. Both are for every driver.

Tested in tests/conformance/test_thread_sources.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from vcproxy.engine.sources.own_thread import OwnThread, ThreadDone, error_text
from vcproxy.engine.sources.thread_messages import require_plain

if TYPE_CHECKING:
    from vcproxy.engine.sources.own_thread import ThreadWork
    from vcproxy.engine.sources.thread_messages import ThreadMessages

Later: TypeAlias = Callable[[Callable[[], None]], None]
"""Makes a call in a turn of the engine. Any thread may use it."""


def do_nothing() -> None:
    """Do nothing."""


class ThreadFeed:
    """Takes one event of `waiting` for each that was added.

    An event is added before `outlet` is read, and `outlet` is set before what waits is counted: so
    each event is taken, some of them by the count and once more in vain.
    """

    def __init__(
        self,
        source: ThreadMessages,
        later: Later,
        taken: Callable[[], object] = do_nothing,
        ended: Callable[[], object] = do_nothing,
    ) -> None:
        """`taken()` is called for each event that is passed in, `ended()` after the last."""
        self._source = source
        self._later = later
        self._taken = taken
        self._ended = ended
        self._watched = True
        source.outlet = lambda: later(self._take)
        self.set_watched(True)

    def set_watched(self, watched: bool) -> None:
        """Pass events in, or let them wait."""
        self._watched = watched
        if watched:
            for _ in range(len(self._source.waiting)):
                self._later(self._take)

    def close(self) -> None:
        """Drop what waits, and what is added later."""
        self._source.outlet = None
        self._source.waiting.clear()

    def _take(self) -> None:
        source = self._source
        if self._watched and source.waiting:
            event = source.waiting.popleft()
            self._taken()
            if type(event) in source.last:
                self.close()
                self._ended()
            source.engine.happened(source, event)


def result_of(source: OwnThread, work: ThreadWork) -> ThreadDone:
    """Call the function of a source; return its last event. Code of authors may raise anything."""
    name = source.name
    try:
        value = source.function(work, *source.args)
    except BaseException as mistake:
        return ThreadDone(name, None, error_text(mistake))
    try:
        return ThreadDone(name, require_plain(value, f"what {source.detail} returns"))
    except TypeError as error:
        return ThreadDone(name, None, f"TypeError: {error}")
