"""Verdicts: what a check says of one message. Values; whoever asked carries them out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from vcproxy.engine.units import duration


@dataclass(frozen=True, slots=True)
class Accept:
    """The message goes on to the server."""

    rewritten: bytes | None = None
    """What goes on in its place: a message, framed like those that come in."""
    wait: bytes | None = None
    """Said to the client at once, as it stands, before the server's answer."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The message goes nowhere; the client is answered, and left unless `keep`."""

    answer: bytes = b""
    """Said as it stands."""
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Resend:
    """The message goes nowhere; the client is asked for another."""

    answer: bytes
    """Said as it stands."""


class Defer:
    """The verdict is what `then(asked, value)` makes of the plain data that `fn(*args)` returns.

    `asked` is what is judged: the message, or the Transaction. Without `then`, the value is the
    verdict itself.

    `fn` runs off the loop, on another thread, and must touch nothing of the conversation, which
    pauses. If it raises, returns anything else, or takes longer than `deadline`, nothing that is
    judged goes on: the conversation ends, closed; a request is answered 500.
    """

    __slots__ = ("args", "deadline_s", "fn", "then")

    def __init__(
        self,
        fn: Callable[..., object],
        *args: object,
        deadline: str,
        then: Callable[[Any, Any], object] | None = None,
    ) -> None:
        self.fn = fn
        self.args = args
        self.deadline_s = duration(deadline)
        self.then = then

    def __repr__(self) -> str:
        return f"Defer({getattr(self.fn, '__name__', self.fn)})"


Verdict: TypeAlias = Accept | Reject | Resend | Defer


def is_plain(value: object) -> bool:
    """Whether a value is plain data: None, numbers, text, bytes, and lists and dicts of them."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(is_plain(key) and is_plain(each) for key, each in value.items())
    return value is None or type(value) in (bool, int, float, str, bytes)
