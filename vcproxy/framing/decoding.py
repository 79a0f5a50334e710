"""Decoders: split one stream of bytes into messages, in time linear in the number of bytes.

Tested in tests/framing/test_framing.py.
"""

from __future__ import annotations

import enum
from typing import Protocol, TypeAlias


class FramingError(enum.Enum):
    """Why no more messages can be found in a stream."""

    OVERSIZED = "message over the size limit"
    INVALID = "invalid framing: no message can begin with these bytes"
    TRUNCATED = "stream ended inside a message"


class Decoder(Protocol):
    """Splits one stream into messages. It never raises: see `fault`."""

    fault: FramingError | None
    """Why no more messages can be found; None: they can. Messages that `feed` has returned are
    valid."""

    def feed(self, data: bytes) -> list[bytes]:
        """Decode the next piece of the stream; return the messages that it completes, in order."""

    def finish(self) -> None:
        """End the stream: an incomplete message sets the fault TRUNCATED."""


class PassthroughDecoder:
    """Returns each piece unchanged, as a message."""

    __slots__ = ("fault",)

    def __init__(self) -> None:
        self.fault: FramingError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """See Decoder."""
        return [data]

    def finish(self) -> None:
        """See Decoder."""


class DelimiterDecoder:
    """Splits a stream at delimiters. Each byte is examined at most twice."""

    __slots__ = ("_delimiter", "_held", "_limit", "_overlap", "_skips_blank", "fault")

    def __init__(self, delimiter: bytes, limit: int, skips_blank: bool) -> None:
        self.fault: FramingError | None = None
        self._delimiter = delimiter
        self._limit = limit
        self._skips_blank = skips_blank
        self._overlap = len(delimiter) - 1  # most bytes of a split delimiter that are held
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """See Decoder."""
        held = self._held
        if held:
            fresh = max(len(held) - self._overlap, 0)
            held += data
            if held.find(self._delimiter, fresh) < 0:
                self._check_held()
                return []
            data = bytes(held)
            held.clear()
        elif self.fault is not None:
            return []
        messages = data.split(self._delimiter)
        held += messages.pop()
        if len(data) > self._limit:
            messages = self._check_limit(messages)
        if self._skips_blank:
            return [message for message in messages if message and not message.isspace()]
        return messages

    def finish(self) -> None:
        """See Decoder."""
        if self._held and not (self._skips_blank and self._held.isspace()):
            self.fault = FramingError.TRUNCATED
        self._held.clear()

    def _check_limit(self, messages: list[bytes]) -> list[bytes]:
        for number, message in enumerate(messages):
            if len(message) > self._limit:
                self._stop()
                return messages[:number]
        self._check_held()
        return messages

    def _check_held(self) -> None:
        if len(self._held) > self._limit + self._overlap:
            self._stop()

    def _stop(self) -> None:
        self.fault = FramingError.OVERSIZED
        self._held.clear()


Measure: TypeAlias = tuple[int, int, int] | int | FramingError
"""The result of `measure`. For a complete frame: the message's start and stop, and the frame's end.
For an incomplete frame: its length, or the part of it that is known. Else the error."""


class MeasuredFraming(Protocol):
    """A framing in which each message begins with its length."""

    def measure(self, data: bytes, at: int) -> Measure:
        """Measure the frame that begins at `at`. Bytes after the frame are not examined."""


class LengthDecoder:
    """Splits a stream of messages that begin with their length."""

    __slots__ = ("_framing", "_held", "_needed", "fault")

    def __init__(self, framing: MeasuredFraming) -> None:
        self.fault: FramingError | None = None
        self._framing = framing
        self._held = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[bytes]:
        """See Decoder."""
        held = self._held
        if held:
            held += data
            if len(held) < self._needed:
                return []
            data = bytes(held)
            held.clear()
        elif self.fault is not None:
            return []
        messages: list[bytes] = []
        measure = self._framing.measure
        at, size = 0, len(data)
        while at < size:
            found = measure(data, at)
            if type(found) is tuple:
                start, stop, at = found
                messages.append(data[start:stop])
            elif type(found) is int:
                self._needed = found
                held += data[at:]
                break
            else:
                self.fault = found  # type: ignore[assignment]
                break
        return messages

    def finish(self) -> None:
        """See Decoder."""
        if self._held:
            self.fault = FramingError.TRUNCATED
            self._held.clear()
