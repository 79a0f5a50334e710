"""error_pages: own pages in place of the short texts with which the proxy reports errors.

The files are read with the configuration. Tested in tests/http/duties/test_error_pages.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import AfterValidator

from vcproxy.config.file_content import FileContent, content_of
from vcproxy.http.duties.duty import Duty, DutyPhases
from vcproxy.http.files.media_types import media_type
from vcproxy.http.message.messages import Response
from vcproxy.http.message.vary import vary_by

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.transaction import Transaction

KEPT = (
    "WWW-Authenticate", "Proxy-Authenticate", "Retry-After", "Allow", "Set-Cookie", "Cache-Control",
)  # fmt: skip
"""Fields of a server's response that its page has too: what clients need besides the status. Also
Cache-Control: without it, a cache may keep a 404 with its Set-Cookie for other clients."""


def _status(text: str) -> str:
    if not re.fullmatch("[45](?:[0-9][0-9]|xx)", text):
        raise ValueError(f'"{text}" is no status of an error: write it as 404, 4xx or 5xx')
    return text


ErrorPage = Annotated[FileContent[bytes], *content_of(bytes)]
"""The path of a file with a page."""


@dataclass(frozen=True)
class ErrorPages(Duty):
    """Pages for errors: for those of the proxy itself, and with `of_servers` also for servers'.

    Errors of the proxy are failed requests, and refusals by duties and by `folder`. What a filter
    or an `answer` responds has a body of its own, and so has `maintenance` with a page.
    """

    pages: dict[Annotated[str, AfterValidator(_status)], ErrorPage] = field(default_factory=dict)
    """Files by status, or by class of statuses: 404 = "404.html", 5xx = "sorry.html". The status
    comes before the class. The media type follows from the extension."""

    of_servers: bool = False
    """Whether the errors of servers get a page as well, in place of their body."""

    json: bool = False
    """Whether clients that accept JSON but no HTML get errors of the proxy as problem details
    (RFC 9457), in place of a page or text."""

    def __post_init__(self) -> None:
        if not self.pages and not self.json:
            raise ValueError("error_pages has no effect without pages or json = true")
        if self.of_servers and not self.pages:
            raise ValueError("of_servers has no effect without pages")

    def phases(self) -> ErrorPagesPhases:
        """See Duty."""
        return (ServerErrorPagesPhases if self.of_servers else ErrorPagesPhases)(self)


class _Page(NamedTuple):
    kind: str
    content: bytes


class ErrorPagesPhases(DutyPhases):
    """Replaces the proxy's own texts of errors."""

    def __init__(self, options: ErrorPages) -> None:
        super().__init__(options)
        self._json = options.json
        self._pages = {
            status: _Page(media_type(page.path.name, {}), page.value)
            for status, page in options.pages.items()
        }

    def page(self, status: int) -> _Page | None:
        """Return the page for a status."""
        return self._pages.get(str(status)) or self._pages.get(f"{status // 100}xx")

    def every_response(self, tx: Transaction, response: Response) -> None:
        """See Phases."""
        status = response.status
        if status < 400 or not has_own_text(response):
            return
        if self._json:
            vary_by(response.fields, "Accept")
            if _wants_json(tx.request):
                response.content = _problem(response)
                response.fields["Content-Type"] = "application/problem+json"
                return
        page = self.page(status)
        if page is not None:
            response.fields["Content-Type"] = page.kind
            response.content = page.content


class ServerErrorPagesPhases(ErrorPagesPhases):
    """Replaces errors of servers as well."""

    def response_head(self, tx: Transaction) -> Response | None:
        """See Phases."""
        received = tx.response
        page = self.page(received.status) if received.status >= 400 else None
        if page is None:
            return None
        fields = [("Content-Type", page.kind)]
        fields += [(name, each) for name in KEPT for each in received.fields.get_all(name)]
        return Response(received.status, fields, page.content, received.reason)


def has_own_text(response: Response) -> bool:
    """Whether a response has one of the proxy's short texts of errors: they begin with the status
    and its reason."""
    return response.content.startswith(f"{response.status} {response.reason}\n".encode())


def _wants_json(request: Request) -> bool:
    accept = request.fields.get("Accept", "").lower()
    return ("application/json" in accept or "+json" in accept) and "text/html" not in accept


def _problem(response: Response) -> bytes:
    """Return the problem details of an error (RFC 9457, 3.1)."""
    problem: dict[str, object] = {"title": response.reason, "status": response.status}
    detail = response.content.decode().partition("\n")[2].strip()
    if detail:
        problem["detail"] = detail
    return json.dumps(problem).encode() + b"\n"
