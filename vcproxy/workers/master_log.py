"""MasterLog: the log of the master process, which the program makes.

Tested in tests/e2e/test_workers.py.
"""

from __future__ import annotations

from typing import Protocol

from vcproxy.engine.log_function import Level


class MasterLog(Protocol):
    """The log of the master process."""

    level: Level
    """The lowest level that is written."""

    def __call__(self, level: Level, text: str, error: Exception | None = None) -> None:
        """See LogFunction."""

    def print(self, line: str) -> None:
        """Write a line unchanged to standard error."""

    def reopen(self) -> None:
        """Reopen the log file."""
