"""Cutting: a stream into its messages as they stand on the wire. No byte is lost or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.framing.decoding import FramingError

if TYPE_CHECKING:
    from vcproxy.framing.framing import Framing


class FrameScanner:
    """Takes one stream in pieces, and gives its messages with all that makes them messages.

    What stands between two messages, as a blank line, comes with the second one.
    """

    __slots__ = ("_decoder", "_framing", "_rest", "fault")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._decoder = framing.decoder()
        self._rest = bytearray()
        self.fault: FramingError | None = None
        """Set once no more can be cut: the messages given before are sound."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next piece, return the messages that it completes, in order."""
        rest = self._rest
        rest += data
        wires: list[bytes] = []
        begin = 0
        for message in self._decoder.feed(data):
            wire = self._framing.encode(message)
            found = rest.find(wire, begin)
            if found < 0:  # a framing that writes messages otherwise than they came
                self.fault = FramingError.INVALID
                break
            end = found + len(wire)
            wires.append(bytes(rest[begin:end]))
            begin = end
        del rest[:begin]
        self.fault = self.fault or self._decoder.fault
        return wires

    def take_rest(self) -> bytes:
        """Give what has come and is no message, or not yet: nothing more can be cut then."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest
