"""split: many clients share one connection to a server, and each gets what answers its requests.

Without a `key` the server answers every request by one message, in the order of the requests. With
one, requests and answers are JSON objects that carry it; the server may answer in any order, and
many answers at once, as an array.

    [listener.options]
    framing = "json-lines"
    key = "id"
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
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
    Splitter,
    parse_json,
)


class Split(Splitter):
    """Correlates by order, or by a member of JSON objects."""

    @dataclass(frozen=True)
    class Options(RefusingOptions):
        """How requests and answers belong together, and what happens when they do not."""

        key: str = ""
        """The member that a request and the parts of its answer have in common; empty: answers come
        in the order of the requests. A request without it is not valid."""

        last: str = ""
        """The member that is true in the last part of an answer; empty: the first is the last."""

        timeout: Duration = 30.0
        """How long a request waits for the last part of its answer."""

        unanswered: str = ""
        """The message for a request that was not answered in time, or whose server has gone; empty:
        its client is closed."""

        orphans: Orphans = "drop"
        """What becomes of an answer that no request waits for: it is dropped, or the connection
        to the server is closed and another opened for the next request. Without a `key` clients
        then use the connection one at a time, and it is opened anew for the next one: an answer
        too many would go to somebody else."""

        window: Annotated[int, Field(ge=1)] = 16
        """Requests of one client that are under way before it is read on."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.encode_text(self.unanswered)

    def __init__(self, client: NetVConnection, service: Service) -> None:
        options = service.options
        assert isinstance(options, Split.Options)
        self.framing = options.message_framing
        self.orphans = options.orphans
        self.timeout_s = options.timeout
        self.window = options.window
        self._key, self._last = options.key, options.last
        self._invalid = Reject(options.refusal, options.keep)
        self._unanswered = options.unanswered.encode() or None
        super().__init__(client, service)

    def key(self, request: bytes) -> str | Reject | None:
        """Read it from the request."""
        if not self._key:
            return None
        try:
            return self._key_of(parse_json(request)) or self._invalid
        except ValueError:
            return self._invalid

    def split(self, reply: bytes) -> Iterator[Part]:
        """Take an array apart; anything that has no key belongs to nobody."""
        if not self._key:
            yield Part(None, reply)
            return
        try:
            whole = parse_json(reply)
        except ValueError:
            return
        if not isinstance(whole, list):
            yield self._part(whole, reply)
            return
        for answer in whole:
            yield self._part(answer, json.dumps(answer).encode())

    def _part(self, answer: object, data: bytes) -> Part:
        last = not self._last or (isinstance(answer, dict) and answer.get(self._last) is True)
        return Part(self._key_of(answer) or "", data, last)

    def _key_of(self, value: object) -> str | None:
        """As text: 1 and true are two keys, and any JSON may be one."""
        return repr(value[self._key]) if isinstance(value, dict) and self._key in value else None

    def unanswered(self, request: bytes, why: str) -> bytes | None:
        """Say what the options say."""
        return self._unanswered
