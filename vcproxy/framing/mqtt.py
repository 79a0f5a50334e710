"""mqtt: control packets of MQTT.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.framing.decoding import FramingError, Measure
from vcproxy.framing.framing import LIMIT, Framing, byte_limit
from vcproxy.framing.measured import Measured


@dataclass(frozen=True, slots=True)
class Mqtt(Measured):
    """See `mqtt`."""

    limit: int

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured."""
        length, place = 0, at + 1
        for shift in (0, 7, 14, 21):
            if place >= len(data):
                return place + 1 - at
            byte = data[place]
            place += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                end = place + length
                if end - at > self.limit:
                    return FramingError.OVERSIZED
                return (at, end, end) if end <= len(data) else end - at
        return FramingError.INVALID


def mqtt(limit: str | int = LIMIT) -> Framing:
    """Return the framing of MQTT: a type and flags, the length of the rest in 1 to 4 bytes.

    A message is the whole control packet. A length of more than four bytes is invalid framing.
    Source: MQTT 3.1.1, 2.2; MQTT 5.0, 2.1 and 1.5.5.
    """
    return Mqtt(byte_limit(limit))
