"""Orphans: processes that a worker had started, and that run on although it has died.

The master is their new parent, because it is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER). It
kills them before the worker is started again: otherwise a plugin in the new worker would start the
same programs a second time, beside those that run.

Tested in tests/workers/test_orphans.py and tests/e2e/test_workers_killed.py.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

_SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of linux/prctl.h; Python has no name for it."""


def adopt_orphans() -> None:
    """Become the parent of what the children of this process leave. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


REAP_S = 0.1
"""Seconds from SIGKILL until the dead are reaped, and their own children are looked for."""

REAP_REGULARLY_S = 10.0
"""Seconds between two looks for dead daemons: programs that have put themselves into the background
are children of this process while the worker lives."""


class Orphans:
    """Kills and reaps the children of this process that it has not started itself."""

    def __init__(
        self,
        own: Callable[[], Collection[int]],
        after: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """`own`: returns the pids of those that it has started. `after`: calls later, as
        `EpollDriver.after` does."""
        self._own = own
        self._after = after

    def kill(self) -> list[int]:
        """Kill all orphans there are, and later those that they leave; return their pids."""
        found = self._found()
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if found:
            self._after(REAP_S, self._finish)
        return found

    def reap_regularly(self) -> None:
        """Reap those that have ended, now and every REAP_REGULARLY_S."""
        self._reap()
        self._after(REAP_REGULARLY_S, self.reap_regularly)

    def _finish(self) -> None:
        self._reap()
        self.kill()

    def _reap(self) -> None:
        for pid in self._found():
            with suppress(ChildProcessError):  # other code has waited for it
                os.waitpid(pid, os.WNOHANG)

    def _found(self) -> list[int]:
        own = self._own()
        return [pid for pid in children() if pid not in own]


def children() -> list[int]:
    """Return the pids of all children of this process, also of those that are not reaped."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            found += map(int, (task / "children").read_text().split())
    return found
