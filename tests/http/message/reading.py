"""Reads messages in the way of a machine: a head, then a body, received in any pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.body import BodyReader, body_reader
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.message.parsing import head_end, parse_request, parse_response

LIMITS = MessageLimits()


@dataclass
class Read:
    """What was read of one message after all pieces."""

    head: Request | Response | None = None
    body: bytes = b""
    over: bool = False
    rest: bytes = b""
    trailers: Fields = field(default_factory=Fields)
    refused: BadMessage | None = None

    @property
    def verdict(self) -> object:
        """The part of the result that must not depend on the pieces."""
        if self.refused is not None:
            return self.refused.status
        head = self.head and {name: getattr(self.head, name) for name in self.head.__slots__}
        return head, self.body, self.over, self.rest, self.trailers


def read(
    pieces: Iterable[bytes],
    answers: str | None = None,
    limits: MessageLimits = LIMITS,
    ended: bool = True,
) -> Read:
    """Read a request; or, if `answers` is a method, the response to a request with it."""
    message, reader = Read(), None
    data, seen = b"", 0
    status = 400 if answers is None else 502
    try:
        for piece in pieces:
            if reader is None:
                data += piece
                end = head_end(data, limits, seen=seen)
                seen = len(data)
                if end < 0:
                    continue
                head: Request | Response
                if answers is None:
                    head = parse_request(data[:end], limits)
                else:
                    head = parse_response(data[:end], limits, answers)
                message.head = head
                reader = body_reader(head.body, limits, status)
                piece = data[end:]
            _feed(message, reader, piece)
        if ended and reader is not None and not message.over:
            reader.finish()
            message.over = reader.over
    except BadMessage as problem:
        message.refused = problem
        if answers is not None:
            problem.status = 502
    return message


def _feed(message: Read, reader: BodyReader, data: bytes) -> None:
    if reader.over:
        message.rest += reader.rest + data if not message.over else data
    else:
        message.body += reader.feed(data)
        message.rest = reader.rest
    message.over, message.trailers = reader.over, reader.trailers


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def halves(data: bytes) -> Iterator[list[bytes]]:
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
