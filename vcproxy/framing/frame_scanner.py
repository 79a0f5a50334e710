"""FrameScanner: splits a stream into frames (messages with framing) without changing a byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vcproxy.framing.decoding import MOST_BETWEEN, Damaged, FramingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.framing.decoding import Decoder
    from vcproxy.framing.framing import Framing


@runtime_checkable
class WholeFrames(Protocol):
    """A framing that can also return frames as they arrived: where `encode` may give others."""

    def frame_decoder(self) -> Decoder:
        """Return a decoder of frames. What stands between two belongs to the second one."""


class FrameScanner:
    """Splits one stream, passed in as pieces of any size, into frames.

    Bytes between two messages, such as a blank line, belong to the second frame.
    """

    __slots__ = ("_decoder", "_encode", "_rest", "stopped")

    def __init__(self, framing: Framing) -> None:
        self._decoder: Decoder
        self._encode: Callable[[bytes], bytes] | None = None
        if isinstance(framing, WholeFrames):
            self._decoder = framing.frame_decoder()
        else:
            self._decoder = framing.decoder()
            self._encode = framing.encode
        self._rest = bytearray()
        self.stopped = ""
        """Why no more frames are found, as text; "": they are. Frames that were returned are
        valid. A damaged message stops it too: it belongs to the rest."""

    def feed(self, data: bytes) -> list[bytes]:
        """Scan the next piece of the stream; return the frames that it completes, in order."""
        rest = self._rest
        rest += data
        frames: list[bytes] = []
        begin = 0
        for message in self._decoder.feed(data):
            if isinstance(message, Damaged):
                self.stopped = message.why
                break
            frame = message if self._encode is None else self._encode(message)
            found = begin if self._encode is None else rest.find(frame, begin)
            if found < 0:  # `encode` gives other bytes than those that arrived
                self.stopped = FramingError.INVALID.value
                break
            end = found + len(frame)
            frames.append(bytes(rest[begin:end]))
            begin = end
        del rest[:begin]
        if not self.stopped and self._decoder.fault is not None:
            self.stopped = self._decoder.fault.value
        elif len(rest) > MOST_BETWEEN and rest.isspace():
            self.stopped = FramingError.OVERSIZED.value
        return frames

    def take_rest(self) -> bytes:
        """Return the bytes that are not part of a returned frame. No more frames follow."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest
