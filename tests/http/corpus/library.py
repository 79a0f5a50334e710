"""Library: reads the bytes of a client with vcproxy.http.message alone, in any pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.body import body_reader
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.parsing import head_end, parse_request

Verdict: TypeAlias = tuple[list[tuple[str, str, bytes]], int]
"""(method, target in origin form, body) of each complete request; then the status with which the
bytes after the requests are refused, or 0."""


def verdict(pieces: Iterable[bytes]) -> Verdict:
    """Read the requests one after another, as a connection does."""
    limits = MessageLimits()
    requests: list[tuple[str, str, bytes]] = []
    data = b""
    seen = 0
    request = reader = None
    body = b""
    try:
        for piece in pieces:
            data += piece
            while data:
                if request is None or reader is None:
                    end = head_end(data, limits, seen=seen)
                    if end < 0:
                        seen = len(data)
                        break
                    request = parse_request(data[:end], limits)
                    reader = body_reader(request.body, limits)
                    data, seen, body = data[end:], 0, b""
                if not reader.over:
                    body += reader.feed(data)
                    data = b""
                if not reader.over:
                    break
                data += reader.rest
                requests.append((request.method, request.origin_form, body))
                if not request.persistent:
                    return requests, 0
                request = reader = None
    except BadMessage as problem:
        return requests, problem.status
    return requests, 0
