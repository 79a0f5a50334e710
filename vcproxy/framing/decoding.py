"""Decoders: split one stream of bytes into messages, in time linear in the number of bytes.

Tested in tests/framing/test_framing.py and test_kinds.py.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, final


class FramingError(enum.Enum):
    """Why no more messages can be found in a stream."""

    OVERSIZED = "message over the size limit"
    INVALID = "invalid framing: no message can begin with these bytes"
    TRUNCATED = "stream ended inside a message"


@final
class Damaged(NamedTuple):
    """A message that arrived whole, but damaged: its check fails. It must not be forwarded.

    The messages after it are found: only FramingError ends a stream.
    """

    data: bytes
    """What arrived of it: with its check, and escapes unchanged if they are what is wrong."""
    why: str
    """What is wrong, as text for people."""


Decoded: TypeAlias = list[bytes] | list[bytes | Damaged]
"""Messages in the order of the stream. Decoders without a check return bytes only."""


class Decoder(Protocol):
    """Splits one stream into messages. It never raises: see `fault`."""

    fault: FramingError | None
    """Why no more messages can be found; None: they can. Messages that `feed` has returned are
    valid."""

    def feed(self, data: bytes) -> Decoded:
        """Decode the next piece of the stream; return the messages that it completes, in order.

        A message whose check fails is returned as Damaged.
        """

    def finish(self) -> None:
        """End the stream: an incomplete message sets the fault TRUNCATED."""


class PassthroughDecoder:
    """Returns each piece unchanged, as a message."""

    __slots__ = ("fault",)

    def __init__(self) -> None:
        self.fault: FramingError | None = None

    def feed(self, data: bytes) -> Decoded:
        """See Decoder."""
        return [data]

    def finish(self) -> None:
        """See Decoder."""


class DelimiterDecoder:
    """Splits a stream at delimiters. Each byte is examined at most twice."""

    __slots__ = ("_delimiter", "_held", "_limit", "_overlap", "_skips_blank", "fault")

    def __init__(self, delimiter: bytes, limit: int, skips_blank: bool = False) -> None:
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


MOST_BETWEEN = 64 << 10
"""Limit of bytes between two messages, where they are held for the frame of the second one."""


@dataclass(frozen=True, slots=True)
class Skip:
    """A result of `measure`: bytes that stand between two messages, and belong to none."""

    size: int
    """Their number; at least 1."""


def skip(pattern: re.Pattern[bytes], data: bytes, at: int) -> Skip | FramingError:
    """Return the bytes from `at` on that match; if none does, no message can begin there."""
    found = pattern.match(data, at)
    return FramingError.INVALID if found is None else Skip(found.end() - at)


Measure: TypeAlias = tuple[int, int, int] | int | Skip | FramingError
"""The result of `measure`. For a complete frame: the message's start and stop, and the frame's end,
as positions in the data. For an incomplete frame: its length, or the part of it that is known; more
than there is. Skip: no frame begins here, but perhaps behind these bytes. Else the error."""

Measurer: TypeAlias = Callable[[bytes, int], Measure]
"""Measures the frame that begins at a position of the data. A decoder calls it with the same frame
until the frame is complete, each time from the frame's beginning."""

Check: TypeAlias = Callable[[bytes], "bytes | Damaged"]
"""Returns the message for the bytes between start and stop, or Damaged."""


def unchanged(message: bytes) -> bytes:
    """Return the message: `reframe` of framings in which a message is the whole frame."""
    return message


class LengthDecoder:
    """Splits a stream of messages that begin with their length, or with bytes that determine it.

    Args:
        measure: see Measurer.
        check: makes the message of what was measured; None: that is the message.
        whole: return frames as they arrived, instead of messages; bytes that were skipped belong to
            the frame after them. See FrameScanner.
        in_place: an incomplete frame is measured in a bytearray, without a copy: for framings that
            search for the end, so that the time stays linear.
    """

    __slots__ = ("_check", "_held", "_in_place", "_measure", "_needed", "_skipped", "_whole",
                 "fault")  # fmt: skip

    def __init__(
        self,
        measure: Measurer,
        check: Check | None = None,
        *,
        whole: bool = False,
        in_place: bool = False,
    ) -> None:
        self.fault: FramingError | None = None
        self._measure = measure
        self._check = check
        self._whole = whole
        self._in_place = in_place
        self._held = bytearray()
        self._needed = 0  # the known length of the frame at the end of _held
        self._skipped = 0  # bytes at the beginning of _held that were skipped

    def feed(self, data: bytes) -> Decoded:
        """See Decoder."""
        held, measure, at = self._held, self._measure, 0
        if held:
            held += data
            at = self._skipped
            if len(held) < at + self._needed:
                return []
            if self._in_place:
                found = measure(held, at)  # type: ignore[arg-type]
                if type(found) is int:
                    self._needed = found
                    return []
                data = bytes(held)
            else:
                data = bytes(held)
                found = measure(data, at)
            held.clear()
        elif self.fault is not None or not data:
            return []
        else:
            found = measure(data, 0)
        messages: list[bytes | Damaged] = []
        begin, size = 0, len(data)
        check, whole = self._check, self._whole
        while True:
            if type(found) is tuple:
                start, stop, at = found
                if whole:
                    messages.append(self._frame(data, start, stop, begin, at))
                elif check is None:
                    messages.append(data[start:stop])
                else:
                    messages.append(check(data[start:stop]))
                begin = at
            elif type(found) is int:
                self._needed = found
                break
            elif type(found) is Skip:
                at += found.size
                if not whole:
                    begin = at
                elif at - begin > MOST_BETWEEN:
                    self.fault = FramingError.OVERSIZED
                    return messages
            else:
                self.fault = found  # type: ignore[assignment]
                return messages
            if at >= size:
                self._needed = 1
                break
            found = measure(data, at)
        self._skipped = at - begin
        held += data[begin:]
        return messages

    @property
    def empty(self) -> bool:
        """Whether nothing is held of an incomplete frame, and more frames can be found."""
        return not self._held and self.fault is None

    def finish(self) -> None:
        """See Decoder."""
        if len(self._held) > self._skipped:
            self.fault = FramingError.TRUNCATED
        self._held.clear()
        self._skipped = 0

    def _frame(self, data: bytes, start: int, stop: int, begin: int, end: int) -> bytes | Damaged:
        """Return the whole frame of a measured message, checked."""
        message: bytes | Damaged = data[start:stop]
        if self._check is not None:
            message = self._check(data[start:stop])
        frame = data[begin:end]
        return Damaged(frame, message.why) if isinstance(message, Damaged) else frame
