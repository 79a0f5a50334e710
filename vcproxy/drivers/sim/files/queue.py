"""SimQueue: the records of one simulated instance of inotify, queued as in the kernel.

Tested in tests/drivers/test_sim_files.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.drivers.watching.file_system import IGNORED, ISDIR, Q_OVERFLOW, Record

if TYPE_CHECKING:
    from vcproxy.drivers.sim.files.inode import SimInode

ALWAYS = IGNORED | Q_OVERFLOW
"""Reported although it was not asked for, as UNMOUNT is."""


class SimQueue:
    """What the kernel keeps for one inotify descriptor."""

    def __init__(self, limit: int, on_records: Callable[[], None]) -> None:
        """`limit`: fs.inotify.max_queued_events."""
        self.limit = limit
        self.watches: dict[int, SimInode] = {}
        """The watched inodes, by watch descriptor."""
        self._records: deque[Record] = deque()
        self._on_records = on_records
        self._last_wd = 0

    def __len__(self) -> int:
        return len(self._records)

    def new_wd(self) -> int:
        """Return the next watch descriptor: they are not used again."""
        self._last_wd += 1
        return self._last_wd

    def put(self, wd: int, mask: int, name: str) -> None:
        """Queue a record, unless it equals the last one. A full queue takes one of overflow."""
        record = wd, mask, name
        if len(self._records) >= self.limit:
            record = -1, Q_OVERFLOW, ""
        last = self._records[-1] if self._records else None
        if last == record and not mask & IGNORED:
            return
        self._records.append(record)
        self._on_records()

    def take(self, count: int) -> list[Record]:
        """Take the first records."""
        return [self._records.popleft() for _ in range(count)]


def reported(mask: int, happened: int) -> int:
    """Return the bits that a watch with this mask reports; 0: nothing."""
    return happened if happened & ~ISDIR & (mask | ALWAYS) else 0
