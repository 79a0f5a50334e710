"""length_at: whole frames with a length somewhere in their head.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vcproxy.framing.decoding import FramingError, Measure
from vcproxy.framing.framing import LIMIT, Framing, Order, byte_limit
from vcproxy.framing.measured import Measured

Counts: TypeAlias = Literal["rest", "field", "frame"]
"""What a length counts: what follows it; that and its own bytes; the whole frame."""


@dataclass(frozen=True, slots=True)
class LengthAt(Measured):
    """See `length_at`."""

    offset: int
    width: int
    order: Order
    added: int
    """Bytes of the frame that the length does not count."""
    least: int
    """The length of the shortest frame: its head."""
    limit: int

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        start = at + self.offset
        stop = start + self.width
        if len(data) < stop:
            return stop - at
        size = int.from_bytes(data[start:stop], self.order) + self.added
        if size > self.limit:
            return FramingError.OVERSIZED
        if size < self.least:
            return FramingError.INVALID
        end = at + size
        return (at, end, end) if end <= len(data) else size


def length_at(
    offset: int,
    width: int = 2,
    order: Order = "big",
    counts: Counts = "rest",
    header: int = 0,
    limit: str | int = LIMIT,
) -> Framing:
    """Return the framing of messages with their length in `width` bytes at `offset`.

    A message is the whole frame, because its head has other fields too. Behind the length there may
    be `header` bytes more of the head that the length does not count.

    Args:
        offset: bytes of the head before the length.
        width: bytes of the length, 1 to 8.
        order: its byte order.
        counts: what the length counts. "rest": the bytes behind it, without those of `header`.
            "field": these and its own. "frame": the whole frame.
        header: with "rest" or "field": bytes behind the length that it does not count.
        limit: of a whole frame.

    Raises ValueError for other arguments.
    """
    if not 1 <= width <= 8:
        raise ValueError(f"a length of {width} bytes: it must have 1 to 8")
    if offset < 0 or header < 0:
        raise ValueError("offset and header are numbers of bytes: at least 0")
    if counts == "frame" and header:
        raise ValueError('a length that counts the whole frame (counts = "frame") counts header')
    if counts not in ("rest", "field", "frame"):
        raise ValueError(f'counts = "{counts}": it must be "rest", "field" or "frame"')
    head = offset + width + header
    added = {"rest": head, "field": offset + header, "frame": 0}[counts]
    return LengthAt(offset, width, order, added, head, byte_limit(limit))
