"""BodyBuffer: a whole body, as somebody wants it who must see all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.held_memory import HeldMemory
from vcproxy.http.message.bad_message import BadMessage

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.http.message.body import BodyReader
    from vcproxy.http.proxy.wire import Wire


class BodyBuffer:
    """Takes a body from a side, of `limit` bytes at most. It counts as held while this lives."""

    __slots__ = ("_keep", "_limit", "_pieces", "_reader", "_status")

    def __init__(self, owner: Continuation, reader: BodyReader, limit: int, status: int) -> None:
        """`status`: of the BadMessage that a longer body raises."""
        self._keep = HeldMemory(owner)
        self._reader = reader
        self._limit = limit
        self._status = status
        self._pieces: list[bytes] = []

    @property
    def held(self) -> int:
        """How much of it has come."""
        return self._keep.size

    def take(self, side: Wire) -> bytes | None:
        """Take what has come; return the body once it is whole.

        Raises BadMessage for one that is broken, is too long, or ends too early.
        """
        reader = self._reader
        piece = reader.feed(side.take(1))
        if not reader.over:
            piece += reader.feed(side.take())
        if piece:
            self._keep.hold(self.held + len(piece))
            if self.held > self._limit:
                why = f"the body is longer than the {self._limit} bytes that are looked at"
                raise BadMessage(self._status, why, "RFC 9110 15.5.14")
            self._pieces.append(piece)
        if reader.over:
            side.pending = reader.rest
        elif side.over:
            if side.reads.error is not None:
                raise BadMessage(self._status, f"it broke: {side.reads.error}", "RFC 9112 8")
            reader.finish()
        else:
            return None
        whole = b"".join(self._pieces)
        self._pieces.clear()
        return whole
