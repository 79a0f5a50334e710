"""ServedFiles: what a machine server needs of a file system.

The real one is vcproxy.app.commands.served_directory. Tested in tests/supervise/test_server.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class ServedFiles(Protocol):
    """The files of a server. `find` and `sync` are run off the loop, as `engine.call` does."""

    def find(self, path: str, log_name: str) -> tuple[str, str, str]:
        """Return the executable of a path below the directory, and the log file for its output.

        The third value is a problem: why there is no executable ("" as the first value), or why
        there is no log file.
        """

    def shown(self, path: str) -> str:
        """Return the path of a program as it gets it as argv[0]. It does not look at files."""

    def environment(self) -> Mapping[str, str]:
        """Return the variables that programs get in addition to those of the server."""

    def sync(self, logs: tuple[str, ...]) -> str:
        """Write log files to the disk; return a problem, or ""."""
