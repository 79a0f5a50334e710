"""InvalidMessage: why a text is no message, or a value no message can carry.

Tested in tests/bus/message/test_text_form.py.
"""

from __future__ import annotations

from typing import Final

LONGEST_REASON: Final = 300
"""Limit of a reason's characters: it quotes what a peer has sent, and goes to logs and replies."""


class InvalidMessage(ValueError):
    """A text that is not a message, or a message that cannot be sent as text."""

    reason: str
    """What is wrong, as part of a sentence: `the command is missing`. One printable line."""
    column: int | None
    """Where in the text, counted from 1; None where there is no text."""

    def __init__(self, reason: str, column: int | None = None) -> None:
        self.reason = printable(reason)
        self.column = column
        super().__init__(self.reason if column is None else f"{self.reason} (column {column})")

    def __reduce__(self) -> tuple[type[InvalidMessage], tuple[str, int | None]]:
        return type(self), (self.reason, self.column)


class MessageTooLong(InvalidMessage):
    """A message of more than 64 KiB."""


def printable(reason: str) -> str:
    r"""Return a reason as one line for logs and replies: what cannot be printed as `\x00`, and the
    middle left out if it is long."""
    if len(reason) > LONGEST_REASON:
        reason = f"{reason[: LONGEST_REASON // 2]} ... {reason[-LONGEST_REASON // 4 :]}"
    if reason.isprintable():
        return reason
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in reason)
