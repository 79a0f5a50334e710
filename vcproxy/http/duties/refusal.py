"""Responses by which duties refuse a request.

Tested in tests/http/duties/test_refusal.py.
"""

from __future__ import annotations

from http import HTTPStatus
from math import ceil

from vcproxy.http.message.messages import Response


def refusal(
    status: int,
    why: str,
    fields: dict[str, str] | None = None,
    retry_s: float = 0.0,
    content: bytes = b"",
) -> Response:
    """Return a response without a server: its status and the reason as text, or another content.

    `retry_s`: seconds until another try makes sense, for Retry-After; 0: not known.
    """
    sent = {"Content-Type": "text/plain; charset=utf-8", **(fields or {})}
    if retry_s > 0:
        sent["Retry-After"] = str(ceil(retry_s))
    text = f"{status} {HTTPStatus(status).phrase}\n{why}\n"
    return Response(status, sent, content or text.encode())
