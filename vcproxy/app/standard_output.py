"""The end of a command whose standard output cannot be written."""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import ParamSpec

Arguments = ParamSpec("Arguments")

READER_GONE = 128 + signal.SIGPIPE
"""141: what shells show for a program that SIGPIPE has ended. Python ignores that signal."""


def writes_standard_output(command: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """Return the command, which then writes all that it has printed before it returns its status.

    If the reader has gone, as with `| head -1`, it prints nothing more; the status is READER_GONE.
    If the disk is full, it prints that on standard error; the status is 1.
    """

    @functools.wraps(command)
    def run(*arguments: Arguments.args, **named: Arguments.kwargs) -> int:
        try:
            try:
                return command(*arguments, **named)
            finally:
                if sys.stdout is not None:  # it was closed
                    sys.stdout.flush()
        except BrokenPipeError:
            _discard_rest()
            return READER_GONE
        except OSError as error:
            if error.errno != errno.ENOSPC or error.filename is not None:  # it is about a file
                raise
            print("the output cannot be written: no space left on device", file=sys.stderr)
            _discard_rest()
            return 1

    return run


def _discard_rest() -> None:
    """Discard what is buffered and cannot be written; Python would try again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
