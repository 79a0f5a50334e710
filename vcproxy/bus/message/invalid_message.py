"""InvalidMessage: why a text is no message, or a value no message can carry.

Tested in tests/bus/message/test_text_form.py.
"""

from __future__ import annotations


class InvalidMessage(ValueError):
    """A text that is not a message, or a message that cannot be sent as text."""

    reason: str
    """What is wrong, as part of a sentence: `the command is missing`."""
    column: int | None
    """Where in the text, counted from 1; None where there is no text."""

    def __init__(self, reason: str, column: int | None = None) -> None:
        super().__init__(reason if column is None else f"{reason} (column {column})")
        self.reason = reason
        self.column = column

    def __reduce__(self) -> tuple[type[InvalidMessage], tuple[str, int | None]]:
        return InvalidMessage, (self.reason, self.column)
