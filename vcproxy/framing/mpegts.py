"""mpegts: packets of an MPEG transport stream.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.framing.decoding import Damaged, Decoded, Decoder, FramingError, Measure
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

    def decoder(self) -> Decoder:
        """See Framing."""
        return PacketDecoder(self)


class PacketDecoder:
    """Decodes as a LengthDecoder, but takes a piece with nothing but packets apart at once: a
    stream has thousands a second."""

    __slots__ = ("_framing", "_held", "fault")

    def __init__(self, framing: Mpegts) -> None:
        self.fault: FramingError | None = None
        self._framing = framing
        self._held = b""
        """Less than a packet, or than the bytes that are examined for one."""

    def feed(self, data: bytes) -> Decoded:
        """See Decoder."""
        if self._held:
            data = self._held + data
        whole = len(data) // SIZE * SIZE
        if data[:whole:SIZE].strip(b"\x47"):
            return self._search(data)
        self._held = data[whole:]
        return [data[at : at + SIZE] for at in range(0, whole, SIZE)]

    def _search(self, data: bytes) -> Decoded:
        framing, at = self._framing, 0
        found: list[bytes | Damaged] = []
        while at < len(data):
            measured = framing.measure(data, at)
            if not isinstance(measured, tuple):
                break  # incomplete
            start, stop, at = measured
            found.append(framing.check(data[start:stop]))
        self._held = data[at:]
        return found

    def finish(self) -> None:
        """See Decoder."""
        if self._held:
            self.fault = FramingError.TRUNCATED
        self._held = b""


def mpegts() -> Framing:
    """Return the framing of MPEG transport streams: packets of 188 bytes that begin with 0x47.

    A message is one packet. Bytes without packets are damaged: the next packet is where two sync
    bytes are 188 bytes apart. Source: ISO/IEC 13818-1, 2.4.3.
    """
    return Mpegts()
