"""mbap: Modbus/TCP.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from vcproxy.framing.decoding import FramingError, Measure
from vcproxy.framing.framing import Framing
from vcproxy.framing.measured import Measured

HEAD = Struct(">HHH")
"""Transaction id, protocol id, length of what follows."""

LEAST, MOST = 2, 254
"""Length: a unit id and a function code; a unit id and the longest PDU, 253 bytes."""


@dataclass(frozen=True, slots=True)
class Mbap(Measured):
    """See `mbap`."""

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        size = len(data) - at
        if size < 8:
            return 8
        _, protocol, length = HEAD.unpack_from(data, at)
        if protocol or length < LEAST:
            return FramingError.INVALID
        if length > MOST:
            return FramingError.OVERSIZED
        if size < length + 6:
            return int(length + 6)
        end = at + 6 + length
        return at, end, end


def mbap() -> Framing:
    """Return the framing of Modbus/TCP: transaction id, protocol id 0, the length of the rest,
    unit id, function code, and its data.

    A message is the whole frame, at most 260 bytes. Another protocol id, or a length that no PDU
    has, is invalid framing. Source: MODBUS Messaging on TCP/IP Implementation Guide 1.0b, 3.1.3.
    """
    return Mbap()
