"""Heads: parsing and forwarding for a busy proxy, to whom the same heads come again and again.

Who asks for one thing many times sends the same head, and is told the same one: what was worked out
for it holds for all that are the same to the byte. Nothing here decides anything; see `parsing` and
`forwarding`.
"""

from __future__ import annotations

from typing import TypeVar

from vcproxy.http.forwarding import to_client, to_server
from vcproxy.http.limits import Limits
from vcproxy.http.messages import Body, Request, Response
from vcproxy.http.parsing import parse_request, parse_response
from vcproxy.http.sender import Sender

MOST = 512
"""Heads that are remembered in each of four tables: with LONGEST, 2 MiB in all. A full table begins
anew: that costs nothing, and what is asked for often is soon back."""

LONGEST = 1024
"""Bytes of a head that is remembered: one that is longer holds cookies, and comes from one client
alone."""

K = TypeVar("K")
V = TypeVar("V")


class Heads:
    """What has been seen of some listener's heads. What it returns is the caller's own."""

    __slots__ = ("_asked", "_limits", "_requests", "_responses", "_told")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: dict[bytes, Request] = {}
        self._responses: dict[tuple[bytes, str], Response] = {}
        self._asked: dict[object, bytes] = {}
        self._told: dict[object, bytes] = {}

    def request(self, head: bytes) -> Request:
        """See parse_request."""
        known = self._requests.get(head)
        if known is None:
            known = parse_request(head, self._limits)
            if len(head) > LONGEST:
                return known
            _remember(self._requests, head, known)
        return known.copy()

    def response(self, head: bytes, method: str) -> Response:
        """See parse_response."""
        known = self._responses.get((head, method))
        if known is None:
            known = parse_response(head, self._limits, method)
            if len(head) > LONGEST:
                return known
            _remember(self._responses, (head, method), known)
        return known.copy()

    def to_server(self, request: Request, sender: Sender, *, upgrade: bool = False) -> bytes:
        """See forwarding.to_server."""
        block = request.fields.block
        key = (
            block, request.method, request.target, request.host, request.body, request.version,
            request.expects_continue, upgrade, sender,
        )  # fmt: skip
        head = self._asked.get(key)
        if head is None:
            head = to_server(request, sender, upgrade=upgrade)
            if len(block) <= LONGEST:
                _remember(self._asked, key, head)
        return head

    def to_client(
        self, response: Response, *, pseudonym: str, version: int, keep: bool, body: Body
    ) -> bytes:
        """See forwarding.to_client."""
        block = response.fields.block
        key = (
            block, response.status, response.reason, response.version, response.bodiless,
            pseudonym, version, keep, body,
        )  # fmt: skip
        head = self._told.get(key)
        if head is None:
            head = to_client(response, pseudonym=pseudonym, version=version, keep=keep, body=body)
            if len(block) <= LONGEST:
                _remember(self._told, key, head)
        return head


def _remember(table: dict[K, V], key: K, value: V) -> None:
    if len(table) >= MOST:
        table.clear()
    table[key] = value
