"""hdlc: frames of HDLC and PPP on lines of bytes.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vcproxy.framing.checks import CheckSum, check_sum
from vcproxy.framing.decoding import Damaged, Decoder
from vcproxy.framing.escapes import unescape
from vcproxy.framing.framing import LIMIT, Framing, byte_limit, check_size
from vcproxy.framing.pieces import PieceDecoder, too_long

FLAG, ESCAPE = b"\x7e", b"\x7d"
ESCAPED_FLAG, ESCAPED_ESCAPE = b"\x7d\x5e", b"\x7d\x5d"
VALUES = {byte: bytes((byte ^ 0x20,)) for byte in range(256)}


@dataclass(frozen=True, slots=True)
class Hdlc:
    """See `hdlc`."""

    noisy: ClassVar[bool] = True
    """See Framing: noise before the flag of a frame is a piece of its own."""
    sum: CheckSum | None
    limit: int
    width: int
    """Of the check."""
    longest: int
    """The longest frame, with an escape before each byte."""

    def decoder(self) -> Decoder:
        """See Framing."""
        return PieceDecoder(FLAG, self.longest, self.read)

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: see FrameScanner."""
        return PieceDecoder(FLAG, self.longest, self.read, whole=True)

    def read(self, piece: bytes) -> bytes | Damaged | None:
        """Return the content between two flags; None: there is none."""
        if not piece:
            return None
        if len(piece) > self.longest:
            return too_long(piece, self.limit)
        frame = unescape(piece, ESCAPE, VALUES)
        if frame is None:
            return Damaged(piece, "aborted by its sender")
        content = frame
        if self.sum is not None:
            content = frame[: -self.width]
            if len(frame) < self.width:
                return Damaged(frame, f"shorter than its check {self.sum.name}")
            if self.sum.of(content) != frame[-self.width :]:
                return Damaged(frame, f"its check {self.sum.name} is wrong")
        return too_long(content, self.limit) if len(content) > self.limit else content

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        check_size(message, self.limit)
        frame = message if self.sum is None else message + self.sum.of(message)
        if not frame:
            raise ValueError("a frame of HDLC has at least one byte")
        return FLAG + frame.replace(ESCAPE, ESCAPED_ESCAPE).replace(FLAG, ESCAPED_FLAG) + FLAG


def hdlc(check: str = "crc16-x25", limit: str | int = LIMIT) -> Framing:
    """Return the framing of HDLC on lines of bytes: frames between flags 0x7e, with escapes 0x7d.

    A message is the content without escapes and without the check, which `encode` adds: by default
    the frame check sequence of 16 bits; "" for none. A frame with a wrong check, one that its
    sender aborted, and one over `limit` are damaged; the next one is found.
    Source: RFC 1662 (PPP in HDLC-like framing), 4; ISO/IEC 13239, 4.3.

    Raises ValueError for an unknown check: see CHECKS.
    """
    most, kind = byte_limit(limit), check_sum(check) if check else None
    width = kind.width if kind else 0
    return Hdlc(kind, most, width, 2 * (most + width))
