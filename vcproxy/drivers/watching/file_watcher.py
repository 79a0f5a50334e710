"""FileWatcher: the FileChanges and ContentWatch sources of one engine, for both drivers.

Tested in tests/conformance/test_file_changes.py and test_content_watch.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from vcproxy.drivers.watching import file_system as fs
from vcproxy.drivers.watching.content_watcher import ContentWatcher
from vcproxy.drivers.watching.inodes import Inodes
from vcproxy.drivers.watching.lookups import Lookups
from vcproxy.drivers.watching.path_watch import PathWatch
from vcproxy.engine.sources.content_watch import ContentWatch
from vcproxy.engine.sources.file_changes import FileChanged, FileEvent

if TYPE_CHECKING:
    from vcproxy.drivers.watching.file_system import FileSystem, Record
    from vcproxy.drivers.watching.inodes import Inode
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.sources.file_changes import FileChanges, Watch

SCANNED = 2048
"""Entries of directories that are scanned in one turn: some 10 ms."""

READS = 8
"""Reads in one turn, after a scan, to learn what the kernel has reported of the same."""


class WatchHost(Protocol):
    """What a driver does for its FileWatcher."""

    engine: Engine
    system: FileSystem

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call a function after a time; 0: in the next turn."""

    def read_digests(self, paths: tuple[str, ...], done: Callable[[dict[str, str]], None]) -> None:
        """Read files without delaying the engine; pass `content_digest` of each, or ""."""


def _nothing() -> None:
    """Do nothing."""


class WatchedPaths:
    """The paths of one FileChanges source. See Opened."""

    def __init__(self, watcher: FileWatcher, source: FileChanges) -> None:
        self._watcher = watcher
        self._source = source
        self._watches: dict[str, PathWatch] = {}
        self._missed: bool | None = None  # something happened while it is disabled; None: it is not

    def watch(self, asked: Watch) -> None:
        """Watch a path."""
        found = self._watches.get(asked.path)
        if found is not None:
            found.extend(asked)
        else:
            watch = self._watches[asked.path] = self._watcher.watch(
                self._source.name, asked, self._report
            )
            watch.begin()
        self._watcher.work()

    def unwatch(self, path: str) -> None:
        """Stop watching a path."""
        watch = self._watches.pop(path, None)
        if watch is not None:
            watch.close()

    def lost_sync(self) -> None:
        """Report that events are missing; find out what is to be watched now."""
        lost = FileChanged(self._source.name, "/", "", FileEvent.LOST_SYNC, fs.Q_OVERFLOW)
        self._report(lost)
        for watch in self._watches.values():
            watch.resume()

    def set_watched(self, watched: bool) -> None:
        """Report what happens, or only at the end that something has happened."""
        missed, self._missed = self._missed, None if watched else False
        if missed and watched:
            self.lost_sync()

    def close(self) -> None:
        """Stop watching."""
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        self._watcher.closed(self)

    def _report(self, event: FileChanged) -> None:
        if self._missed is None:
            self._source.engine.happened(self._source, event)
        else:
            self._missed = True


class FileWatcher:
    """Watches files for the sources of one engine, with one instance of inotify."""

    def __init__(self, host: WatchHost) -> None:
        self.host = host
        self.system = host.system
        self.log = host.engine.log
        self.inodes = Inodes(host.system)
        self.lookups = Lookups(host.system, self.inodes)
        self.cause = 0
        """The bits of the record that is the reason to look again; 0: none."""
        self.handled = 0
        """Batches of records that were handled."""
        self._opened: dict[WatchedPaths | ContentWatcher, None] = {}
        self._scans: deque[tuple[PathWatch, Iterator[None]]] = deque()
        self._scanned: dict[PathWatch, None] = {}  # since the kernel's queue was empty
        self._scheduled = False

    # -- for sources -------------------------------------------------------------------------

    def open(self, source: FileChanges | ContentWatch) -> WatchedPaths | ContentWatcher:
        """Open a source."""
        opened: WatchedPaths | ContentWatcher
        if isinstance(source, ContentWatch):
            opened = ContentWatcher(self, source)
            opened.watch(source.paths)
        else:
            opened = WatchedPaths(self, source)
        self._opened[opened] = None
        return opened

    def closed(self, opened: WatchedPaths | ContentWatcher) -> None:
        """Forget a source."""
        self._opened.pop(opened, None)

    def watch(
        self,
        name: str,
        asked: Watch,
        report: Callable[[FileChanged], None],
        looked: Callable[[], None] = _nothing,
    ) -> PathWatch:
        """Return the watch of a path, which is to be begun. See PathWatch."""
        return PathWatch(self, name, asked, report, looked)

    # -- for path watches --------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether directories remain to be scanned."""
        return bool(self._scans or self._scanned)

    def scan(self, watch: PathWatch, prefix: str, told: FileEvent) -> None:
        """Scan a directory of a watch soon."""
        self._scans.append((watch, watch.scan(prefix, told)))
        self._schedule()

    def stop_scans(self, watch: PathWatch) -> None:
        """Forget the scans of a watch."""
        if self._scans:
            self._scans = deque(each for each in self._scans if each[0] is not watch)
        self._scanned.pop(watch, None)

    # -- records -----------------------------------------------------------------------------

    def read(self) -> bool:
        """Handle the next records; return whether there were any."""
        records, _ = self.system.read()
        self._handle(records)
        if self.busy:
            self.work()
        return bool(records)

    def _read_all(self) -> bool:
        """Handle the next records; return whether the kernel has no more."""
        records, drained = self.system.read()
        self._handle(records)
        return drained

    def _handle(self, records: Iterable[Record]) -> None:
        self.handled += 1
        by_wd = self.inodes.by_wd
        for wd, mask, name in records:
            inode = by_wd.get(wd)
            if inode is None:
                if mask & fs.Q_OVERFLOW:
                    self._overflowed()
                continue  # of a watch that was removed
            for watch, prefix in inode.listeners:
                watch.happened(mask, prefix, name)
            if mask & (fs.NAMES | fs.ENDS):
                self.cause = mask
                self._changed(inode, mask, name)
                self.cause = 0

    def _changed(self, inode: Inode, mask: int, name: str) -> None:
        """Handle a record that may mean that something else is to be watched."""
        if mask & fs.IGNORED:
            self.inodes.ended(inode)
        if mask & fs.ENDS:
            for lookups in list(inode.names.values()):
                for lookup in list(lookups):
                    lookup.look_above()
            for watch, prefix in inode.listeners:
                watch.ended(mask, prefix)
        else:
            for lookup in list(inode.names.get(name, ())):
                lookup.look()

    def _overflowed(self) -> None:
        self.lookups.look()
        for opened in tuple(self._opened):
            opened.lost_sync()

    # -- scans -------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.host.after(0.0, self._continue)

    def _continue(self) -> None:
        self._scheduled = False
        self.work()

    def work(self) -> None:
        """Scan for a while; then handle what the kernel has reported meanwhile."""
        left = SCANNED
        while self._scans and left > 0:
            watch, steps = self._scans[0]
            self._scanned[watch] = None
            count = sum(1 for _ in islice(steps, left))
            if count < left and self._scans and self._scans[0][1] is steps:
                self._scans.popleft()
            left -= count + 1  # an empty directory is some work, too
        if self._scanned and any(self._read_all() for _ in range(READS)):
            scanned, self._scanned = self._scanned, {}
            for watch in scanned:
                watch.scanned()
        if self.busy:
            self._schedule()
