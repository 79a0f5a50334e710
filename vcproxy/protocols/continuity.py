"""Continuity: counts the packets that are missing in an MPEG transport stream.

Tested in tests/protocols/test_continuity.py.
"""

from __future__ import annotations

NULL_PID = 0x1FFF
"""The PID of null packets: they fill a constant bit rate, and their counter means nothing."""


class Continuity:
    """The continuity counters of one transport stream (ISO/IEC 13818-1, 2.4.3.3).

    Each PID counts its packets with a payload, modulo 16. So a loss of 16 packets, or of a multiple
    of it, is not noticed.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        """By PID, 8192 at most: the counter of the last packet; plus 16 if it was a copy."""

    def missing(self, pid: int, flags: int, jumps: bool = False) -> int:
        """Return how many packets of this PID are missing before this one: 0 to 15.

        A packet may be sent twice.

        Args:
            flags: the fourth byte of the packet: whether it has a payload, and the counter.
            jumps: whether it has the discontinuity_indicator: its counter may begin anywhere.
        """
        if pid == NULL_PID:
            return 0
        counter, last, has_payload = flags & 15, self._last.get(pid), flags & 0x10
        self._last[pid] = counter
        if last is None or jumps:
            return 0
        if has_payload and counter == last:
            self._last[pid] = counter + 16  # a second copy is an error
            return 0
        return (counter - last - (1 if has_payload else 0)) & 15
