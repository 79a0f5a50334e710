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
        except (OSError, ValueError):
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

    def ready(self, mask: int) -> None:
        """Read records."""
        self.watcher.read()

    def read_digests(self, paths: tuple[str, ...], done: Callable[[dict[str, str]], None]) -> None:
        """See WatchHost."""
        feed = self.engine.inbox.feed

        def read(value: object, error: Exception | None) -> None:
            found = value if isinstance(value, dict) else dict.fromkeys(paths, "")
            feed(partial(done, found))

        self._driver.offload.internal.run(digests, (paths,), read)

    def close(self) -> None:
        """Close the descriptor."""
        if self.files.fd >= 0:
            # Not `forget`: see Child.ready.
            self._driver.unwatch(self.files.fd)
        self.files.close()

    def _watch(self, fd: int) -> None:
        self._driver.watch(fd, self, select.EPOLLIN)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
