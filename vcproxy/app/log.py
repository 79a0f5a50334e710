"""LineLog: the log of the program, one line for each entry, on standard error or in a file."""

from __future__ import annotations

from pathlib import Path

from vcproxy.app.line_writer import LineWriter
from vcproxy.engine.log_function import Level
from vcproxy.log_entry import entry

STANDARD_ERROR = 2


class LineLog:
    """The log of the program and its standard error. Used as the `Log` of engines.

    Any thread may write to it, without waiting: see LineWriter.
    """

    def __init__(self, file: Path | None = None, prefix: str = "") -> None:
        """Log to a file, or to standard error. Raises OSError.

        `prefix`: what the text of each entry begins with. It shows which of several processes wrote
        an entry.
        """
        self._prefix = prefix
        self._standard_error = LineWriter(STANDARD_ERROR, note=self._warning, broken=_ignore)
        self._file = file
        self._log = self._standard_error
        if file is not None:
            self._log = LineWriter(file, note=self._warning, broken=self._broken)

    def __call__(self, level: Level, text: str, error: Exception | None = None) -> None:
        """Write an entry. `error`: a programming error, logged with its traceback."""
        if level != "debug":
            self._log.write(entry(level, self._prefix + text, error))

    def print(self, line: str) -> None:
        """Write a line unchanged to standard error: a bound address, or output of a program."""
        self._standard_error.write(line)

    def reopen(self) -> None:
        """Reopen the file at its path. Called after the file has been moved away."""
        self._log.reopen()

    def close(self) -> None:
        """Write the queued lines, within the time limit of LineWriter.close."""
        if self._log is not self._standard_error:
            self._log.close()
        self._standard_error.close()

    def _broken(self, reason: str) -> None:
        text = f"cannot write the log to {self._file}: {reason}; its lines are dropped and counted"
        self.print(entry("error", self._prefix + text))

    def _warning(self, text: str) -> str:
        return entry("warning", self._prefix + text)


def _ignore(reason: str) -> None:
    """Do nothing: standard error itself is broken, and there is no other target."""
