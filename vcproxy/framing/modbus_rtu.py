"""Modbus RTU: the framing of serial lines, and of RTU over TCP.

A frame is the unit (1 byte), the PDU, and its CRC, low byte first: 4 to 256 bytes (MODBUS over
Serial Line 1.02, section 2.5.1). A message is a whole frame.

On a line, frames are separated by silence; where bytes have passed a converter or a network, it is
gone. So a frame's length is taken from its function: see vcproxy.protocols.modbus. Bytes at which
no frame can begin, or whose CRC is wrong, are Damaged once. What follows them is searched for the
next frame: of all that begin there and have a right CRC, the one that ends first. So the result is
the same however the stream is cut. There is no FramingError but TRUNCATED.

A frame that claims to be longer than it is takes in those that follow, until its length is reached:
at most 256 bytes. A time-out of the request on whose answer it waits is the place to start anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from vcproxy.framing.checks import check_sum
from vcproxy.framing.decoding import Damaged, Decoded, Decoder, FramingError
from vcproxy.protocols.modbus import EXCEPTION, reply_length, request_length

AROUND = 3
"""Bytes of a frame that are not its PDU: the unit and the CRC."""

_crc = check_sum("crc16-modbus").of


@dataclass(frozen=True, slots=True)
class ModbusRtu:
    """See `modbus_rtu`."""

    noisy: ClassVar[bool] = True
    """See Framing."""
    side: Literal["request", "reply"]

    def decoder(self) -> Decoder:
        """See Framing."""
        return RtuDecoder(request_length if self.side == "request" else reply_length)

    def encode(self, message: bytes) -> bytes:
        """Return the frame unchanged. Raises ValueError for one that a decoder would not return."""
        decoder = self.decoder()
        if decoder.feed(message) != [message]:
            raise ValueError(f"not one frame of Modbus RTU, a {self.side}: {message.hex(' ')}")
        return message


def modbus_rtu(side: Literal["request", "reply"]) -> ModbusRtu:
    """Return the framing of Modbus RTU, in the direction of requests or of replies.

    The two differ, because a function's request and its reply have different lengths. Raises
    ValueError for another side.
    """
    if side not in ("request", "reply"):
        raise ValueError(f'the side of a Modbus RTU line: "request" or "reply", not {side!r}')
    return ModbusRtu(side)


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Return the frame of a PDU."""
    frame = bytes((unit,)) + pdu
    return frame + _crc(frame)


class RtuDecoder:
    """Splits one direction of a line into frames."""

    __slots__ = ("_held", "_length", "_searched", "fault")

    def __init__(self, length: Callable[[bytes, int], int]) -> None:
        """`length` is `request_length` or `reply_length`."""
        self.fault: FramingError | None = None
        self._length = length
        self._held = b""
        self._searched = -1  # bytes of `held` that were searched; -1: its first byte begins a frame

    def feed(self, data: bytes) -> Decoded:
        """See Decoder."""
        data = self._held + data if self._held else data
        found: list[bytes | Damaged] = []
        at = 0
        while at < len(data):
            if self._searched < 0:
                end = self._end(data, at)
                if end > len(data):
                    break
                if not end or not intact(data, at, end):
                    found.append(_damaged(data, at, end))
                    self._searched = 0
                    at += 1
                    continue
            else:
                at, end = self._next_frame(data, at, at + self._searched)
                if not end:
                    self._searched = len(data) - at
                    break
                self._searched = -1
            found.append(data[at:end])
            at = end
        self._held = data[at:]
        return found

    def finish(self) -> None:
        """See Decoder. What is being searched when the stream ends was damaged already."""
        if self._held and self._searched < 0:
            self.fault = FramingError.TRUNCATED
        self._held = b""

    def _end(self, data: bytes, at: int) -> int:
        """Return where the frame at `at` ends, as far as it can be told: past the data where some
        is missing. 0: no frame begins there."""
        if len(data) < at + 2:
            return at + 1 + AROUND
        length = self._length(data, at + 1)
        return at + AROUND + length if length else 0

    def _next_frame(self, data: bytes, at: int, searched: int) -> tuple[int, int]:
        """Return the begin and the end of the frame that ends first. End 0: there is none yet, and
        none begins before `begin`. None ends up to `searched`."""
        first, best, best_end = len(data), 0, len(data) + 1
        for begin in range(at, len(data)):
            end = self._end(data, begin)
            if end > len(data):
                first = min(first, begin)
            elif searched < end < best_end and intact(data, begin, end):
                best, best_end = begin, end
        return (best, best_end) if best_end <= len(data) else (first, 0)


def intact(data: bytes, at: int, end: int) -> bool:
    """Return whether the frame has a right CRC."""
    return _crc(data[at : end - 2]) == data[end - 2 : end]


def _damaged(data: bytes, at: int, end: int) -> Damaged:
    if end:
        return Damaged(data[at:end], "wrong CRC")
    function = data[at + 1] & ~EXCEPTION
    return Damaged(data[at : at + 2], f"the length of function {function} is not defined")
