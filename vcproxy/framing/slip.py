"""slip: packets on serial lines.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.framing.decoding import Damaged, Decoder
from vcproxy.framing.escapes import unescape
from vcproxy.framing.framing import LIMIT, Framing, byte_limit, check_size
from vcproxy.framing.pieces import PieceDecoder, too_long

END, ESCAPE = b"\xc0", b"\xdb"
ESCAPED_END, ESCAPED_ESCAPE = b"\xdb\xdc", b"\xdb\xdd"
VALUES = {ESCAPED_END[1]: END, ESCAPED_ESCAPE[1]: ESCAPE}


@dataclass(frozen=True, slots=True)
class Slip:
    """See `slip`."""

    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return PieceDecoder(END, 2 * self.limit, self.read, escape=ESCAPE, plain=self.limit)

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: see FrameScanner."""
        return PieceDecoder(END, 2 * self.limit, self.read, whole=True)

    def read(self, piece: bytes) -> bytes | Damaged | None:
        """Return the packet between two ENDs; None: there is none."""
        if not piece:
            return None
        if len(piece) > 2 * self.limit:
            return too_long(piece, self.limit)
        packet = unescape(piece, ESCAPE, VALUES)
        if packet is None:
            return Damaged(piece, "an ESC stands before neither ESC_END nor ESC_ESC")
        return too_long(packet, self.limit) if len(packet) > self.limit else packet

    def encode(self, message: bytes) -> bytes:
        """See Framing. An END before it ends what noise on the line has begun (RFC 1055)."""
        check_size(message, self.limit)
        if not message:
            raise ValueError("a packet of SLIP has at least one byte")
        stuffed = message.replace(ESCAPE, ESCAPED_ESCAPE).replace(END, ESCAPED_END)
        return END + stuffed + END


def slip(limit: str | int = LIMIT) -> Framing:
    """Return the framing of SLIP: packets between END bytes, with END and ESC escaped.

    A message is the packet without escapes. A wrong escape, or more bytes than `limit`, is damage;
    the next packet is found. SLIP has no check of its own: see `checked`. Source: RFC 1055.
    """
    return Slip(byte_limit(limit))
