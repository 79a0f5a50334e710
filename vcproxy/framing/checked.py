"""checked: a framing whose messages have a checksum of CHECKS.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.framing.checks import CheckSum, check_sum
from vcproxy.framing.decoding import Damaged, Decoded, Decoder, FramingError
from vcproxy.framing.frame_scanner import WholeFrames
from vcproxy.framing.framing import Framing


@dataclass(frozen=True, slots=True)
class Checked:
    """See `checked`."""

    framing: Framing
    check: CheckSum
    at: int | None
    first: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return CheckedDecoder(self, self.framing.decoder())

    def read(self, message: bytes) -> bytes | Damaged:
        """Return a message of the framing, or Damaged."""
        width, place = self.check.width, self.place(len(message))
        stop = place if self.first <= place else len(message)
        if place < 0 or place + width > len(message) or self.first > stop:
            return Damaged(message, f"shorter than its check {self.check.name}")
        if self.check.of(message[self.first : stop]) != message[place : place + width]:
            return Damaged(message, f"its check {self.check.name} is wrong")
        return message[:place] if self.at is None else message

    def place(self, size: int) -> int:
        """Return where the check stands in a message of this size."""
        if self.at is None:
            return size - self.check.width
        return self.at if self.at >= 0 else size + self.at

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        if self.at is None:
            return self.framing.encode(message + self.check.of(message[self.first :]))
        found = self.read(message)
        if isinstance(found, Damaged):
            raise ValueError(f"a damaged message: {found.why}")
        return self.framing.encode(message)


class CheckedFrames(Checked):
    """The same for a framing that can return frames as they arrived."""

    __slots__ = ()

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: see FrameScanner."""
        assert isinstance(self.framing, WholeFrames)
        return CheckedDecoder(self, self.framing.decoder(), self.framing.frame_decoder())


class CheckedDecoder:
    """Checks the messages of another decoder; returns them, or the frames of a third one."""

    __slots__ = ("_decoder", "_frames", "_framing", "fault")

    def __init__(self, framing: Checked, decoder: Decoder, frames: Decoder | None = None) -> None:
        self.fault: FramingError | None = None
        self._framing = framing
        self._decoder = decoder
        self._frames = frames

    def feed(self, data: bytes) -> Decoded:
        """See Decoder."""
        decoder, read = self._decoder, self._framing.read
        messages = [
            each if isinstance(each, Damaged) else read(each) for each in decoder.feed(data)
        ]
        self.fault = decoder.fault
        return messages if self._frames is None else _framed(messages, self._frames.feed(data))

    def finish(self) -> None:
        """See Decoder."""
        self._decoder.finish()
        self.fault = self._decoder.fault


def _framed(messages: list[bytes | Damaged], frames: Decoded) -> Decoded:
    """Return the frames of messages, damaged where these are."""
    found: list[bytes | Damaged] = []
    for message, frame in zip(messages, frames, strict=True):
        if isinstance(message, Damaged) and isinstance(frame, bytes):
            frame = Damaged(frame, message.why)
        found.append(frame)
    return found


def checked(framing: Framing, check: str, at: int | None = None, first: int = 0) -> Framing:
    """Return a framing whose messages have a check; a message with a wrong one is damaged.

    Args:
        framing: how messages are framed.
        check: the name of the check: see CHECKS.
        at: where in the message it stands; below 0: from its end. None: at its end, and it is not
            part of the message: `encode` adds it.
        first: the first byte of the message that it covers. It covers what follows up to the check;
            if the check stands before that byte, up to the end of the message.

    Raises ValueError for an unknown check.
    """
    kind = CheckedFrames if isinstance(framing, WholeFrames) else Checked
    return kind(framing, check_sum(check), at, first)
