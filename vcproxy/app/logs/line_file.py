"""LineFile: a file or a descriptor that lines are appended to.

Tested in tests/app/logs/test_log.py.
"""

from __future__ import annotations

import os
import select
import stat
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

from vcproxy.app.logs.line_writer import Pause

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK: opening a FIFO without a reader fails (ENXIO) instead of waiting for one."""


class LineFile:
    """The target of a LineWriter: a file, a pipe, a terminal."""

    def __init__(self, target: Path | int, broken: Callable[[str], None]) -> None:
        """Open a file for appending, or use a descriptor, which `close` leaves open.

        Args:
            target: the file or the descriptor.
            broken: called with the reason, in the writer's thread, when a write fails; called again
                only after a write has succeeded.

        Raises:
            OSError: the file cannot be opened.
        """
        self.failing = False
        self.reason = ""
        self._path = target if isinstance(target, Path) else None
        self._fd = _open(target) if isinstance(target, Path) else target
        self._broken = broken
        self._torn = False  # the last line in the target is incomplete
        self._whole = _is_file(self._fd)

    def write(self, lines: Sequence[bytes], pause: Pause) -> int:
        """Write lines until a write fails; return the number of lines written completely."""
        if not lines:
            return 0
        start = int(self._torn)
        data = memoryview(b"\n" * start + b"".join(lines))
        _, *ends = accumulate(map(len, lines), initial=start)
        written = 0
        try:
            while written < len(data):
                try:
                    end = len(data) if self._whole else _whole_lines(ends, written)
                    written += os.write(self._fd, data[written:end])
                except BlockingIOError:
                    self._wait_for_room()
        except OSError as error:
            self.reason = _reason(error)
            if not self.failing:
                self.failing = True
                self._broken(self.reason)
        else:
            self.failing = False
        if written:
            self._torn = data[written - 1] != ord("\n")
        return bisect_right(ends, written)

    def reopen(self) -> str:
        """Open the file at its path again; if that fails, the open file stays in use."""
        if self._path is None:
            return ""
        try:
            fresh = _open(self._path)
        except OSError as error:
            reason = _reason(error)
            return f"cannot reopen the log {self._path}: {reason}; the open file stays in use"
        os.close(self._fd)
        self._fd = fresh
        self._torn = False
        self._whole = _is_file(fresh)
        return ""

    def close(self) -> None:
        """Close the file; a descriptor that was given stays open."""
        if self._path is not None:
            os.close(self._fd)

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.poll()


def _whole_lines(ends: Sequence[int], written: int) -> int:
    """Return the end of the next lines to write: as many lines as are sure to stay together.

    Several processes may write to one pipe or socket. A write of more than PIPE_BUF bytes may be
    mixed with those of others (pipe(7)). A longer line is written alone. `ends`: where each line
    ends.
    """
    together = bisect_right(ends, written + select.PIPE_BUF) - 1
    return ends[max(together, bisect_right(ends, written))]


def _is_file(fd: int) -> bool:
    """Return whether writes of any size stay together: the kernel locks a regular file for each."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _open(path: Path) -> int:
    return os.open(path, _FLAGS, 0o666)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
