"""Measured: the base of framings in which the beginning of a message determines its length.

    class Record(Measured):
        \"\"\"A type byte, then the length of the rest in two bytes.\"\"\"

        def measure(self, data, at):
            if len(data) < at + 3:
                return 3
            length = int.from_bytes(data[at + 1 : at + 3], "big")
            if length > 1000:
                return FramingError.OVERSIZED
            end = at + 3 + length
            return (at, end, end) if end <= len(data) else end - at

Tested in tests/framing/test_measured.py and test_kinds.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from vcproxy.framing.decoding import (
    Check,
    Damaged,
    Decoder,
    FramingError,
    LengthDecoder,
    Measure,
    unchanged,
)


class Measured(ABC):
    """A framing whose subclass defines `measure`; it gets the decoder, and `encode`.

    A subclass that holds values is best a frozen dataclass. For a framing in which a message is the
    whole frame, that is all. Where the message is a part of its frame, `encode` must be overridden
    to add the rest.
    """

    __slots__ = ()

    @abstractmethod
    def measure(self, data: bytes, at: int) -> Measure:
        """Measure the frame that begins at `at`; there is at least one byte. To be overridden.

        Returns (start, stop, end) for a complete frame: the message is data[start:stop], the next
        frame begins at `end`. For an incomplete frame: its length, or the part of it that is
        known; more than there is. Skip(size): no frame begins here. FramingError: no frame ever
        begins here. Bytes after the frame must make no difference. It must not raise.
        """

    def check(self, message: bytes) -> bytes | Damaged:
        """Return the message for what was measured, or Damaged if its check fails. To be
        overridden."""
        return message

    def decoder(self) -> Decoder:
        """See Framing."""
        return LengthDecoder(self.measure, self._check)

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: see FrameScanner."""
        return LengthDecoder(self.measure, self._check, whole=True)

    @property
    def _check(self) -> Check | None:
        return None if type(self).check is Measured.check else self.check

    @property
    def reframe(self) -> Callable[[bytes], bytes]:
        """See `reframe_with`. Where `encode` is overridden, that is used."""
        return unchanged if type(self).encode is Measured.encode else self.encode

    def encode(self, message: bytes) -> bytes:
        """See Framing: return the message, which is a whole frame.

        Raises ValueError if it is not exactly one frame, or damaged.
        """
        found = self.measure(message, 0) if message else 1
        if type(found) is not tuple or found[2] != len(message):
            raise ValueError(f"{message[:40]!r} is not one whole message of {self}: {_why(found)}")
        checked = self.check(message)
        if isinstance(checked, Damaged):
            raise ValueError(f"a damaged message: {checked.why}")
        return message


def _why(found: Measure) -> str:
    if isinstance(found, FramingError):
        return found.value
    if type(found) is int:
        return "its end is missing"
    return "there is more than one" if type(found) is tuple else "it begins with other bytes"
