"""nmea: what a sentence of NMEA 0183 says of itself: its address, and its place in a group.

    \\s:mast,c:1700000000*31\\$GPGSV,3,1,11,03,03,111,00*74
     tag block               address, parts of the group, this part; checksum

Source: NMEA 0183 version 4.10, 5.3 (sentences) and 7 (tag blocks); AIS: IEC 61162-1 (VDM, VDO).
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import NamedTuple

GROUPS = frozenset(("GSV", "RTE", "TXT", "VDM", "VDO"))
"""Sentences that come in groups: the first two fields are the number of parts, and the part's."""


class NmeaSentence(NamedTuple):
    """A sentence without its tag block and its line end."""

    text: bytes
    """From $ or !."""
    address: str
    """The talker and the type, for example "GPGSV"; of a manufacturer's sentence "PMTK010"."""
    kind: str
    """Its last three letters, for example "GSV": the type. Of a manufacturer's sentence P and the
    three letters of the manufacturer."""
    part: int
    """Its number in its group, from 1; 0: the kind has no groups."""

    @classmethod
    def parse(cls, message: bytes) -> NmeaSentence:
        """Return the sentence of a message: see `framing.nmea`. It need not be a valid one."""
        text = message[message.rfind(b"\\") + 1 :]
        fields = text.split(b",", 3)
        address = fields[0].partition(b"*")[0][1:].decode("latin-1")
        kind = address[:4] if address.startswith("P") else address[-3:]
        part = 0
        if kind in GROUPS:
            number = fields[2] if len(fields) > 2 else b""
            part = int(number) if number.isdigit() and len(number) < 4 else 1
        return cls(text, address, kind, part)


def with_nmea_checksum(message: bytes) -> bytes:
    """Return a message with the checksum of its sentence, if it has none."""
    text = message[message.rfind(b"\\") + 1 :]
    return message if b"*" in text else b"%b*%02X" % (message, reduce(xor, text[1:], 0))
