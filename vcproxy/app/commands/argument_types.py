"""Types of arguments of the commands: how their text is read.

Tested in tests/app/commands/test_stop_process_command.py.
"""

from __future__ import annotations

import argparse
from typing import Final

from vcproxy.engine.units import duration

LONGEST_S: Final = 366 * 86400.0
"""A year. No command waits so long; sockets refuse timeouts of some hundred years."""


def seconds(text: str) -> float:
    """Return the seconds of a duration; a number without a unit is one."""
    try:
        found = duration(f"{text}s" if text.isdecimal() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if found > LONGEST_S:
        raise argparse.ArgumentTypeError(f'"{text}" is too long: at most 366d')
    return found


def some_seconds(text: str) -> float:
    """Return the seconds of a duration that is longer than 0: time for an answer."""
    if not (found := seconds(text)):
        raise argparse.ArgumentTypeError(f'"{text}" leaves no time for an answer')
    return found


def positive(text: str) -> int:
    """Return an integer of 1 or more."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of 1 or more')
    return int(text)
