"""SimFileSystem: the simulated files as a driver sees them, with one instance of inotify.

Tested in tests/conformance/test_file_changes.py.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from functools import partial
from posixpath import join, normpath
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.files.queue import SimQueue
from vcproxy.drivers.watching.file_system import (
    DONT_FOLLOW,
    MASK_ADD,
    ONLYDIR,
    FileSystem,
    Kind,
    Record,
)
from vcproxy.drivers.watching.file_watcher import FileWatcher
from vcproxy.engine.sources.content_watch import content_digest, names_digest

if TYPE_CHECKING:
    from vcproxy.drivers.sim.files.inode import SimInode
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import PortDriver

BITS = 0xFFFF
"""The bits of a mask that are events."""


class SimFileSystem:
    """See FileSystem."""

    def __init__(self, network: Network, on_records: Callable[[], None]) -> None:
        self._network = network
        self._files = network.files
        self._on_records = on_records
        self._queue: SimQueue | None = None  # opened with the first watch

    def add_watch(self, path: str, mask: int) -> int:
        """See FileSystem."""
        files = self._files
        if self._queue is None:
            if len(files.queues) >= files.max_instances:
                raise _error(errno.EMFILE, path)
            self._queue = SimQueue(files.max_queued_events, self._on_records)
            files.queues[self._queue] = None
        _, _, inode = files.find(path, follow=not mask & DONT_FOLLOW)
        if inode is None:
            raise _error(errno.ENOENT, path)
        if mask & ONLYDIR and inode.kind is not Kind.DIRECTORY:
            raise _error(errno.ENOTDIR, path)
        if not inode.readable:
            raise _error(errno.EACCES, path)
        watches = sum(len(queue.watches) for queue in files.queues)
        if self._queue not in inode.marks and watches >= files.max_watches:
            raise _error(errno.ENOSPC, path)
        return inode.mark(self._queue, mask & BITS, bool(mask & MASK_ADD))

    def remove_watch(self, wd: int) -> None:
        """See FileSystem."""
        if self._queue is not None and wd in self._queue.watches:
            self._queue.watches[wd].unmark(self._queue)

    def read(self) -> tuple[list[Record], bool]:
        """See FileSystem."""
        if self._queue is None:
            return [], True
        records = self._queue.take(self._network.portion(len(self._queue)))
        return records, not self._queue

    @property
    def readable(self) -> bool:
        """Whether there are records."""
        return bool(self._queue)

    def close(self) -> None:
        """Close the instance of inotify."""
        queue, self._queue = self._queue, None
        if queue is not None:
            del self._files.queues[queue]
            for inode in queue.watches.values():
                del inode.marks[queue]

    def absolute(self, path: str) -> str:
        """See FileSystem."""
        return "/" + normpath(join("/", path)).lstrip("/")

    def kind(self, path: str) -> Kind:
        """See FileSystem."""
        try:
            _, _, inode = self._files.find(path, follow=False)
        except PermissionError:
            return Kind.FILE
        except OSError:
            return Kind.NOTHING
        return Kind.NOTHING if inode is None else inode.kind

    def target(self, path: str) -> str:
        """See FileSystem."""
        _, _, inode = self._files.find(path, follow=False)
        if inode is None or inode.kind is not Kind.LINK:
            raise _error(errno.EINVAL, path)
        return inode.content.decode()

    def number(self, path: str) -> int:
        """See FileSystem."""
        inode = self._find(path)
        return 0 if inode is None else inode.number

    def entries(self, path: str) -> Iterator[tuple[str, bool, int]]:
        """See FileSystem."""
        for name in self._files.list(path):
            inode = self._find(join(path, name))
            if inode is not None:
                yield name, inode.kind is Kind.DIRECTORY, inode.number

    def _find(self, path: str) -> SimInode | None:
        try:
            return self._files.find(path, follow=False)[2]
        except OSError:
            return None

    def digests(self, paths: tuple[str, ...]) -> dict[str, str]:
        """Return the digest of each path as in ContentRead; "": it cannot be read."""
        return {path: self._digest(path) for path in paths}

    def _digest(self, path: str) -> str:
        try:
            return content_digest(self._files.read(path))
        except IsADirectoryError:
            return names_digest(self._files.list(path))
        except OSError:
            return ""


class SimWatching:
    """The FileWatcher of one simulated driver. See WatchHost."""

    def __init__(self, driver: PortDriver, network: Network) -> None:
        self.engine = driver.engine
        self.files = SimFileSystem(network, partial(driver.edge, self))
        self.system: FileSystem = self.files
        self.watcher = FileWatcher(self)
        self._driver = driver
        self._network = network

    def ready(self) -> None:
        """Read records, in the turn after the first."""
        self.watcher.read()
        if self.files.readable:
            self._driver.edge(self)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """See WatchHost."""
        self._network.clock.after(seconds, partial(self._driver.complete, call))

    def read_digests(self, paths: tuple[str, ...], done: Callable[[dict[str, str]], None]) -> None:
        """See WatchHost."""

        span = self._network.span(self._network.faults.call_s)
        begun = span * self._network.random.random() if span else 0.0

        def read() -> None:
            self.after(span - begun, partial(done, self.files.digests(paths)))

        self.after(begun, read)

    def close(self) -> None:
        """Close the instance of inotify."""
        self.files.close()


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
