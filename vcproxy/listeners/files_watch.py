"""FilesWatch: reloads and renewals that changes of files cause.

It watches two sets of files: those that a reload reads again, and certificates with their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.sources.content_watch import QUIET_S, ContentChanged, ContentRead, ContentWatch

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.mutex import Mutex


class FilesWatch(Continuation):
    """Calls `changed` or `renewable` when a set of files was read, first or again.

    They compare the files with those in use: a file may have changed before it was watched, and
    may have been used already.
    """

    def __init__(
        self,
        engine: Engine,
        mutex: Mutex,
        changed: Callable[[], None],
        renewable: Callable[[], None],
    ) -> None:
        """Watch no file yet.

        Args:
            engine: any; what it calls must not depend on it.
            mutex: its mutex, which is held in calls of `use`.
            changed: called for files that a reload reads again.
            renewable: called for certificates and keys.
        """
        super().__init__(engine, mutex)
        self._calls = {"configuration": changed, "certificates": renewable}
        self._sources: dict[str, ContentWatch] = {}

    def use(self, reloading: Iterable[str], renewing: Iterable[str], *, again: bool) -> None:
        """Watch these files from now on: what a reload reads again, certificates and keys.

        With `again`, files that are watched already are read and compared anew: after a reload, as
        it may have used what is not there any more, and that for a time too short to be reported.
        """
        for name, paths in (("configuration", reloading), ("certificates", renewing)):
            self._watch(name, tuple(dict.fromkeys(paths)), again)

    def _watch(self, name: str, paths: tuple[str, ...], again: bool) -> None:
        source = self._sources.get(name)
        if source is None:
            if paths:
                self._sources[name] = ContentWatch(self, name, paths)
        elif not paths:
            source.close()
            del self._sources[name]
        elif again or source.paths != paths:
            source.watch(paths)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle what a source reports."""
        match data:
            case ContentChanged(name):
                self._calls[name]()
            case ContentRead(name):  # a file may be half written: ContentChanged has waited for it
                self.engine.schedule_in(QUIET_S, self, Event.TIMEOUT, name)
            case str() if data in self._sources:
                self._calls[data]()
