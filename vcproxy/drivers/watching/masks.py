"""Masks: the bits of inotify and those of FileEvent, translated to each other.

Tested in tests/drivers/test_watching.py.
"""

from __future__ import annotations

from functools import cache

from vcproxy.drivers.watching import file_system as fs
from vcproxy.engine.sources.file_changes import FileEvent

_REPORTED = {
    fs.ATTRIB: FileEvent.ATTRIBUTES,
    fs.ACCESS: FileEvent.READ,
    fs.MODIFY: FileEvent.WRITE,
    fs.CREATE: FileEvent.CREATED,
    fs.MOVED_TO: FileEvent.CREATED,
    fs.DELETE: FileEvent.DELETED,
    fs.MOVED_FROM: FileEvent.DELETED,
    fs.DELETE_SELF: FileEvent.DELETED,
    fs.MOVE_SELF: FileEvent.DELETED,
    fs.OPEN: FileEvent.ACCESS,
    fs.CLOSE_NOWRITE: FileEvent.ACCESS,
    fs.CLOSE_WRITE: FileEvent.ACCESS | FileEvent.UPDATED,
    fs.ISDIR: FileEvent.DIRECTORY,
    fs.IGNORED: FileEvent.GONE,
    fs.UNMOUNT: FileEvent.UNMOUNTED,
    fs.Q_OVERFLOW: FileEvent.LOST_SYNC,
}


@cache  # as many as there are combinations of bits: some thirty
def kinds_of(mask: int) -> FileEvent:
    """Return what the bits of a record mean."""
    kinds = FileEvent(0)
    for bit, kind in _REPORTED.items():
        if mask & bit:
            kinds |= kind
    return kinds


def mask_of(kinds: FileEvent) -> int:
    """Return the bits to ask for so that these kinds are reported."""
    asked = kinds & ~FileEvent.DIRECTORY
    return sum(bit for bit, kind in _REPORTED.items() if bit < fs.UNMOUNT and kind & asked)
