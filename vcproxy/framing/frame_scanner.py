"""FrameScanner: splits a stream into frames (messages with framing) without changing a byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.framing.decoding import FramingError

if TYPE_CHECKING:
    from vcproxy.framing.framing import Framing


class FrameScanner:
    """Splits one stream, passed in as pieces of any size, into frames.

    Bytes between two messages, such as a blank line, belong to the second frame.
    """

    __slots__ = ("_decoder", "_framing", "_rest", "fault")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._decoder = framing.decoder()
        self._rest = bytearray()
        self.fault: FramingError | None = None
        """Why no more frames can be found; None: they can. Frames that were returned are valid."""

    def feed(self, data: bytes) -> list[bytes]:
        """Scan the next piece of the stream; return the frames that it completes, in order."""
        rest = self._rest
        rest += data
        frames: list[bytes] = []
        begin = 0
        for message in self._decoder.feed(data):
            frame = self._framing.encode(message)
            found = rest.find(frame, begin)
            if found < 0:  # `encode` gives other bytes than those that arrived
                self.fault = FramingError.INVALID
                break
            end = found + len(frame)
            frames.append(bytes(rest[begin:end]))
            begin = end
        del rest[:begin]
        self.fault = self.fault or self._decoder.fault
        return frames

    def take_rest(self) -> bytes:
        """Return the bytes that are not part of a returned frame. No more frames follow."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest
