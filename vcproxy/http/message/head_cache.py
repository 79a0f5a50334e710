"""HeadCache: parsing and forwarding for a busy proxy, to whom the same heads come again and again.

Most requests on a connection differ in nothing but their target, and who asks for one thing many
times is told the same. What was worked out for a head holds for all that are the same to the byte,
its request line aside. Nothing is decided here; see `parsing` and `forwarding`.
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

MOST = 512
"""HeadCache that are remembered in each of four tables: with LONGEST, 2 MiB in all."""

LONGEST = 1024
"""Bytes of a head that is remembered: one that is longer holds cookies, and comes from one client
alone."""

SEEN_ONCE = 4096
"""HeadCache of which is known that they have come once: 270 KiB for each table (sys.getsizeof)."""

_LINE = re.compile(rb"((?!CONNECT )[A-Z]++) (/%b*+) HTTP/1\.1\r\n" % TARGET)

V = TypeVar("V")


class RepeatCache(Generic[V]):
    """What has come twice, and what it was found to be.

    A full table begins anew: that costs nothing, and what comes often is soon back.
    """

    __slots__ = ("_once", "_twice", "get")

    def __init__(self) -> None:
        self._once: set[int] = set()
        self._twice: dict[Hashable, V] = {}
        self.get = self._twice.get

    def again(self, key: Hashable) -> bool:
        """Note that this has come; return whether it had before: only then it is worth a place."""
        once, number = self._once, hash(key)
        if number in once:
            return True
        if len(once) >= SEEN_ONCE:
            once.clear()
        once.add(number)
        return False

    def remember(self, key: Hashable, value: V) -> None:
        """Give it a place."""
        if len(self._twice) >= MOST:
            self._twice.clear()
        self._twice[key] = value


class HeadCache:
    """What has been seen of some listener's heads. What it returns is the caller's own."""

    __slots__ = ("_asked", "_limits", "_requests", "_responses", "_told", "dates")

    def __init__(self, limits: MessageLimits, clock: TimeOfDay | None = None) -> None:
        self._limits = limits
        self.dates = Dates(clock or NoClock())
        """The Date of an answer that has none, by the clock."""
        self._requests = RepeatCache[Request]()
        self._responses = RepeatCache[Response]()
        self._asked = RepeatCache[bytes]()
        self._told = RepeatCache[tuple[bytes, bool]]()

    def request(self, head: bytes) -> Request:
        """See parse_request. `head_end` has found the head's end, and its line not too long."""
        line = _LINE.match(head)
        if line is None:
            return parse_request(head, self._limits)
        method, target = line.groups()
        key = method, head[line.end() :]
        known = self._requests.get(key)
        if known is None:
            request = parse_request(head, self._limits)
            if len(key[1]) <= LONGEST and self._requests.again(key):
                self._requests.remember(key, request.copy())
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
            if len(head) <= LONGEST and self._responses.again(key):
                self._responses.remember(key, response.copy())
            return response
        return known.copy()

    def to_server(self, request: Request, sender: ClientFields, *, upgrade: bool = False) -> bytes:
        """See forwarding.to_server."""
        if request.target[:1] != "/" or request.method == "OPTIONS":  # see Max-Forwards there
            return to_server(request, sender, upgrade=upgrade)
        block = request.fields.block
        key = (
            block, request.host, request.body, request.version, request.expects_continue,
            upgrade and request.upgrade, sender,
        )  # fmt: skip
        rest = self._asked.get(key)
        if rest is None:
            head = to_server(request, sender, upgrade=upgrade)
            if len(block) <= LONGEST and self._asked.again(key):
                self._asked.remember(key, head[head.find(b"\r\n") :])
            return head
        line = f"{request.method} {request.target} HTTP/1.1\r\n".encode("latin-1", "replace")
        if _LINE.fullmatch(line) is None:
            return to_server(request, sender, upgrade=upgrade)  # which says what is wrong with it
        return line[:-2] + rest

    def to_client(
        self, response: Response, *, pseudonym: str, version: int, keep: bool, body: Body
    ) -> bytes:
        """See forwarding.to_client; with a Date (RFC 9110 6.6.1), if it has none."""
        block = response.fields.block
        key = (
            block, response.status, response.reason, response.version, response.bodiless,
            pseudonym, version, keep, body,
        )  # fmt: skip
        known = self._told.get(key)
        if known is None:
            head = to_client(response, pseudonym=pseudonym, version=version, keep=keep, body=body)
            known = head, response.status >= 200 and "Date" not in response.fields
            if len(block) <= LONGEST and self._told.again(key):
                self._told.remember(key, known)
        head, undated = known
        return b"%b%b\r\n" % (head[:-2], self.dates.line()) if undated else head
