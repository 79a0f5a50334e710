"""RtpReceiver: the payloads of a stream of RTP packets, without late ones and copies.

Tested in tests/protocols/test_rtp.py.
"""

from __future__ import annotations

HEADER = 12
"""Bytes of a header without contributing sources and extension."""

MOST_LATE = 100
"""A packet up to this far back is late, or a copy; further back, the sender has started again (RFC
3550, A.1: MAX_MISORDER)."""


class RtpReceiver:
    """Takes the packets of one sender after the other (RFC 3550, 5.1). It keeps none, so it does
    not sort them."""

    __slots__ = ("_next", "_sender")

    def __init__(self) -> None:
        self._sender = b""
        """The synchronization source (SSRC) of the last packet."""
        self._next = 0
        """The number that follows that of its last packet."""

    def payload(self, packet: bytes) -> bytes | None:
        """Return the payload of a packet, without header, extension and padding.

        b"": it has none, it ends within its header, or it is no RTP packet. None: it came after a
        later one, or twice.
        """
        if len(packet) < HEADER or packet[0] >> 6 != 2:
            return b""
        start, end = HEADER + 4 * (packet[0] & 15), len(packet)
        if packet[0] & 0x10:
            start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4])
        if packet[0] & 0x20:
            end -= packet[-1]
        if start >= end:
            return b""
        number, sender = int.from_bytes(packet[2:4]), packet[8:12]
        if sender == self._sender and 0 < (self._next - number) & 0xFFFF <= MOST_LATE:
            return None
        self._next, self._sender = number + 1, sender
        return packet[start:end]
