"""TerminalKeys: the keys that are pressed at a terminal, one by one, without Enter.

Tested in tests/app/commands/test_top_command.py, on a pseudo-terminal.
"""

from __future__ import annotations

import os
import select
import termios
import tty
from types import TracebackType
from typing import Final, Self

SEQUENCES: Final = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1b[C": "right",
    b"\x1b[D": "left",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1bOC": "right",
    b"\x1bOD": "left",
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "erase",
    b"\x08": "erase",
    b"\x03": "interrupt",
    b"\x04": "interrupt",
    b"\x1b": "esc",
}
"""What terminals send for keys that are no character; the longer ones first."""


class TerminalKeys:
    """Reads keys inside a `with`; after it the terminal is as before."""

    def __init__(self, fd: int) -> None:
        """`fd`: of a terminal."""
        self._fd = fd
        self._before: list[object] = []

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]

    def read(self, timeout_s: float) -> list[str]:
        """Return the keys that come first within a time; none: no key was pressed.

        "interrupt" is also the end of the terminal.
        """
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return []
        try:
            data = os.read(self._fd, 1024)
        except OSError:  # EIO: the terminal was closed
            data = b""
        return keys_of(data) if data else ["interrupt"]


def keys_of(data: bytes) -> list[str]:
    """Return the keys that a terminal has sent."""
    keys: list[str] = []
    while data:
        for sequence, name in SEQUENCES.items():
            if data.startswith(sequence):
                keys.append(name)
                data = data[len(sequence) :]
                break
        else:
            size = next((n for n in (1, 2, 3, 4) if _complete(data[:n])), 1)
            keys.append(data[:size].decode("utf-8", "replace"))
            data = data[size:]
    return keys


def _complete(data: bytes) -> bool:
    """Whether bytes are a whole character."""
    try:
        return bool(data.decode())
    except UnicodeDecodeError:
        return False
