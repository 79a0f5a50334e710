"""nmea: sentences of NMEA 0183, also of AIS.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vcproxy.framing.checks import xor_of
from vcproxy.framing.decoding import Damaged, Decoder
from vcproxy.framing.framing import LIMIT, Framing, byte_limit
from vcproxy.framing.pieces import PieceDecoder, too_long

STARTS = b"$!"
"""What a sentence begins with: of instruments, of AIS."""

ENDS = tuple(b"*%02X" % checksum for checksum in range(256))
"""What a sentence ends with, by its checksum."""


@dataclass(frozen=True, slots=True)
class Nmea:
    """See `nmea`."""

    unchecked: bool
    limit: int
    delimiter: ClassVar[bytes] = b"\n"

    def decoder(self) -> Decoder:
        """See Framing."""
        return PieceDecoder(b"\n", self.limit + 1, self.read)  # with a CR

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: see FrameScanner."""
        return PieceDecoder(b"\n", self.limit + 1, self.read, whole=True)

    def read(self, line: bytes) -> bytes | Damaged | None:
        """Return the sentence of a line; None: it is blank."""
        line = line.removesuffix(b"\r")
        if not line:
            return None
        # Most sentences by the shortest way; anything else below.
        usual = line[0] in STARTS and 3 < len(line) <= self.limit
        if usual and line.endswith(ENDS[xor_of(line[1:-3])]):
            return line
        if len(line) > self.limit:
            return too_long(line, self.limit)
        sentence = line
        if line.startswith(b"\\"):
            block, backslash, sentence = line[1:].partition(b"\\")
            if not backslash or _wrong(block, self.unchecked):
                return Damaged(line, "the checksum of its tag block is wrong")
        if not sentence.startswith((b"$", b"!")):
            return Damaged(line, "it does not begin with $ or !")
        why = _wrong(sentence[1:], self.unchecked)
        return Damaged(line, why) if why else line

    def reframe(self, message: bytes) -> bytes:
        """See `reframe_with`."""
        return message + b"\r\n"

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        found = None if b"\n" in message or message.endswith(b"\r") else self.read(message)
        if isinstance(found, Damaged):
            raise ValueError(f"{message[:40]!r} is not a sentence: {found.why}")
        if found is None:
            raise ValueError(f"{message[:40]!r} is not one sentence without its line end")
        return message + b"\r\n"


def _wrong(text: bytes, unchecked: bool) -> str:
    """Return what is wrong with the checksum at the end of a text; "": nothing."""
    content, star, given = text.rpartition(b"*")
    if not star:
        return "" if unchecked else "it has no checksum"
    right = ENDS[xor_of(content)][1:]
    if given.upper() == right:
        return ""
    return f"its checksum is {given[:8].decode('latin-1')!r}, and must be {right.decode()!r}"


def nmea(unchecked: bool = False, limit: str | int = LIMIT) -> Framing:
    """Return the framing of NMEA 0183 sentences: $ or ! (AIS), fields, * and the checksum, CR LF.

    A message is the sentence without CR LF; also LF alone ends it. It may have a tag block before
    it, with a checksum of its own. Anything else on a line is damaged: a wrong checksum, more than
    `limit` bytes, the end of a sentence whose beginning was not received. Blank lines are ignored.
    With `unchecked`, sentences without a checksum are messages too.
    Source: NMEA 0183 version 4.10, 5.3 and 7; IEC 61162-1.
    """
    return Nmea(unchecked, byte_limit(limit))
