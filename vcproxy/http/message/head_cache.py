"""HeadCache: parsed and forwarded heads, reused for heads that are equal byte by byte.

Most requests on a connection differ only in their target, and many responses are equal. The result
for a head is reused for equal heads; the target of a request is not compared. All rules are in
`parsing` and `forwarding`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Generic, TypeVar

from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.dates import Dates, NoClock, TimeOfDay
from vcproxy.http.message.forwarding import to_client, to_server
from vcproxy.http.message.grammar import TARGET
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Body, Request, Response
from vcproxy.http.message.parsing import parse_request, parse_response

MAX_HEADS = 512
"""Heads in each of the four tables: with MAX_SIZE, 2 MiB in all."""

MAX_SIZE = 1024
"""Bytes of the largest head that is cached: a larger one most likely has cookies, so only one
client sends it."""

MAX_SEEN_ONCE = 4096
"""Hashes of heads that were seen once, in each table: 270 KiB (sys.getsizeof)."""

_LINE = re.compile(rb"((?!CONNECT )[A-Z]++) (/%b*+) HTTP/1\.1\r\n" % TARGET)

V = TypeVar("V")


class RepeatCache(Generic[V]):
    """A cache of values for keys that were seen at least twice.

    A full table is cleared: that is cheap, and frequent keys are soon stored again.
    """

    __slots__ = ("_once", "_twice", "get")

    def __init__(self) -> None:
        self._once: set[int] = set()
        self._twice: dict[Hashable, V] = {}
        self.get = self._twice.get

    def seen_before(self, key: Hashable) -> bool:
        """Record a key; return whether it was seen before. If so, the caller stores its value."""
        once, number = self._once, hash(key)
        if number in once:
            return True
        if len(once) >= MAX_SEEN_ONCE:
            once.clear()
        once.add(number)
        return False

    def store(self, key: Hashable, value: V) -> None:
        """Store the value of a key."""
        if len(self._twice) >= MAX_HEADS:
            self._twice.clear()
        self._twice[key] = value


class HeadCache:
    """The heads of one listener. Returned heads are copies, which the caller may change."""

    __slots__ = (
        "_forwarded_requests",
        "_forwarded_responses",
        "_limits",
        "_requests",
        "_responses",
        "dates",
    )

    def __init__(self, limits: MessageLimits, clock: TimeOfDay | None = None) -> None:
        self._limits = limits
        self.dates = Dates(clock or NoClock())
        """The Date line for responses without one."""
        self._requests = RepeatCache[Request]()
        self._responses = RepeatCache[Response]()
        self._forwarded_requests = RepeatCache[bytes]()
        self._forwarded_responses = RepeatCache[tuple[bytes, bool]]()

    def request(self, head: bytes) -> Request:
        """See parse_request. `head_end` must have accepted the head."""
        line = _LINE.match(head)
        if line is None:
            return parse_request(head, self._limits)
        method, target = line.groups()
        key = method, head[line.end() :]
        known = self._requests.get(key)
        if known is None:
            request = parse_request(head, self._limits)
            if len(key[1]) <= MAX_SIZE and self._requests.seen_before(key):
                self._requests.store(key, request.copy())
            return request
        request = known.copy()
        request.target = target.decode("ascii")
        return request

    def response(self, head: bytes, method: str) -> Response:
        """See parse_response."""
        key = head, method
        known = self._responses.get(key)
        if known is None:
            response = parse_response(head, self._limits, method)
            if len(head) <= MAX_SIZE and self._responses.seen_before(key):
                self._responses.store(key, response.copy())
            return response
        return known.copy()

    def to_server(
        self, request: Request, client_fields: ClientFields, *, upgrade: bool = False
    ) -> bytes:
        """See forwarding.to_server."""
        if request.target[:1] != "/" or request.method == "OPTIONS":  # for Max-Forwards
            return to_server(request, client_fields, upgrade=upgrade)
        block = request.fields.block
        key = (
            block, request.host, request.body, request.version, request.expects_continue,
            upgrade and request.upgrade, client_fields,
        )  # fmt: skip
        rest = self._forwarded_requests.get(key)
        if rest is None:
            head = to_server(request, client_fields, upgrade=upgrade)
            if len(block) <= MAX_SIZE and self._forwarded_requests.seen_before(key):
                rest = _without(request.added, head[head.find(b"\r\n") :])
                self._forwarded_requests.store(key, rest)
            return head
        line = f"{request.method} {request.target} HTTP/1.1\r\n".encode("latin-1", "replace")
        if _LINE.fullmatch(line) is None:
            return to_server(request, client_fields, upgrade=upgrade)  # raises ValueError
        if request.added:
            return b"%b%b%b\r\n" % (line[:-2], rest[:-2], request.added)
        return line[:-2] + rest

    def to_client(
        self, response: Response, *, pseudonym: str, version: int, keep: bool, body: Body
    ) -> bytes:
        """See forwarding.to_client; adds a Date (RFC 9110 6.6.1) if there is none."""
        block = response.fields.block
        key = (
            block, response.status, response.reason, response.version, response.bodiless,
            pseudonym, version, keep, body,
        )  # fmt: skip
        known = self._forwarded_responses.get(key)
        if known is None:
            head = to_client(response, pseudonym=pseudonym, version=version, keep=keep, body=body)
            undated = response.status >= 200 and "Date" not in response.fields
            known = _without(response.added, head), undated
            if len(block) <= MAX_SIZE and self._forwarded_responses.seen_before(key):
                self._forwarded_responses.store(key, known)
        head, undated = known
        if response.added:
            head = b"%b%b\r\n" % (head[:-2], response.added)
        return b"%b%b\r\n" % (head[:-2], self.dates.line()) if undated else head


def _without(added: bytes, head: bytes) -> bytes:
    """Return a head without the lines that were added at its end."""
    return b"%b\r\n" % head[: -len(added) - 2] if added else head
