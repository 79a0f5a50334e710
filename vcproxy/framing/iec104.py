"""iec104: APDUs of IEC 60870-5-104.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.framing.decoding import FramingError, Measure
from vcproxy.framing.framing import Framing
from vcproxy.framing.measured import Measured

START = 0x68
LEAST, MOST = 4, 253
"""Length: four control fields; these and the longest ASDU, 249 bytes."""


@dataclass(frozen=True, slots=True)
class Iec104(Measured):
    """See `iec104`."""

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        if data[at] != START:
            return FramingError.INVALID
        if len(data) < at + 2:
            return 2
        length = data[at + 1]
        if length < LEAST:
            return FramingError.INVALID
        if length > MOST:
            return FramingError.OVERSIZED
        end = at + 2 + length
        return (at, end, end) if end <= len(data) else 2 + length


def iec104() -> Framing:
    """Return the framing of IEC 60870-5-104: 0x68, the length of the rest, four control fields, and
    perhaps an ASDU.

    A message is the whole APDU, at most 255 bytes. Source: IEC 60870-5-104:2006, 5.1.
    """
    return Iec104()
