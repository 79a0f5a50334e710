"""tpkt: ISO transport on TCP, as of S7 and RDP.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.framing.decoding import FramingError, Measure
from vcproxy.framing.framing import LIMIT, Framing, byte_limit
from vcproxy.framing.measured import Measured

VERSION, LEAST = 3, 7
"""The version of RFC 1006; its shortest packet, with a head of ISO 8073 of three bytes."""


@dataclass(frozen=True, slots=True)
class Tpkt(Measured):
    """See `tpkt`."""

    limit: int

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        if data[at] != VERSION:
            return FramingError.INVALID
        if len(data) < at + 4:
            return 4
        length = data[at + 2] << 8 | data[at + 3]
        if length < LEAST:
            return FramingError.INVALID
        if length > self.limit:
            return FramingError.OVERSIZED
        end = at + length
        return (at, end, end) if end <= len(data) else length


def tpkt(limit: str | int = LIMIT) -> Framing:
    """Return the framing of TPKT: the version 3, a reserved byte, the length of the whole packet in
    two bytes.

    A message is the whole packet. Source: RFC 1006, section 6.
    """
    return Tpkt(byte_limit(limit))
