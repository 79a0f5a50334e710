"""Verdicts: the results of a check of one message. Values; the session that checks applies them.

Tested in tests/messages/test_validator.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from vcproxy.engine.units import seconds


@dataclass(frozen=True, slots=True)
class Accept:
    """Forward the message to the server."""

    rewritten: bytes | None = None
    """A message without its framing to forward instead. None: the message itself."""
    wait: bytes | None = None
    """Bytes to send to the client at once, unchanged, before the server's reply. None: nothing."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Drop the message and answer the client. Unless `keep`, read no more of it, and close its
    connection when the server has ended, too."""

    answer: bytes = b""
    """Bytes to send to the client, unchanged."""
    keep: bool = False
    """Whether the client may send more messages."""
    why: str = ""
    """The reason, for those who look for refused messages; empty: that it was rejected."""
    counter: ClassVar[str] = "rejected"
    """The counter of a session to which the verdict is added."""


@dataclass(frozen=True, slots=True)
class Resend:
    """Drop the message, and answer the client, which may send another."""

    answer: bytes
    """Bytes to send to the client, unchanged."""
    why: str = ""
    """See Reject."""
    keep: ClassVar[bool] = True
    counter: ClassVar[str] = "resent"


class Defer:
    """Run `fn(*args)` on another thread, and use its result for the verdict.

    The conversation pauses until `fn` returns. `fn` must not access the conversation. It returns
    plain data (see `is_plain`), from which `then(subject, value)` makes the verdict; `subject` is
    the message, or the Transaction of an HTTP request. Without `then` it returns the verdict.

    `deadline`: a duration, as "2s" or 2.0. If `fn` raises, takes longer, or returns anything else,
    the message is not forwarded and the conversation is closed; an HTTP request is answered 500.

    `shares`: a duration, too. Equal calls, of the same function with equal arguments, of all
    conversations on the net thread run it once: one that is made while another has no result yet
    gets the same result, and so does one that is made within `shares` after it; with "0s" only the
    first. An error is not kept. None: it runs for each. `fn` is then a function of a module or of a
    filter, and the arguments are hashable: see SharedCalls.
    """

    __slots__ = ("args", "deadline_s", "fn", "shares_s", "then")

    def __init__(
        self,
        fn: Callable[..., object],
        *args: object,
        deadline: str | float,
        then: Callable[[Any, Any], object] | None = None,
        shares: str | float | None = None,
    ) -> None:
        self.fn = fn
        self.args = args
        self.deadline_s = seconds(deadline)
        self.then = then
        self.shares_s = None if shares is None else seconds(shares)

    def __repr__(self) -> str:
        return f"Defer({getattr(self.fn, '__name__', self.fn)})"


Verdict: TypeAlias = Accept | Reject | Resend | Defer


def is_plain(value: object) -> bool:
    """Return whether a value is None, a number, text, bytes, or lists and dicts of these."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(is_plain(key) and is_plain(each) for key, each in value.items())
    return value is None or type(value) in (bool, int, float, str, bytes)
