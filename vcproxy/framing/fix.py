"""fix: the tag=value encoding of FIX.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vcproxy.framing.checks import sum_of
from vcproxy.framing.decoding import Damaged, FramingError, Measure
from vcproxy.framing.framing import LIMIT, Framing, byte_limit
from vcproxy.framing.measured import Measured

HEAD = re.compile(rb"8=[^\x01]{1,16}\x019=([0-9]{1,9})\x01")
LONGEST_HEAD = 31
SOH = 1
SUMS = tuple(b"%03d" % total for total in range(256))
"""CheckSum, field 10, of each sum."""
TRAILER_SIZE = 7
"""Without the end of the field before it."""


@dataclass(frozen=True, slots=True)
class Fix(Measured):
    """See `fix`."""

    limit: int

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        head = HEAD.match(data, at)
        if head is None:
            size = len(data) - at
            begun = b"8=".startswith(data[at : at + 2])
            return size + 1 if begun and size < LONGEST_HEAD else FramingError.INVALID
        end = head.end() + int(head[1]) + TRAILER_SIZE
        if end - at > self.limit:
            return FramingError.OVERSIZED
        if end > len(data):
            return end - at
        if data[end - TRAILER_SIZE - 1 : end - 4] != b"\x0110=" or data[end - 1] != SOH:
            return FramingError.INVALID
        return at, end, end

    def check(self, message: bytes) -> bytes | Damaged:
        """Check field 10, CheckSum."""
        given, right = message[-4:-1], SUMS[sum_of(message[:-TRAILER_SIZE])]
        if given == right:
            return message
        return Damaged(
            message, f"CheckSum is {given.decode('latin-1')}, and must be {right.decode()}"
        )


def fix(limit: str | int = LIMIT) -> Framing:
    """Return the framing of FIX messages: fields 8 and 9 (BodyLength), the body, and field 10.

    A message is whole. One with a wrong CheckSum is damaged; a BodyLength behind which no field 10
    stands is invalid framing. Source: FIX tagvalue encoding 1.1, Message structure.
    """
    return Fix(byte_limit(limit))
