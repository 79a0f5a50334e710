"""postgresql: version 3 of the protocol of PostgreSQL.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vcproxy.framing.decoding import Decoder, FramingError, LengthDecoder, Measure
from vcproxy.framing.framing import LIMIT, Framing, byte_limit

Sender: TypeAlias = Literal["client", "server"]

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
"""The codes of packets after which the client sends another one without a type."""

ANSWERS = b"SNG"
"""What a server answers to these: one byte, for TLS, no, or GSSAPI."""


@dataclass(frozen=True, slots=True)
class Postgresql:
    """See `postgresql`."""

    sender: Sender
    limit: int

    def decoder(self) -> Decoder:
        """See Framing."""
        return LengthDecoder(_Conversation(self).measure)

    def frame_decoder(self) -> Decoder:
        """Return a decoder that returns whole frames: here these are the messages."""
        return self.decoder()

    def reframe(self, message: bytes) -> bytes:
        """See `reframe_with`."""
        return message

    def encode(self, message: bytes) -> bytes:
        """See Framing."""
        if len(message) == 1 and message in ANSWERS:
            return message  # of a server; also to a client, whose framing this may be
        conversation = _Conversation(self)
        if len(message) > 1 and message[0]:
            found = conversation.typed(message, 0)
        else:
            found = conversation.measure(message, 0) if message else 1
        if type(found) is not tuple or found[2] != len(message):
            raise ValueError(f"{message[:40]!r} is not one whole message of a {self.sender}")
        return message


class _Conversation:
    """Measures one stream: whether its next message may be one without a type."""

    __slots__ = ("_limit", "_sender", "_started")

    def __init__(self, framing: Postgresql) -> None:
        self._sender = framing.sender
        self._limit = framing.limit
        self._started = False

    def measure(self, data: bytes, at: int) -> Measure:
        """See Measurer."""
        if not self._started:
            if self._sender == "client":
                return self._first_packet(data, at)
            if data[at] in ANSWERS:
                return at, at + 1, at + 1
            self._started = True
        return self.typed(data, at)

    def typed(self, data: bytes, at: int) -> Measure:
        """Measure a message with a type: the length counts itself, not the type."""
        if not 0x21 <= data[at] <= 0x7E:
            return FramingError.INVALID
        if len(data) < at + 5:
            return 5
        length = int.from_bytes(data[at + 1 : at + 5], "big")
        if length < 4:
            return FramingError.INVALID
        end = at + 1 + length
        if end - at > self._limit:
            return FramingError.OVERSIZED
        return (at, end, end) if end <= len(data) else end - at

    def _first_packet(self, data: bytes, at: int) -> Measure:
        """Measure a packet without a type: its length, which counts itself, and a code."""
        if data[at]:
            return FramingError.INVALID  # 16 MiB and more, or TLS
        if len(data) < at + 8:
            return 8
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:
            return FramingError.INVALID
        if length > self._limit:
            return FramingError.OVERSIZED
        end = at + length
        if end > len(data):
            return length
        code = int.from_bytes(data[at + 4 : at + 8], "big")
        self._started = code not in (SSL_REQUEST, GSS_REQUEST)
        return at, end, end


def postgresql(sender: Sender, limit: str | int = LIMIT) -> Framing:
    """Return the framing of what a client, or a server, of PostgreSQL sends.

    A message is whole, with its type and length. A client's first packet has no type: its start-up
    parameters, or a request for TLS, GSSAPI or a cancellation; after a request for TLS or GSSAPI
    another packet without a type follows. A server answers these two requests with one byte, which
    is a message: N if it declines. After S the stream is TLS, and no more messages are found.
    Source: PostgreSQL 15, Frontend/Backend Protocol, 55.2.10 and 55.7.
    """
    if sender not in ("client", "server"):
        raise ValueError(f'sender = "{sender}": it must be "client" or "server"')
    return Postgresql(sender, byte_limit(limit))
