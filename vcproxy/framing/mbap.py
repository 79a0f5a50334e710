"""mbap: Modbus/TCP.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vcproxy.framing.decoding import FramingError, Measure, unchanged
from vcproxy.framing.framing import Framing
from vcproxy.framing.measured import Measured

LEAST, MOST = 2, 254
"""Length: a unit id and a function code; a unit id and the longest PDU, 253 bytes."""


@dataclass(frozen=True, slots=True)
class Mbap(Measured):
    """See `mbap`."""

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        size = len(data)
        if size < at + 8:
            return 8
        length = data[at + 4] << 8 | data[at + 5]
        if data[at + 2] or data[at + 3] or length < LEAST:
            return FramingError.INVALID
        if length > MOST:
            return FramingError.OVERSIZED
        end = at + 6 + length
        return (at, end, end) if end <= size else length + 6

    @property
    def reframe(self) -> Callable[[bytes], bytes]:
        """See `reframe_with`."""
        return unchanged

    def encode(self, message: bytes) -> bytes:
        """See Measured. A right head is enough."""
        if 8 <= len(message) <= 6 + MOST and message[2:6] == len(message[6:]).to_bytes(4, "big"):
            return message
        return Measured.encode(self, message)  # super() fails: slots made another class


def mbap() -> Framing:
    """Return the framing of Modbus/TCP: transaction id, protocol id 0, the length of the rest,
    unit id, function code, and its data.

    A message is the whole frame, at most 260 bytes. Another protocol id, or a length that no PDU
    has, is invalid framing. Source: MODBUS Messaging on TCP/IP Implementation Guide 1.0b, 3.1.3.
    """
    return Mbap()
