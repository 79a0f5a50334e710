"""FileSystem: what is needed of a file system to watch it; for real and for simulated files.

Tested in tests/conformance/test_file_changes.py.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Protocol, TypeAlias

ACCESS = 0x1
MODIFY = 0x2
ATTRIB = 0x4
CLOSE_WRITE = 0x8
CLOSE_NOWRITE = 0x10
OPEN = 0x20
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
UNMOUNT = 0x2000
Q_OVERFLOW = 0x4000
IGNORED = 0x8000
ONLYDIR = 0x0100_0000
DONT_FOLLOW = 0x0200_0000
EXCL_UNLINK = 0x0400_0000
MASK_ADD = 0x2000_0000
ISDIR = 0x4000_0000
"""The bits of inotify(7), without their prefix IN_."""

APPEARS = CREATE | MOVED_TO
DISAPPEARS = DELETE | MOVED_FROM
NAMES = APPEARS | DISAPPEARS
"""What changes the names in a directory."""

SELF = DELETE_SELF | MOVE_SELF
"""What happens to a watched file or directory as a whole."""

ENDS = SELF | UNMOUNT | IGNORED
"""After these, another file or directory may be at its place."""

Record: TypeAlias = tuple[int, int, str]
"""What inotify reports: watch descriptor, bits, name of the entry of a directory or ""."""


class Kind(Enum):
    """What is at a path, without following a symlink there."""

    NOTHING = 0
    FILE = 1
    DIRECTORY = 2
    LINK = 3


class FileSystem(Protocol):
    """Files, and one instance of inotify. Paths are absolute."""

    def add_watch(self, path: str, mask: int) -> int:
        """inotify_add_watch(2): return the watch descriptor. Raises OSError."""

    def remove_watch(self, wd: int) -> None:
        """inotify_rm_watch(2); does nothing if the kernel has removed it already."""

    def read(self) -> tuple[Sequence[Record], bool]:
        """Return the next records, and whether these are all there are. Never waits."""

    def absolute(self, path: str) -> str:
        """Return a path as an absolute one, without "." and "..". Raises OSError."""

    def kind(self, path: str) -> Kind:
        """Return what is there: FILE if that may not be known, so that to watch it fails, too."""

    def target(self, path: str) -> str:
        """Return the target of a symlink. Raises OSError."""

    def number(self, path: str) -> int:
        """Return the inode number of what is there, of a symlink itself; 0: there is nothing."""

    def entries(self, path: str) -> Iterator[tuple[str, bool, int]]:
        """Yield the entries of a directory: name, whether it is a directory, inode number.

        Raises OSError.
        """


_REASONS = {
    errno.ENOSPC: "this user has reached the limit of watches: raise fs.inotify.max_user_watches "
    "(sysctl)",
    errno.EMFILE: "this user has reached the limit of inotify instances, or this process that of "
    "descriptors: raise fs.inotify.max_user_instances (sysctl), or ulimit -n",
    errno.EACCES: "permission denied: the user of this process must be able to read it",
}


def reason(error: OSError) -> str:
    """Return why a file or directory cannot be watched, and what to do, in plain words."""
    number = error.errno or 0
    return _REASONS.get(number) or os.strerror(number).lower()
