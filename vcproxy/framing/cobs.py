"""cobs: consistent overhead byte stuffing.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.framing.decoding import Damaged, Decoder
from vcproxy.framing.framing import LIMIT, Framing, byte_limit, check_size
from vcproxy.framing.pieces import PieceDecoder, too_long

END = b"\0"
FULL = 0xFF
"""The code of a block of 254 bytes, behind which no zero stands."""


@dataclass(frozen=True, slots=True)
class Cobs:
    """See `cobs`."""

    limit: int

    @property
    def _longest(self) -> int:
        return self.limit + self.limit // (FULL - 1) + 1

    def decoder(self) -> Decoder:
        """See Framing."""
        return PieceDecoder(END, self._longest, self.read)

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: see FrameScanner."""
        return PieceDecoder(END, self._longest, self.read, whole=True)

    def read(self, piece: bytes) -> bytes | Damaged | None:
        """Return the packet between two zeros; None: there is none."""
        if not piece:
            return None
        size = len(piece)
        if piece[0] == size and size <= self.limit:
            return piece[1:]  # one block
        if size > self._longest:
            return too_long(piece, self.limit)
        blocks, at = [], 0
        while at < size:
            code = piece[at]
            end = at + code
            if end > size:
                return Damaged(piece, "its last block is cut off")
            blocks.append(piece[at + 1 : end])
            if code != FULL and end < size:
                blocks.append(END)
            at = end
        packet = b"".join(blocks)
        return too_long(packet, self.limit) if len(packet) > self.limit else packet

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        check_size(message, self.limit)
        parts: list[bytes] = []
        whole = FULL - 1
        for run in message.split(END):
            while len(run) > whole:
                parts += b"\xff", run[:whole]
                run = run[whole:]
            parts += bytes((len(run) + 1,)), run
            if len(run) == whole:
                parts.append(b"\1")  # the zero behind a full block, or nothing at the end
        return b"".join(parts) + END


def cobs(limit: str | int = LIMIT) -> Framing:
    """Return the framing of COBS: packets that end in a zero, with their own zeros replaced.

    A message is the packet. One whose last block is cut off, or over `limit`, is damaged; the next
    packet is found. COBS has no check of its own: see `checked`.
    Source: Cheshire and Baker, Consistent Overhead Byte Stuffing, IEEE/ACM Transactions on
    Networking 7(2), 1999.
    """
    return Cobs(byte_limit(limit))
