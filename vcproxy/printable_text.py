"""Text from peers that is shown in a log or on a terminal. Tested in tests/app/logs/test_log.py."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def printable(text: str) -> str:
    """Return a text with its control characters escaped, except new lines."""
    return _CONTROL.sub(_escape, text)
