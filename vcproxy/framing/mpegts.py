"""mpegts: packets of an MPEG transport stream.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.framing.decoding import Damaged, Measure
from vcproxy.framing.framing import Framing
from vcproxy.framing.measured import Measured

SIZE = 188
SYNC = 0x47
LOST = 5 * SIZE
"""Bytes after which a piece without packets ends: as many as decoders examine to find the sync
byte again, and few enough to hold."""


@dataclass(frozen=True, slots=True)
class Mpegts(Measured):
    """See `mpegts`."""

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        size = len(data) - at
        if data[at] == SYNC:
            end = at + SIZE
            return (at, end, end) if size >= SIZE else SIZE
        for place in range(at + 1, at + LOST):
            if place + SIZE >= len(data):
                return place + SIZE + 1 - at
            if data[place] == SYNC == data[place + SIZE]:
                return at, place, place
        return at, at + LOST, at + LOST

    def check(self, message: bytes) -> bytes | Damaged:
        """Return the packet; Damaged for bytes that are none."""
        return message if message[0] == SYNC else Damaged(message, "no packet: no sync byte 0x47")


def mpegts() -> Framing:
    """Return the framing of MPEG transport streams: packets of 188 bytes that begin with 0x47.

    A message is one packet. Bytes without packets are damaged: the next packet is where two sync
    bytes are 188 bytes apart. Source: ISO/IEC 13818-1, 2.4.3.
    """
    return Mpegts()
