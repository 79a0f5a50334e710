"""DatagramDecoder: the messages of datagrams, where a framing is used inside them.

Tested in tests/framing/test_datagrams.py and tests/messages/test_validated_datagrams.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.framing.decoding import Damaged, FramingError

if TYPE_CHECKING:
    from vcproxy.framing.decoding import Decoded
    from vcproxy.framing.framing import Framing


class DatagramDecoder:
    """Decodes each datagram on its own: it has whole messages, or all of it is damaged.

    Nothing that a datagram lacks can come later: datagrams get lost and overtake each other. A
    datagram that is damaged says nothing about the next one, so there is never a `fault`.

    Where messages end in a delimiter (the attribute `delimiter` of a framing), the end of a
    datagram ends one, too: many senders leave the last line end out.
    """

    __slots__ = ("_delimiter", "_framing", "fault")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._delimiter: bytes = getattr(framing, "delimiter", b"")
        self.fault: FramingError | None = None

    def feed(self, data: bytes) -> Decoded:
        """Decode one datagram; an empty one has no messages."""
        messages, fault = self._decode(data)
        if fault is FramingError.TRUNCATED and self._delimiter:
            messages, fault = self._decode(data + self._delimiter)
        if fault is None:
            return messages
        ends = fault is FramingError.TRUNCATED
        why = "the datagram ends inside a message" if ends else fault.value
        damaged: list[bytes | Damaged] = [Damaged(data, why)]
        return damaged

    def finish(self) -> None:
        """Do nothing: see Decoder."""

    def _decode(self, data: bytes) -> tuple[Decoded, FramingError | None]:
        decoder = self._framing.decoder()
        messages = decoder.feed(data)
        if decoder.fault is None:
            decoder.finish()
        return messages, decoder.fault
