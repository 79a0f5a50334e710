"""CommandError: why a command failed, for its last line on standard error.

Tested in tests/e2e/test_command_line.py.
"""

from __future__ import annotations


class CommandError(Exception):
    """A command failed; the text is printed on standard error."""

    status = 1
    """The exit status."""
