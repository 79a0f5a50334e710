"""beast: receivers of aircraft transponders, Mode-S Beast and those that send as it does.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.framing.decoding import Damaged, Measure
from vcproxy.framing.framing import Framing
from vcproxy.framing.measured import Measured

ESCAPE = 0x1A
HEAD = 7
"""A time stamp of 6 bytes and the signal level."""
SIZES = {0x31: HEAD + 2, 0x32: HEAD + 7, 0x33: HEAD + 14, 0x34: HEAD + 14}
"""Bytes after the type: "1" Mode A/C, "2" Mode S short, "3" Mode S long, "4" its own state."""
LOST = 1024
"""Bytes after which a piece without a message ends: more than 20 messages."""


@dataclass(frozen=True, slots=True)
class Beast(Measured):
    """See `beast`."""

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measured. Damage has bytes that `check` refuses."""
        size = len(data)
        if data[at] != ESCAPE:
            return self._lost(data, at)
        if size < at + 2:
            return 2
        missing = SIZES.get(data[at + 1], 0)
        if not missing:
            return self._lost(data, at)
        place = at + 2
        while missing:
            escape = data.find(ESCAPE, place, place + missing)
            if escape < 0:
                place += missing
                break
            missing -= escape + 1 - place
            if size < escape + 2:
                return escape + 2 - at
            if data[escape + 1] != ESCAPE:
                return at, escape, escape  # another message begins inside of this one
            place = escape + 2
        # Another message may begin in the missing part, so it is not waited for as a whole.
        return (at, place, place) if place <= size else size + 1 - at

    def _lost(self, data: bytes, at: int) -> Measure:
        """Measure bytes up to the next message."""
        place = at + (2 if data[at] == ESCAPE else 1)
        while True:
            escape = data.find(ESCAPE, place, at + LOST)
            if escape < 0:
                known = len(data) - at
                return (at, at + LOST, at + LOST) if known >= LOST else known + 1
            if escape + 2 > len(data):
                return escape + 2 - at
            if data[escape + 1] in SIZES:
                return at, escape, escape
            place = escape + 2

    def check(self, message: bytes) -> bytes | Damaged:
        """Return the message without its first byte and without escapes."""
        wanted = SIZES.get(message[1], 0) if message[0] == ESCAPE and len(message) > 1 else 0
        content = message[1:].replace(b"\x1a\x1a", b"\x1a")
        if wanted and len(content) == wanted + 1:
            return content
        return Damaged(message, "it is cut off" if wanted else "no message of a known type")

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        if not message or len(message) != SIZES.get(message[0], -1) + 1:
            raise ValueError(f"{message[:24]!r} is not one message of a known type")
        return b"\x1a" + message[:1] + message[1:].replace(b"\x1a", b"\x1a\x1a")


def beast() -> Framing:
    """Return the framing of Mode-S Beast: 0x1a, a type, a time stamp, a signal level, the data.

    A message is all of that but the 0x1a, with doubled 0x1a made single: the type "1", "2", "3" or
    "4", the time stamp in 6 bytes, the signal level in one, and 2, 7, 14 or 14 bytes. Other types,
    and messages that are cut off, are damaged; the next message is found.
    Source: https://wiki.jetvision.de/wiki/Mode-S_Beast:Data_Output_Formats
    """
    return Beast()
