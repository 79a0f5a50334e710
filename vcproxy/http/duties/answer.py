"""answer: a response that the proxy itself sends for a route.

Tested in tests/http/proxy/test_routing.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

from pydantic import Field

from vcproxy.config.file_content import FileContent, content_of
from vcproxy.http.duties.response_fields import ResponseFieldEdits
from vcproxy.http.files.media_types import media_type
from vcproxy.http.message.messages import Response
from vcproxy.http.option_texts import Token, Value

BODILESS = (204, 205, 304)
"""Statuses whose responses have no body (RFC 9110, 15.3.5, 15.3.6 and 15.4.5)."""

BodyFile = Annotated[FileContent[bytes], *content_of(bytes)]
"""The path of a file whose content is sent."""


@dataclass(frozen=True)
class Answer:
    """A response that the proxy itself sends."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    """The status code."""

    body: str = ""
    """The body."""

    body_file: BodyFile | None = None
    """The file with the body, in place of `body`. It is read with the configuration."""

    content_type: Value | None = None
    """The Content-Type of the body. Left out: text/plain in UTF-8, or that of the file by its
    extension."""

    fields: dict[Token, Value] = field(default_factory=dict)
    """Further fields."""

    location: Value | None = None
    """The Location of a redirect: a URI."""

    def __post_init__(self) -> None:
        for name in self.fields:
            if name.lower() in ResponseFieldEdits.written:
                raise ValueError(f'"{name}" is written by the proxy itself')
        if self.body and self.body_file is not None:
            raise ValueError("an answer has a body or a body_file, not both")
        if self.status in BODILESS and (self.body or self.body_file is not None):
            raise ValueError(f"an answer with the status {self.status} has no body")
        if self.status in (301, 302, 303, 307, 308) and self.location is None:
            raise ValueError(f"an answer with the status {self.status} needs a location")

    def response(self) -> Response:
        """Return a new response."""
        kind, content = self._content
        fields = {"Content-Type": kind} if content else {}
        fields |= self.fields
        if self.location is not None:
            fields["Location"] = self.location
        return Response(self.status, fields, content)

    @cached_property
    def _content(self) -> tuple[str, bytes]:
        """The media type and the body."""
        file = self.body_file
        if file is None:
            return self.content_type or "text/plain; charset=utf-8", self.body.encode()
        return self.content_type or media_type(file.path.name, {}), file.value
