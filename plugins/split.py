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
from typing import Annotated

from pydantic import Field

from vcproxy.api import (
    Duration,
    NetVConnection,
    Orphans,
    Part,
    RefusingOptions,
    Reject,
    Service,
    SplitRules,
    Splitter,
    Unanswered,
    parse_json,
)


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

        timeout: Duration = 30.0
        """How long a request waits for the last part of its answer."""

        unanswered: str = ""
        """The message for a client whose request timed out, or lost its server connection. Empty:
        the client's connection is closed."""

        orphans: Orphans = "drop"
        """What happens to an answer that no request waits for. "drop": it is counted and dropped.
        "reconnect": the server connection is closed, and the next request opens another; without a
        `key`, clients then use the connection one at a time, each on a new one, so that no client
        can get the answer to another client's request."""

        window: Annotated[int, Field(ge=1)] = 16
        """Requests of one client that may be pending; with more, the client is not read."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.encode_text(self.unanswered)

    def __init__(self, client: NetVConnection, service: Service) -> None:
        options = service.options
        assert isinstance(options, Split.Options)
        self.framing = options.message_framing
        self.timeout_s = options.timeout
        self.window = options.window
        self._key = options.key
        self._invalid = Reject(options.refusal, options.keep)
        self._unanswered = options.unanswered.encode() or None
        super().__init__(client, service)

    def key(self, request: bytes) -> str | Reject | None:
        """Return the value of the member that the option `key` names."""
        if not self._key:
            return None
        try:
            return key_of(parse_json(request), self._key) or self._invalid
        except ValueError:
            return self._invalid

    @classmethod
    def split(cls, reply: bytes, options: Options) -> Iterator[Part]:
        """Yield the objects of an array, or the object. A part without the key matches nothing."""
        if not options.key:
            yield Part(None, reply)
            return
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
        split = partial(cls.split, options=options)
        return SplitRules(options.reply_framing, split, options.orphans)

    def unanswered(self, request: bytes, why: Unanswered) -> bytes | None:
        """Return the message of the option `unanswered`."""
        return self._unanswered


def part_of(answer: object, data: bytes, options: Split.Options) -> Part:
    """Return a part with its key, and whether it is the last one."""
    last = not options.last or (isinstance(answer, dict) and answer.get(options.last) is True)
    return Part(key_of(answer, options.key) or "", data, last)


def key_of(value: object, member: str) -> str | None:
    """Return a JSON value as text, to use it as a key. 1 and true give different keys."""
    return repr(value[member]) if isinstance(value, dict) and member in value else None
