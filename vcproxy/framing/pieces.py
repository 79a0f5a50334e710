"""PieceDecoder: the decoder of framings in which one byte ends every message, whatever was in it.

After anything wrong it finds the next message: what is wrong is returned as Damaged.
Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from vcproxy.engine.units import show_size
from vcproxy.framing.decoding import Damaged, Decoded, FramingError

Read: TypeAlias = Callable[[bytes], bytes | Damaged | None]
"""Returns the message of the bytes between two ends; None: there is none in them."""


def too_long(piece: bytes, limit: int) -> Damaged:
    """Return a piece over the limit as damaged, with the part that is within it."""
    return Damaged(piece[:limit], f"longer than {show_size(limit)}")


class PieceDecoder:
    """Splits a stream at one byte, and reads what is between. Nothing between two is no message.

    Args:
        end: the byte.
        limit: of the bytes between two ends. Of more, `read` gets the first ones only, and one byte
            over the limit.
        read: see Read.
        escape: if it is set, pieces without this byte, of `plain` bytes at most, are messages as
            they are.
        whole: return frames as they arrived, instead of messages. More than `limit` bytes are then
            the fault OVERSIZED, since not all could be returned. See FrameScanner.
    """

    __slots__ = (
        "_end",
        "_escape",
        "_frame",
        "_held",
        "_limit",
        "_plain",
        "_read",
        "_whole",
        "fault",
    )

    def __init__(
        self,
        end: bytes,
        limit: int,
        read: Read,
        *,
        escape: bytes = b"",
        plain: int = 0,
        whole: bool = False,
    ) -> None:
        self.fault: FramingError | None = None
        self._end = end
        self._limit = limit
        self._read = read
        self._escape = escape
        self._plain = plain
        self._whole = whole
        self._held = bytearray()  # the beginning of a piece; if over the limit, one byte more
        self._frame = b""  # what stands before the next message, if frames are whole

    def feed(self, data: bytes) -> Decoded:
        """See Decoder."""
        if self.fault is not None:
            return []
        pieces = data.split(self._end)
        held, limit = self._held, self._limit
        if held:
            held += pieces[0]
            if len(held) > limit:
                del held[limit + 1 :]
            if len(pieces) == 1:
                return self._over() if self._whole and len(held) > limit else []
            pieces[0] = bytes(held)
            held.clear()
        rest = pieces.pop()
        held += rest[: limit + 1]
        if self._whole:
            return self._frames(pieces)
        if self._escape and self._are_plain(data, pieces):
            return [piece for piece in pieces if piece]
        messages: list[bytes | Damaged] = []
        for piece in filter(None, pieces):
            message = self._read(piece if len(piece) <= limit else piece[: limit + 1])
            if message is not None:
                messages.append(message)
        return messages

    def _are_plain(self, data: bytes, pieces: list[bytes]) -> bool:
        """Whether all pieces are messages as they are. The first may have begun before `data`."""
        first, escape = pieces[0] if pieces else b"", self._escape
        return escape not in data and escape not in first and len(data) + len(first) <= self._plain

    def finish(self) -> None:
        """See Decoder."""
        if self.fault is None and self._held and self._read(bytes(self._held)) is not None:
            self.fault = FramingError.TRUNCATED
        self._held.clear()

    def _frames(self, pieces: list[bytes]) -> Decoded:
        frames: list[bytes | Damaged] = []
        for piece in pieces:
            if len(piece) > self._limit:
                return self._over(frames)
            frame = self._frame + piece + self._end
            message = self._read(piece)
            self._frame = frame if message is None else b""
            if isinstance(message, Damaged):
                frames.append(Damaged(frame, message.why))
            elif message is not None:
                frames.append(frame)
        if len(self._held) > self._limit or len(self._frame) > self._limit:
            return self._over(frames)
        return frames

    def _over(self, frames: list[bytes | Damaged] | None = None) -> Decoded:
        self.fault = FramingError.OVERSIZED
        self._held.clear()
        return frames or []
