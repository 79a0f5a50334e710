"""BodyBuffer: collects a whole body, for filters that need it at once.

Tested in tests/http/proxy/test_proxied_filters.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.held_memory import HeldMemory
from vcproxy.http.message.bad_message import BadMessage

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.http.message.body import BodyReader
    from vcproxy.http.proxy.wire import Wire


class BodyBuffer:
    """Holds up to `limit` bytes of a body, and counts them in the memory budget."""

    __slots__ = ("_keep", "_limit", "_pieces", "_reader", "_status")

    def __init__(self, owner: Continuation, reader: BodyReader, limit: int, status: int) -> None:
        """`status`: that of the BadMessage raised for a longer body."""
        self._keep = HeldMemory(owner)
        self._reader = reader
        self._limit = limit
        self._status = status
        self._pieces: list[bytes] = []

    @property
    def held(self) -> int:
        """Bytes of the body that have arrived."""
        return self._keep.size

    def take(self, wire: Wire) -> bytes | None:
        """Read the input of a wire. Return the body once it is complete, else None.

        Raises BadMessage for a body that is malformed, too long, or ends too early.
        """
        reader = self._reader
        piece = reader.feed(wire.take(1))
        if not reader.over:
            piece += reader.feed(wire.take())
        if piece:
            self._keep.hold(self.held + len(piece))
            if self.held > self._limit:
                why = f"body longer than the {self._limit} bytes that a filter may buffer"
                raise BadMessage(self._status, why, "RFC 9110 15.5.14")
            self._pieces.append(piece)
        if reader.over:
            wire.pending = reader.rest
        elif wire.over:
            if wire.reads.error is not None:
                why = f"connection failed inside the body: {wire.reads.error}"
                raise BadMessage(self._status, why, "RFC 9112 8")
            reader.finish()
        else:
            return None
        body = b"".join(self._pieces)
        self._pieces.clear()
        return body
