"""Files that are opened to be sent, in the epoll driver: on another thread, as a disk may be slow.

Tested in tests/conformance/test_stored_files.py.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.stored_files import Refused, find_file, refusal
from vcproxy.engine.sources.stored_file import FileOpened, FileRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.engine.sources.stored_file import StoredFile

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
"""A FIFO that has taken the place of a file does not block; its kind is checked afterwards."""


class _Entry:
    """See Node. It holds a descriptor with O_PATH, which reads nothing and has no side effects."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.mode = os.fstat(fd).st_mode

    def child(self, name: str) -> _Entry:
        """See Node."""
        return _Entry(os.open(name, _LOOK, dir_fd=self.fd))

    def target(self) -> str:
        """See Node."""
        return os.readlink("", dir_fd=self.fd)

    def close(self) -> None:
        """See Node."""
        os.close(self.fd)


def open_below(folder: str, paths: tuple[str, ...]) -> tuple[int, int, int, int]:
    """Open the first of the paths below a folder that is a regular file.

    Return its descriptor, which of the paths it is, its size, and when it was modified, in
    nanoseconds. Blocks. Raises OSError, Refused.
    """
    top = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    index, above, name = find_file(_Entry(top), paths)
    assert isinstance(above, _Entry)
    try:
        fd = os.open(name, _READ, dir_fd=above.fd)
    finally:
        above.close()
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):  # replaced since it was looked at
        os.close(fd)
        raise OSError(errno.ENOENT, "")
    return fd, index, status.st_size, status.st_mtime_ns


class OpenedFile:
    """What is opened for a StoredFile: a descriptor. See Opened and FileHandle."""

    __slots__ = ("_closed", "_driver", "_ended", "_source", "fd")

    def __init__(
        self, driver: EpollDriver, source: StoredFile, ended: Callable[[], object]
    ) -> None:
        self._driver = driver
        self._source = source
        self._ended = ended
        self.fd = -1
        """Its descriptor; -1: it is not open."""
        self._closed = False
        source.handle = self
        feed = driver.engine.inbox.feed

        def done(value: object, error: Exception | None) -> None:
            feed(partial(self._opened, value, error))

        driver.offload.files.run(open_below, (source.folder, source.paths), done)

    def _opened(self, value: object, error: Exception | None) -> None:
        engine, source = self._driver.engine, self._source
        if isinstance(value, tuple):
            self.fd, index, size, modified_ns = value
            if self._closed:
                self.close()
            else:
                engine.happened(source, FileOpened(source.name, index, size, modified_ns))
            return
        if self._closed:
            return
        self._ended()
        if isinstance(error, Refused):
            engine.happened(source, FileRefused(source.name, error.why, str(error)))
        elif isinstance(error, OSError):
            engine.happened(source, FileRefused(source.name, *refusal(error)))
        else:
            engine.happened(source, FileRefused(source.name, "failed", str(error)))

    def read(self, offset: int, size: int) -> bytes:
        """See FileHandle."""
        return os.pread(self.fd, size, offset)

    def set_watched(self, watched: bool) -> None:
        """See Opened. The engine keeps its events."""

    def close(self) -> None:
        """Close the descriptor, now or when it is open."""
        self._closed = True
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
