"""ServedDirectory: the files of a machine server: programs below a directory, and log files.

Tested in tests/app/commands/test_served_directory.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from errno import ELOOP
from pathlib import Path


class ServedDirectory:
    """The ServedFiles of a machine server, on the real file system.

    A symbolic link may lead anywhere below the directory, so that one can switch between versions
    of a program. It may not lead out of it.
    """

    def __init__(self, directory: Path, logs: Path | None = None, server_log: Path | None = None):
        """`logs`: the directory of the machines' log files; None: they write to standard output.
        `server_log`: a log file that is written to the disk with theirs.

        Raises OSError if a directory does not exist.
        """
        self._shown = directory
        self._directory = directory.resolve(strict=True)
        if not self._directory.is_dir():
            raise NotADirectoryError(20, "not a directory", str(directory))
        self._logs = None if logs is None else logs.resolve(strict=True)
        self._server_log = () if server_log is None else (str(server_log),)
        self._synced: dict[str, tuple[int, int]] = {}  # size and time of files on the disk

    def find(self, path: str, log_name: str) -> tuple[str, str, str]:
        """Return executable, log file and problem: see ServedFiles.

        What is wrong with a program that is there (no permission, no interpreter) is reported by
        its launch.
        """
        try:
            program = (self._directory / path).resolve(strict=True)
        except RuntimeError:  # by pathlib up to Python 3.12
            return "", "", f"{self._shown / path}: {os.strerror(ELOOP).lower()}"
        except OSError as error:
            return "", "", f"{self._shown / path}: {_reason(error)}"
        if not program.is_relative_to(self._directory):
            return "", "", f"{self._shown / path}: a symbolic link leads out of the directory"
        if not program.is_file():
            return "", "", f"{self._shown / path}: not a file"
        return str(program), *self._log_file(log_name)

    def _log_file(self, name: str) -> tuple[str, str]:
        """Create a log file. Return its path and, if that fails, "" and a problem."""
        if self._logs is None:
            return "", ""
        log = self._logs / name
        try:
            os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666))
        except OSError as error:
            return "", f"{log}: cannot be opened: {_reason(error)}; it writes to standard output"
        return str(log), ""

    def shown(self, path: str) -> str:
        """Return the path of a program as it gets it as argv[0]."""
        return str(self._shown / path)

    def environment(self) -> Mapping[str, str]:
        """Return a PATH on which `python3` is the interpreter of this process.

        Programs begin with `#!/usr/bin/env python3`, and import vcproxy: they need the virtual
        environment of the server, also if it was not activated.
        """
        folder = os.path.dirname(sys.executable)
        return {"PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}

    def sync(self, logs: tuple[str, ...]) -> str:
        """Write those of the files that have changed to the disk; return a problem, or "".

        The cost is one look at each file, and a write for each that has changed.
        """
        problems = []
        current = dict.fromkeys((*self._server_log, *logs))
        self._synced = {log: state for log, state in self._synced.items() if log in current}
        for log in current:
            try:
                state = os.stat(log)
                changed = state.st_size, state.st_mtime_ns
                if self._synced.get(log) != changed:
                    _sync(log)
                    self._synced[log] = changed
            except OSError as error:
                problems.append(f"{log}: {_reason(error)}")
        if len(problems) > 1:
            return f"{problems[0]}; and {len(problems) - 1} more files"
        return "".join(problems)


def _sync(file: str) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
