"""The log: one line for each thing that people should know, on standard error or in a file."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

from vcproxy.engine.engine import Level

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


class LineLog:
    """The program's log; an engine's `Log`. Several threads may write.

    What came from outside cannot forge a line or steer a terminal: control characters are shown
    as escapes, and all lines of an entry but its first are indented.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Log to a file, or to standard error. Raises OSError."""
        self._handler: logging.Handler = (
            logging.StreamHandler(sys.stderr) if file is None else logging.FileHandler(file)
        )
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._logger = logging.Logger("vcproxy", _LEVELS["info"])
        self._logger.addHandler(self._handler)

    def __call__(self, level: Level, text: str, error: Exception | None = None) -> None:
        """Write an entry. `error`, a programmer's mistake, comes with its traceback."""
        entry = _CONTROL.sub(_escape, text).replace("\n", "\n    ")
        self._logger.log(_LEVELS[level], "%s", entry, exc_info=error)

    def reopen(self) -> None:
        """Open the file anew at its path: the old one has been moved away."""
        if isinstance(self._handler, logging.FileHandler):
            try:
                fresh = logging.FileHandler(self._handler.baseFilename)
            except OSError as error:
                self("error", f"the log is not reopened: {error}")
                return
            fresh.setFormatter(self._handler.formatter)
            self._logger.addHandler(fresh)
            self._logger.removeHandler(self._handler)
            self._handler.close()
            self._handler = fresh
