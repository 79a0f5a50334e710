"""Unanswered: why a request is not answered. A value; its text is for people.

Tested in tests/messages/test_splitter.py.
"""

from __future__ import annotations

from enum import StrEnum


class Unanswered(StrEnum):
    """Why a request is not answered; so it is known whether the server can have seen it."""

    NOT_SENT = "not sent in time"
    """It has waited for `queue_timeout_s`, because other requests were in flight. The server has
    not seen it."""
    NO_SERVER = "no server can be reached"
    """Every server of the upstream has failed, or refused the connection, before it was sent."""
    NO_ANSWER = "no answer in time"
    """It was sent, and `timeout_s` has passed without the last part of its answer."""
    CONNECTION_LOST = "the connection to the server was lost"
    """It was sent, or may have been sent, on a connection that has ended or was closed."""
    DAMAGED = "the answer is damaged"
    """It was sent, and the check of its answer has failed."""
    UNMATCHED = "its answer cannot be determined"
    """It was sent, and the server's replies can no longer be matched: see Splitter.orphans; or
    `split` has raised an exception."""
    FAILED = "the shared connection has failed"
    """The proxy has made a mistake: see the log."""
