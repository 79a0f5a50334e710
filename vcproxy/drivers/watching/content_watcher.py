"""ContentWatcher: the files of one ContentWatch source, read again after something happened.

Tested in tests/conformance/test_content_watch.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.sources.content_watch import ContentChanged, ContentRead
from vcproxy.engine.sources.file_changes import FileChanged, FileEvent, Watch

if TYPE_CHECKING:
    from vcproxy.drivers.watching.file_watcher import FileWatcher
    from vcproxy.drivers.watching.path_watch import PathWatch
    from vcproxy.engine.sources.content_watch import ContentWatch

KINDS = (
    FileEvent.ATTRIBUTES  # it may have become readable
    | FileEvent.WRITE
    | FileEvent.UPDATED
    | FileEvent.CREATED
    | FileEvent.DELETED
)

LONGEST_WAIT = 10
"""Times `quiet_s`: files that are written to all the time are read nevertheless."""

READING = 5
"""Times `quiet_s`: how long after a report its files are being read, at most. One to which
something happens meanwhile is reported again, also if it has the content of that report: another
may have been read in between."""

AGAIN_S = 10.0
"""How often files are read that cannot be watched. An operator can wait so long for a reload, and
to read some files costs nothing then."""


class ContentWatcher:
    """Waits until nothing more happens to the files, reads them, and reports what has changed.

    See Opened.
    """

    def __init__(self, watcher: FileWatcher, source: ContentWatch) -> None:
        self._watcher = watcher
        self._host = watcher.host
        self._source = source
        self._watches: dict[str, PathWatch] = {}
        self._digests: dict[str, str] | None = None  # None: not read since `watch`
        self._since: float | None = None  # when what it has not read yet began to happen
        self._last = 0.0  # when something happened last
        self._reported: dict[str, float] = {}  # when each file was reported last
        self._doubtful: set[str] = set()  # what was read of them may be something else
        self._unwatched = False  # whether some file cannot be watched
        self._polling = False
        self._reading = False
        self._enabled = True
        self._closed = False

    def watch(self, paths: tuple[str, ...]) -> None:
        """Watch these files and no others; read them at once."""
        for path in [each for each in self._watches if each not in paths]:
            self._watches.pop(path).close()
        kept, self._watches = self._watches, {}
        for path in paths:
            if path in kept:
                self._watches[path] = kept[path]
            else:
                name, changed = self._source.name, partial(self._changed, path)
                watch = self._watcher.watch(name, Watch(path, KINDS), self._told, changed)
                self._watches[path] = watch
                watch.begin()
        self._digests = None
        self._read()

    def lost_sync(self) -> None:
        """Something may have happened to the files."""
        for path in self._reported:
            self._doubt(path)
        self._something_happened()

    def set_watched(self, watched: bool) -> None:
        """Report what has changed, or not until it is enabled."""
        self._enabled = watched
        self._check()

    def close(self) -> None:
        """Stop watching."""
        self._closed = True
        for watch in self._watches.values():
            watch.close()
        self._watcher.closed(self)

    # -- inside ------------------------------------------------------------------------------

    def _told(self, event: FileChanged) -> None:
        if event.kinds & FileEvent.ERROR:
            self._unwatched = True
        self._changed(event.path)

    def _changed(self, path: str) -> None:
        """Something has happened to a file, or may have."""
        self._doubt(path)
        self._something_happened()

    def _doubt(self, path: str) -> None:
        """If a file is being read by those to whom it was reported, it is to be read again."""
        reported = self._reported.get(path)
        now = self._host.engine.now
        if reported is not None and now - reported < READING * self._source.quiet_s:
            self._doubtful.add(path)

    def _something_happened(self) -> None:
        self._last = self._host.engine.now
        if self._since is None:
            self._since = self._last
            self._host.after(self._source.quiet_s, self._check)

    def _check(self) -> None:
        """Read the files if something happened to them, and nothing more since a while."""
        if self._closed or not self._enabled or self._reading or self._since is None:
            return
        quiet_s = self._source.quiet_s
        due = min(self._last + quiet_s, self._since + LONGEST_WAIT * quiet_s)
        left = due - self._host.engine.now
        if left > 0:
            self._host.after(left, self._check)
        else:
            self._since = None
            self._read()

    def _read(self) -> None:
        if not self._reading:
            self._reading = True
            paths = tuple(self._watches)
            doubtful, self._doubtful = self._doubtful, set()
            self._host.read_digests(paths, partial(self._done, paths, doubtful))

    def _done(self, paths: tuple[str, ...], doubtful: set[str], digests: dict[str, str]) -> None:
        self._reading = False
        if self._closed:
            return
        if paths != tuple(self._watches):
            self._read()
            return
        last, self._digests = self._digests, digests
        name, happened = self._source.name, self._host.engine.happened
        if last is None:
            self._reported = dict.fromkeys(paths, self._host.engine.now)
            happened(self._source, ContentRead(name, digests))
        else:
            changed = tuple(
                path for path in paths if digests[path] != last[path] or path in doubtful
            )
            if changed:
                self._reported |= dict.fromkeys(changed, self._host.engine.now)
                happened(self._source, ContentChanged(name, changed))
        if self._unwatched and not self._polling:
            self._polling = True
            self._host.after(AGAIN_S, self._read_again)
        self._check()

    def _read_again(self) -> None:
        """Try to watch what could not be watched, and read the files."""
        self._polling = self._unwatched = False
        if not self._closed:
            for watch in self._watches.values():
                watch.retry()
            self._read()
