"""answer: a response that the proxy itself sends for a route.

Tested in tests/http/proxy/test_routing.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from vcproxy.http.message.messages import Response
from vcproxy.http.option_texts import Value

BODILESS = (204, 205, 304)
"""Statuses whose responses have no body (RFC 9110, 15.3.5, 15.3.6 and 15.4.5)."""


@dataclass(frozen=True)
class Answer:
    """A response that the proxy itself sends."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    """The status code."""

    body: str = ""
    """The body."""

    content_type: Value = "text/plain; charset=utf-8"
    """The Content-Type of the body."""

    location: Value | None = None
    """The Location of a redirect: a URI."""

    def __post_init__(self) -> None:
        if self.status in BODILESS and self.body:
            raise ValueError(f"an answer with the status {self.status} has no body")
        if self.status in (301, 302, 303, 307, 308) and self.location is None:
            raise ValueError(f"an answer with the status {self.status} needs a location")

    def response(self) -> Response:
        """Return a new response."""
        fields = {"Content-Type": self.content_type} if self.body else {}
        if self.location is not None:
            fields["Location"] = self.location
        return Response(self.status, fields, self.body.encode())
