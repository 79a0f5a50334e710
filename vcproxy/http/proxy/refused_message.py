"""Keeps HTTP messages that are refused among the engine's RefusedMessages, without credentials.

Tested in tests/http/proxy/test_refused_message.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.http.message.bad_message import BadMessage

_lines = re.compile(rb"(?m)^([^:\r\n]++)(:[\t ]*+)([^\r\n]++)")
_secret = re.compile(rb"(?i)auth|cookie|key|password|secret|token").search
"""Finds names of fields with credentials, as Proxy-Authorization, Set-Cookie and X-Api-Key."""


def refused_message(
    problem: BadMessage, engine: Engine, *, listener: str, client: str, server: str = ""
) -> None:
    """Keep a message of a client, or of a server if it is named: see RefusedMessages."""
    position = problem.position
    engine.refused.add(
        "http response" if server else "http request",
        str(problem),
        without_credentials(problem.message, position),
        position,
        listener=listener,
        client=client,
        server=server,
    )


def without_credentials(head: bytes, position: int | None = None) -> bytes:
    """Return a head in which the values of fields with credentials are stars, as many as they have
    bytes. The byte at `position` stays: it is the bad one."""
    hidden = _lines.sub(_starred, head)
    if position is None or position >= len(head):
        return hidden
    return hidden[:position] + head[position : position + 1] + hidden[position + 1 :]


def _starred(line: re.Match[bytes]) -> bytes:
    name, colon, value = line.groups()
    return name + colon + b"*" * len(value) if _secret(name) else line[0]
