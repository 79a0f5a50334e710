"""WebRequest: one request to a WebServer, with its whole body.

Tested in tests/control/web/test_web_server.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields
    from vcproxy.http.message.messages import Request


class WebRequest:
    """A request. Guards get it before its body has come: `body` is empty then."""

    __slots__ = (
        "body",
        "client",
        "fields",
        "host",
        "method",
        "path",
        "query",
        "rest",
        "secure",
        "unix",
    )

    def __init__(
        self, head: Request, client: str, *, unix: bool = False, secure: bool = False
    ) -> None:
        """`head`: as parsed; `unix`, `secure`: how the client has come."""
        self.client = client
        """The name of the client's connection, for logs."""
        self.method: str = head.method
        self.path: str = head.path
        """The path in canonical form, without the query: see Request."""
        self.rest = ""
        """The part of the path that stands for the `*` of its route."""
        self.query: Mapping[str, str] = dict(parse_qsl(head.query, keep_blank_values=True))
        """The parameters behind the `?`, decoded; of several with one name, the last."""
        self.fields: Fields = head.fields
        self.host: str = head.host
        """The authority that the client wants, in lower case, with the port if it sent one."""
        self.body = b""
        self.unix = unix
        """Whether it came over a Unix socket."""
        self.secure = secure
        """Whether it came over TLS."""

    def json(self) -> dict[str, object]:
        """Return the body, a JSON object; an empty body counts as {}. Raises ValueError."""
        if not self.body:
            return {}
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the body is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise ValueError("the body must be a JSON object, as {}")
        return value

    def cookie(self, name: str) -> str:
        """Return the value of a cookie; "" if it was not sent (RFC 6265 5.4)."""
        for pair in self.fields.get("cookie", "").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return ""

    def __repr__(self) -> str:
        return f"<WebRequest {self.method} {self.path}>"
