"""Responses that the proxy creates, for failures; checks of filters' responses.

Tested in tests/http/proxy/test_clients.py and test_proxied_filters.py.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from vcproxy.http.message.messages import Response

if TYPE_CHECKING:
    from vcproxy.http.proxy.failure import Failure


def error_response(failure: Failure, pseudonym: str) -> Response:
    """Return the response to the client for a failure, with a Proxy-Status field (RFC 9209).

    For a failure of the client the field has the reason. For others it has only the error type: the
    reason may contain servers' addresses or data, and is only logged.
    """
    phrase = HTTPStatus(failure.status).phrase
    detail = failure.why if failure.party == "client" else failure.error.replace("_", " ")
    detail = f"{failure.party}: {detail}"
    escaped = detail.replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(each if " " <= each <= "~" else "?" for each in escaped)
    fields = {
        "Content-Type": "text/plain; charset=utf-8",
        "Proxy-Status": f'{pseudonym}; error={failure.error}; details="{escaped}"',
    }
    if failure.retry_s:
        fields["Retry-After"] = str(failure.retry_s)
    return Response(failure.status, fields, f"{failure.status} {phrase}\n{detail}\n".encode())


def check_sendable(response: Response) -> Response:
    """Return a filter's response. Raises TypeError if it is not a Response, ValueError if
    interim."""
    if not isinstance(response, Response):
        raise TypeError(f"a filter must return a Response, not {response!r}")
    if response.status < 200:
        raise ValueError(f"a filter must return a final response (200 or above), not {response!r}")
    return response
