"""Inotify: real files, watched with the kernel's inotify(7) by three functions of the C library.

Tested in tests/conformance/test_file_changes.py.
"""

from __future__ import annotations

import ctypes
import os
import select
import stat
from collections.abc import Callable, Iterator
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING

from vcproxy.drivers.watching.digests import digests
from vcproxy.drivers.watching.file_system import FileSystem, Kind, Record
from vcproxy.drivers.watching.file_watcher import FileWatcher

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.driver import EpollDriver

READ = 64 * 1024
"""Bytes read at once: 2000 records with names of 16 bytes."""

LONGEST = 16 + 256
"""Bytes of the longest record: it has a name of 255 bytes. With more room left, all were read."""

PAUSE_S = 0.005
"""While much happens, records are read at this interval, several at once: waking up for one costs
as much as to handle ten, and who watches files can wait so long."""

MANY = 16
"""Reads in a row, each within PAUSE_S of the last, after which much is happening."""

_HEAD = Struct("iIII")  # watch descriptor, mask, cookie, bytes of the name with its padding


class Inotify:
    """See FileSystem. The descriptor is opened with the first watch."""

    def __init__(self, opened: Callable[[int], None]) -> None:
        """`opened` gets the descriptor."""
        self.fd = -1
        self._opened = opened
        self._libc = ctypes.CDLL(None, use_errno=True)

    def add_watch(self, path: str, mask: int) -> int:
        """See FileSystem."""
        if self.fd < 0:
            self.fd = _checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
            self._opened(self.fd)
        return _checked(self._libc.inotify_add_watch(self.fd, os.fsencode(path), mask))

    def remove_watch(self, wd: int) -> None:
        """See FileSystem."""
        if self.fd >= 0:
            self._libc.inotify_rm_watch(self.fd, wd)

    def read(self) -> tuple[list[Record], bool]:
        """See FileSystem."""
        if self.fd < 0:
            return [], True
        try:
            data = os.read(self.fd, READ)
        except BlockingIOError:
            return [], True
        records: list[Record] = []
        unpack, head = _HEAD.unpack_from, _HEAD.size
        place, end = 0, len(data)
        while place < end:
            wd, mask, _, size = unpack(data, place)
            place += head
            name = ""
            if size:
                name = os.fsdecode(data[place : place + size].rstrip(b"\0"))
                place += size
            records.append((wd, mask, name))
        return records, end <= READ - LONGEST

    def absolute(self, path: str) -> str:
        """See FileSystem."""
        return "/" + os.path.abspath(path).lstrip("/")

    def kind(self, path: str) -> Kind:
        """See FileSystem."""
        try:
            mode = os.lstat(path).st_mode
        except PermissionError:
            return Kind.FILE
        except OSError:
            return Kind.NOTHING
        if stat.S_ISDIR(mode):
            return Kind.DIRECTORY
        return Kind.LINK if stat.S_ISLNK(mode) else Kind.FILE

    def target(self, path: str) -> str:
        """See FileSystem."""
        return os.readlink(path)

    def number(self, path: str) -> int:
        """See FileSystem."""
        try:
            return os.lstat(path).st_ino
        except OSError:
            return 0

    def entries(self, path: str) -> Iterator[tuple[str, bool, int]]:
        """See FileSystem."""
        with os.scandir(path) as found:
            for entry in found:
                yield entry.name, entry.is_dir(follow_symlinks=False), entry.inode()

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class InotifyWatching:
    """The FileWatcher of one epoll driver. See WatchHost."""

    def __init__(self, driver: EpollDriver) -> None:
        self.engine = driver.engine
        self.after = driver.after
        self.files = Inotify(self._watch)
        self.system: FileSystem = self.files
        self.watcher = FileWatcher(self)
        self._driver = driver
        self._last = 0.0  # when records were read
        self._in_a_row = 0
        self.at_intervals = False
        """Whether records are read at intervals, because much is happening."""

    def ready(self, mask: int) -> None:
        """Read records. If there were many reads in a row, the next ones are at intervals."""
        now = self.engine.now
        self._in_a_row = self._in_a_row + 1 if now - self._last < PAUSE_S else 0
        self._last = now
        self.watcher.read()
        if self._in_a_row >= MANY and self.files.fd >= 0:
            # Not `rewatch` with no events: inotify wakes up whoever polls it, for any events.
            self._driver.unwatch(self.files.fd)
            self.at_intervals = True
            self.after(PAUSE_S, self._read_again)

    def _read_again(self) -> None:
        """Read records at intervals, as long as there are some each time."""
        if self.files.fd < 0:
            return  # closed
        if self.watcher.read():
            self.after(PAUSE_S, self._read_again)
        else:
            self._in_a_row = 0
            self.at_intervals = False
            self._watch(self.files.fd)

    def read_digests(self, paths: tuple[str, ...], done: Callable[[dict[str, str]], None]) -> None:
        """See WatchHost."""
        feed = self.engine.inbox.feed

        def read(value: object, error: Exception | None) -> None:
            found = value if isinstance(value, dict) else dict.fromkeys(paths, "")
            feed(partial(done, found))

        self._driver.offload.internal.run(digests, (paths,), read)

    def close(self) -> None:
        """Close the descriptor."""
        if self.files.fd >= 0 and not self.at_intervals:
            self._driver.unwatch(self.files.fd)  # not `forget`: see Child.ready
        self.files.close()

    def _watch(self, fd: int) -> None:
        self._driver.watch(fd, self, select.EPOLLIN)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
