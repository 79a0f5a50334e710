"""What is noted of a verdict: in the record of the access log, and among the refused messages.

Tested in tests/messages/test_validator.py and test_refused_messages.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.messages.verdict import Defer, Reject, Resend, Verdict

if TYPE_CHECKING:
    from vcproxy.sessions.session import Session


def note_verdict(session: Session, message: bytes, verdict: Verdict) -> None:
    """Note the verdict on a message. One that ends the session is its end."""
    record = session.record
    if record is not None and not isinstance(verdict, Defer):
        record.verdict(type(verdict).__name__.lower())
        if isinstance(verdict, Reject) and not verdict.keep:
            record.note("V", verdict.why or "a message was rejected", "V")
    if isinstance(verdict, Reject | Resend):
        why = verdict.why or f"{verdict.counter} by {type(session).__name__}"
        session.engine.refused.add(
            "message", why, message, listener=session.service.name, client=session.name
        )
