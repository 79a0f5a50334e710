"""redirect: sends clients to https, to another host or to another place.

Tested in tests/http/duties/test_redirect.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from vcproxy.http.duties.duty import Duty, Scheme
from vcproxy.http.duties.head_edits import HeadEdits
from vcproxy.http.duties.template import OF_HEAD, Template, TemplateValue
from vcproxy.http.message.messages import Response

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Request

NO_HOST = b"400 Bad Request\nno Host, so there is no place to redirect to\n"

_place = re.compile(r"/|\{(?:path|uri|scheme)\}|[A-Za-z][A-Za-z0-9+.-]*://").match
"""Matches what a redirect goes to. Without a scheme, "www.example" is a relative path."""

_slashes = re.compile(r"[/\\\\]{2,}").match


@dataclass(frozen=True)
class Redirect(Duty):
    """A redirect of all requests, or only of those that arrive without TLS."""

    https: bool = False
    """Whether requests that arrive without TLS are sent to https, with the same host, path and
    query. Those over TLS go on to a server, also those that a proxy in `trusted` got over TLS."""

    port: Annotated[int, Field(ge=1, le=65535)] = 443
    """The port of https."""

    to: TemplateValue | None = None
    """Where all requests are sent: a URI with variables, as "https://www.example{uri}", or a path.
    Variables: {host}, without port, {method}, {path}, {query}, {scheme} and {uri}, which is path
    and query."""

    status: Literal[301, 302, 303, 307, 308] | None = None
    """The status. 301 and 308 are permanent, so browsers keep them; 307 and 308 keep the method and
    the body. Left out: 308 to https, else 302."""

    def __post_init__(self) -> None:
        if self.https is (self.to is not None):
            raise ValueError("a redirect needs either https = true or to")
        if self.to is not None:
            if self.port != 443:
                raise ValueError("port is for https: write the port into to")
            if _place(self.to) is None:
                raise ValueError(
                    f'"{self.to}" is neither a URI nor a path: '
                    'write it as "https://{host}{uri}" or "/new{uri}"'
                )
            if not Template(self.to).of_head:
                known = ", ".join(f"{{{name}}}" for name in OF_HEAD)
                raise ValueError(f"to may have the variables {known} only")

    @property
    def answers(self) -> bool:
        """See Duty."""
        return self.to is not None

    def head_edits(self, scheme: Scheme) -> HeadEdits:
        """See Duty."""
        if self.to is not None:
            text, status = self.to, self.status or 302
        elif scheme == "http":
            port = "" if self.port == 443 else f":{self.port}"
            text, status = f"https://{{host}}{port}{{uri}}", self.status or 308
        else:
            return HeadEdits()
        template, names_host = Template(text), "{host}" in text

        def answer(request: Request) -> Response:
            if names_host and not request.host:  # HTTP/1.0
                return Response(
                    400, {"Content-Type": "text/plain"}, b"400 no Host to redirect to\n"
                )
            place = template.fill_head(request, scheme)
            if doubled := _slashes(place):  # to a browser, "//x" and "/\\x" name the host x
                place = f"/{place[doubled.end() :]}"
            return Response(status, {"Location": place})

        return HeadEdits(answer=answer)
