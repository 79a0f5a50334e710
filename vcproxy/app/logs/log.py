"""LineLog: the log of the program, on standard error, in a file, or at a log server."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vcproxy.app.logs.line_file import LineFile
from vcproxy.app.logs.line_writer import LineWriter
from vcproxy.log_entry import entry

if TYPE_CHECKING:
    from vcproxy.config.log_target import SyslogServer
    from vcproxy.engine.log_function import Level

STANDARD_ERROR = 2

LEVELS: Final = ("debug", "info", "warning", "error")
"""The levels, the lowest first."""


class LineLog:
    """The log of the program and its standard error. Used as the `Log` of engines.

    Any thread may write to it, without waiting: see LineWriter.
    """

    def __init__(self, target: Path | SyslogServer | None = None, prefix: str = "") -> None:
        """Log to a file, to a log server, or to standard error. Raises OSError, ValueError.

        `prefix`: what the text of each entry begins with. It shows which of several processes wrote
        an entry.
        """
        self.level: Level = "info"
        """The lowest level that is written."""
        self._prefix = prefix
        self._formatted = entry
        self._standard_error = self._log = self._writer(LineFile(STANDARD_ERROR, _ignore))
        self._target = target
        if isinstance(target, Path):
            self._log = self._writer(LineFile(target, self._broken))
        elif target is not None:
            self._log = self._sender(target)

    def __call__(self, level: Level, text: str, error: Exception | None = None) -> None:
        """Write an entry. `error`: a programming error, logged with its traceback."""
        if LEVELS.index(level) >= LEVELS.index(self.level):
            self._log.write(self._formatted(level, self._prefix + text, error))

    def print(self, line: str) -> None:
        """Write a line unchanged to standard error: a bound address, or output of a program."""
        self._standard_error.write(line)

    @property
    def dropped(self) -> int:
        """Lines that were dropped so far, because the target did not take them in time."""
        return self._log.dropped

    def put(self, line: bytes) -> None:
        """Write a line, with its newline, unchanged to standard error: a record of an access
        log."""
        self._standard_error.put(line)

    def reopen(self) -> None:
        """Reopen the file at its path, which was moved away; or connect to the server again."""
        self._log.reopen()

    def close(self) -> None:
        """Write the queued lines, within the time limit of LineWriter.close."""
        if self._log is not self._standard_error:
            unsent = self._log.close()
            if unsent and not isinstance(self._target, Path):
                text = f"lines of the log that were not sent to {self._target}: {unsent}"
                self.print(entry("error", self._prefix + text))
        self._standard_error.close()

    def _writer(self, target: LineFile) -> LineWriter:
        return LineWriter(target, note=lambda text: entry("warning", self._prefix + text))

    def _sender(self, server: SyslogServer) -> LineWriter:
        from vcproxy.app.logs.syslog_message import SyslogFormat
        from vcproxy.app.logs.syslog_sender import SyslogSender

        form = SyslogFormat(server.facility, socket.gethostname(), os.getpid())

        def formatted(level: Level, text: str, error: Exception | None = None) -> str:
            return form.message(level, text, error, time.time())

        self._formatted = formatted
        return LineWriter(
            SyslogSender(server, self._unreachable),
            note=lambda text: formatted("warning", self._prefix + text),
        )

    def _broken(self, reason: str) -> None:
        text = (
            f"cannot write the log to {self._target}: {reason}; its lines are dropped and counted"
        )
        self.print(entry("error", self._prefix + text))

    def _unreachable(self, reason: str) -> None:
        text = (
            f"cannot send the log to {self._target}: {reason}; its lines wait, and are dropped and "
            "counted when there are too many"
        )
        self.print(entry("error", self._prefix + text))


def _ignore(reason: str) -> None:
    """Do nothing: standard error itself is broken, and there is no other target."""
