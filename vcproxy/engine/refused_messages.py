"""RefusedMessages: the last messages that one engine refused, for whoever looks for the reason.

As `show errors` of HAProxy, for every protocol: heads of HTTP, messages that a framing or a
validator refuses, headers of the PROXY protocol, messages of the bus. They are kept in memory only,
and are in no log: a piece of a message may have data of its sender. Tested in
tests/engine/test_refused_messages.py.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.event_dispatcher import EventDispatcher

KEPT = 64
"""Messages that are kept: with all texts at their limits, 100 KiB for each net thread."""

PIECE = 256
"""Bytes of a message that are kept: HAProxy keeps a whole buffer, of which its users read the lines
around the bad byte."""

BEFORE = 128
"""Of these, bytes before the bad one, if the message is longer: they show what led to it."""

TEXT = 512
"""Characters of the reason, and of each name."""

_unprintable = re.compile(rb"[^ -\[\]-~]")
_NAMED = {0x5C: b"\\\\", 0x0D: b"\\r", 0x0A: b"\\n", 0x09: b"\\t"}


def escaped(data: bytes) -> str:
    """Return bytes as printable ASCII: a backslash and all other bytes as in a Python literal."""

    def replacement(match: re.Match[bytes]) -> bytes:
        byte = match[0][0]
        return _NAMED.get(byte) or b"\\x%02x" % byte

    return _unprintable.sub(replacement, data).decode("ascii")


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """One of them."""

    number: int
    """How many messages of the engine were refused up to this one."""
    wall: int
    """When: seconds since 1970, UTC; 0: the time of day is not known."""
    now: float
    """When, by the engine's clock."""
    kind: str
    """What was refused, as "http request"."""
    listener: str
    """The name of the listener; empty: of none."""
    client: str
    """The name of the client's connection; empty: there is none."""
    server: str
    """The name of the server's connection that sent the message; empty: the client sent it."""
    reason: str
    """Why."""
    piece: bytes
    """A piece of the message; empty: none is kept."""
    begin: int
    """The index in the message at which the piece begins."""
    size: int
    """The size of the message as far as it was received, in bytes."""
    position: int | None
    """The index in the message of the first bad byte; None: not a single byte is bad."""

    @property
    def text(self) -> str:
        """The piece as printable ASCII: see `escaped`."""
        return escaped(self.piece)

    @property
    def mark(self) -> int | None:
        """The index in `text` at which the bad byte is; None: there is none in the piece."""
        at = -1 if self.position is None else self.position - self.begin
        return len(escaped(self.piece[:at])) if 0 <= at <= len(self.piece) else None


class RefusedMessages:
    """The last refused messages of one engine, the oldest first.

    Each has at most PIECE bytes of the message, so all of them are bounded too.
    """

    __slots__ = ("_engine", "_hidden", "_kept", "count")

    def __init__(self, engine: EventDispatcher) -> None:
        self._engine = engine
        self._kept: deque[RefusedMessage] = deque(maxlen=KEPT)
        self._hidden: tuple[bytes, ...] = ()
        self.count = 0
        """How many were refused so far."""

    def keep(self, most: int) -> None:
        """Keep so many from now on, the last ones; 0: none, and no data of a message."""
        self._kept = deque(self._kept, maxlen=most)

    def hide(self, secrets: Iterable[bytes]) -> None:
        """Keep x in place of the bytes of these texts, too, from now on."""
        # The longest first: one may be a part of another.
        together = {*self._hidden, *secrets}
        self._hidden = tuple(sorted(together, key=len, reverse=True))

    def _without_secrets(self, data: bytes) -> bytes:
        for secret in self._hidden:
            data = data.replace(secret, b"x" * len(secret))
        return data

    def __iter__(self) -> Iterator[RefusedMessage]:
        """Iterate over a copy of them."""
        return iter(tuple(self._kept))

    def add(
        self,
        kind: str,
        reason: str,
        message: bytes = b"",
        position: int | None = None,
        *,
        listener: str = "",
        client: str = "",
        server: str = "",
    ) -> None:
        """Record a message that was refused; see RefusedMessage.

        The caller has replaced what is secret in `message`, as passwords; see also `hide`.
        """
        self.count += 1
        if not self._kept.maxlen:
            return
        if self._hidden:
            message = self._without_secrets(bytes(message))
            reason = self._without_secrets(reason.encode(errors="replace")).decode(errors="replace")
        begin = 0 if position is None else max(0, min(position - BEFORE, len(message) - PIECE))
        self._kept.append(
            RefusedMessage(
                self.count,
                self._engine.wall,
                self._engine.now,
                kind,
                listener[:TEXT],
                client[:TEXT],
                server[:TEXT],
                reason[:TEXT],
                bytes(message[begin : begin + PIECE]),
                begin,
                len(message),
                position,
            )
        )
