"""split: many clients share one connection to a server; each gets the answers to its own requests.

Without a `key` the server answers each request with one message, in the order of the requests. With
a `key`, requests and answers are JSON objects that contain it. The server may answer in any order,
and may send several answers in one JSON array.

    [listener.options]
    framing = "json-lines"
    key = "id"
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from vcproxy.api import (
    Duration,
    Keyed,
    NetVConnection,
    Part,
    RefusingOptions,
    Reject,
    Service,
    SplitRules,
    Splitter,
    Unanswered,
    parse_json,
)

NUMBERS = 1 << 31
"""The numbers of `renumber`: those that every JSON library can read."""


class Split(Splitter):
    """Matches requests with answers by their order, or by a member of JSON objects."""

    @dataclass(frozen=True)
    class Options(RefusingOptions):
        """How requests and answers are matched, and what happens to those that match nothing."""

        key: str = ""
        """The JSON member that a request and all parts of its answer have in common. Empty: answers
        are matched by the order of the requests. A request without this member is not valid."""

        last: str = ""
        """The JSON member that is true in the last part of an answer. Empty: each answer has one
        part."""

        renumber: bool = False
        """Whether the server gets a number of the proxy's own as the `key` of each request; the
        client gets its own key back. Else requests with equal keys wait for each other."""

        in_flight: Annotated[int, Field(ge=0)] = 0
        """The most requests that are at the server at one time; the others wait, and clients take
        turns. 0: no limit; 1: for a server that takes one after the other."""

        timeout: Duration = 30.0
        """How long the server has for the whole answer, from when the request is sent."""

        queue_timeout: Duration = 30.0
        """How long a request may wait until it is sent."""

        attempts: Annotated[int, Field(ge=1)] = 1
        """How often a request is sent at most: again when its connection is lost, or when it is not
        answered in time. More than 1 only if the server may execute a request twice."""

        silences: Annotated[int, Field(ge=1)] = 1
        """Requests in a row that time out, while the server sends nothing at all, before its
        connection is closed. It is 1 without a `key`, or with `in_flight` = 1 and no
        `renumber`: a late answer could be taken for that of the next request."""

        unanswered: str = ""
        """The message for a client whose request is not answered. Empty: the client's connection is
        closed."""

        orphans: Literal["drop", "reconnect", "broadcast"] = "drop"
        """What happens to a message that no request waits for. "drop": it is counted and dropped.
        "reconnect": the server connection is closed, and the next request opens another; without a
        `key`, clients then use the connection one at a time, each on a new one, so that no client
        can get the answer to another client's request. "broadcast": all clients get it, if it is
        without a key; they are closed when the server connection is lost."""

        window: Annotated[int, Field(ge=1)] = 16
        """Requests of one client that may be pending; with more, the client is not read."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.encode_text(self.unanswered)
            if self.renumber and not self.key:
                raise ValueError("renumber needs key: the member that gets the number")

    def __init__(self, client: NetVConnection, service: Service) -> None:
        options = service.options
        assert isinstance(options, Split.Options)
        self.framing = options.message_framing
        self.timeout_s = options.timeout
        self.queue_timeout_s = options.queue_timeout
        self.attempts = options.attempts
        self.window = options.window
        self._key, self._renumber = options.key, options.renumber
        self._invalid = Reject(options.refusal, options.keep)
        self._unanswered = options.unanswered.encode() or None
        super().__init__(client, service)

    def key(self, request: bytes) -> str | Keyed | Reject | None:
        """Return the value of the member that the option `key` names."""
        if not self._key:
            return None
        try:
            value = parse_json(request)
        except ValueError:
            return self._invalid
        key = key_of(value, self._key)
        if key is None or not self._renumber:
            return key or self._invalid
        number = self.fresh_id(NUMBERS)
        return Keyed(repr(number), with_key(value, self._key, number))

    def restore(self, request: bytes, part: bytes) -> bytes:
        """Return the part with the key of the request."""
        own = key_value(parse_json(request), self._key)
        return with_key(parse_json(part), self._key, own)

    @classmethod
    def split(cls, reply: bytes, options: Options) -> Iterator[Part]:
        """Yield the objects of an array, or the object. A part without the key matches nothing."""
        try:
            value = parse_json(reply)
        except ValueError:
            return
        if not isinstance(value, list):
            yield part_of(value, reply, options)
            return
        for answer in value:
            yield part_of(answer, json.dumps(answer).encode(), options)

    @classmethod
    def split_rules(cls, options: Options, place: str) -> SplitRules:
        """See Splitter: replies are framed like requests."""
        split = partial(cls.split, options=options) if options.key else whole
        return SplitRules(
            options.reply_framing,
            split,
            options.orphans,
            in_flight=options.in_flight,
            silences=options.silences,
        )

    def unanswered(self, request: bytes, why: Unanswered) -> bytes | None:
        """Return the message of the option `unanswered`."""
        return self._unanswered


def whole(reply: bytes) -> tuple[Part]:
    """Return a reply as the only part of an answer."""
    return (Part(None, reply),)


def part_of(answer: object, data: bytes, options: Split.Options) -> Part:
    """Return a part with its key, and whether it is the last one."""
    last = not options.last or (isinstance(answer, dict) and answer.get(options.last) is True)
    return Part(key_of(answer, options.key), data, last)


def key_of(value: object, member: str) -> str | None:
    """Return a JSON value as text, to use it as a key. 1 and true give different keys."""
    return repr(value[member]) if isinstance(value, dict) and member in value else None


def with_key(value: object, member: str, key: object) -> bytes:
    """Return a JSON object as text, with another value of a member."""
    assert isinstance(value, dict)
    return json.dumps({**value, member: key}).encode()


def key_value(value: object, member: str) -> object:
    """Return the value of a member of a JSON object."""
    assert isinstance(value, dict)
    return value[member]
