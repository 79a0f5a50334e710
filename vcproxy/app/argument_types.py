"""Types of arguments of the commands: how their text is read.

Tested in tests/app/test_stop_process_command.py.
"""

from __future__ import annotations

import argparse

from vcproxy.engine.units import duration


def seconds(text: str) -> float:
    """Return the seconds of a duration; a number without a unit is one."""
    try:
        return duration(f"{text}s" if text.isdecimal() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
