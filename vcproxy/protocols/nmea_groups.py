"""nmea_groups: to which group of sentences of NMEA 0183 a part belongs.

A part after the first says nothing of its group but a number from 0 to 9: the second part of most
static reports of AIS is `!AIVDM,2,2,N,B,88888888880,2`, whichever ship has sent it.

Tested in tests/protocols/test_nmea_groups.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.protocols.nmea import NmeaSentence

MOST = 1000
"""Groups of which the first part is kept: a source sends some at a time; any bytes may be one."""


class NmeaGroups:
    """Remembers the first part of each source's groups."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str, bytes], bytes] = {}

    def whole(self, sentence: NmeaSentence, source: str) -> bytes:
        """Return the text of a sentence; of a later part of a group, with that of the first."""
        text = sentence.text
        if not sentence.part:
            return text
        # Behind the part's number: in AIS the number of the group, in others the same in all parts.
        number = text.split(b",", 4)[3:4]
        group = source, sentence.address, number[0] if number else b""
        if sentence.part > 1:
            return self._first.get(group, b"") + text
        if len(self._first) >= MOST:
            self._first.clear()
        self._first[group] = text
        return text
