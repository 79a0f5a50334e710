"""Progress bars on standard error, if it is a terminal.

Tested in tests/replay/test_what_if.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.replay.format.reader import RecordingLog


class ProgressBar:
    """A progress bar for any work."""

    WIDTH = 30

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()

    def draw(self, part: float, text: str = "") -> None:
        """Draw the bar. `part` is the finished part, 0 to 1."""
        if self._terminal:
            bar = "#" * int(self.WIDTH * part)
            sys.stderr.write(f"\r\033[K[{bar:<{self.WIDTH}}] {text}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Remove the bar from the terminal."""
        if self._terminal:
            sys.stderr.write("\r\033[K")


class LogPosition(Protocol):
    """A log that is being read, and the position in it."""

    @property
    def log(self) -> RecordingLog:
        """The log."""

    @property
    def done(self) -> int:
        """The number of the last step."""

    @property
    def offset(self) -> int:
        """The position of its frame in the file, in bytes."""


class LogProgress(ProgressBar):
    """A progress bar for the reading of a log."""

    EVERY = 1000
    """Steps between two updates: a replay needs some microseconds for each step."""

    def __init__(self, position: LogPosition) -> None:
        super().__init__()
        self._position = position

    def show(self) -> None:
        """Draw the bar."""
        position = self._position
        self.draw(position.offset / max(position.log.size, 1), f"step {position.done}")
