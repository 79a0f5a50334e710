"""maintenance: all requests are answered by 503, except those that may bypass it.

Whether its file exists is asked on another thread, at most once in CHECK_S on each net thread; a
request that comes later than that waits for the answer. Tested in
tests/http/duties/test_maintenance.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from vcproxy.admission.admission import Admission
from vcproxy.admission.networks import AdmittedAddresses
from vcproxy.config.file_content import FileContent, content_of
from vcproxy.config.secret import Secret
from vcproxy.config.tables.network import Network
from vcproxy.config.values import Duration, FilePath
from vcproxy.http.duties.duty import Duty, DutyPhases
from vcproxy.http.duties.refusal import refusal
from vcproxy.http.message.cookies import cookie, remove_cookie
from vcproxy.http.option_texts import OwnField, Token, Value
from vcproxy.messages.verdict import Defer

if TYPE_CHECKING:
    from vcproxy.http.filters import PhaseResult
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.transaction import Transaction

CHECK_S: Final = 1.0
"""How old the answer whether the file exists may be."""

DEADLINE_S: Final = 5.0
"""Seconds for that answer: a local file system needs less than a millisecond."""

PageFile = Annotated[FileContent[bytes], *content_of(bytes)]
"""The path of a file whose content is sent."""


@dataclass(frozen=True)
class Maintenance(Duty):
    """All requests are answered by 503, while `on` is true or `file` exists.

    Those with an address in `allow`, or with the secret in a field or a cookie, pass.
    """

    on: bool = False
    """Whether there is maintenance, whatever the file. A change needs a reload."""

    file: FilePath | None = None
    """There is maintenance while this file exists: `touch` and `rm` switch it within a second."""

    page: PageFile | None = None
    """The file with the body of the response. Left out: a line of text."""

    content_type: Value = "text/html; charset=utf-8"
    """The Content-Type of the page."""

    retry_after: Duration = 300.0
    """When clients should try again, for Retry-After. "0s": the field is not sent."""

    allow: tuple[Network, ...] = ()
    """Networks and addresses of clients that pass."""

    bypass_field: OwnField | None = None
    """A field with the secret, in requests that pass. Servers do not get it."""

    bypass_cookie: Token | None = None
    """A cookie with the secret, in requests that pass. Servers do not get it."""

    secret: Secret | None = None
    """The value of the field and of the cookie."""

    def __post_init__(self) -> None:
        if not self.on and self.file is None:
            raise ValueError("maintenance has no effect without on = true or a file")
        named = self.bypass_field is not None or self.bypass_cookie is not None
        if named and self.secret is None:
            raise ValueError("a bypass_field or a bypass_cookie needs a secret")
        if self.secret is not None and not named:
            raise ValueError("the secret has no effect without a bypass_field or a bypass_cookie")

    def phases(self) -> MaintenancePhases:
        """See Duty."""
        return MaintenancePhases(self)

    @cached_property
    def admission(self) -> Admission:
        """Admits the addresses that pass."""
        return Admission(AdmittedAddresses(self.allow))


class MaintenancePhases(DutyPhases):
    """Answers requests while there is maintenance."""

    options: Maintenance

    def __init__(self, options: Maintenance) -> None:
        super().__init__(options)
        self._exists = False
        self._asked_at: float | None = None  # when it was asked last whether the file exists

    def request_head(self, tx: Transaction) -> PhaseResult:
        """See Phases."""
        rules = self.options
        if self._passes(tx):
            return None
        if rules.on:
            return self._response()
        if self._asked_at is not None and self.now < self._asked_at + CHECK_S:
            return self._response() if self._exists else None
        return Defer(exists, rules.file, deadline=DEADLINE_S, then=self._answered, shares="0s")

    def _passes(self, tx: Transaction) -> bool:
        """Whether a request may bypass; remove the secret from it."""
        rules, fields = self.options, tx.request.fields
        given = []
        if rules.bypass_field is not None and rules.bypass_field in fields:
            given.append(fields.get(rules.bypass_field))
            fields.discard(rules.bypass_field)
        if rules.bypass_cookie is not None and "Cookie" in fields:
            given.append(cookie(fields, rules.bypass_cookie))
            remove_cookie(fields, rules.bypass_cookie)
        secret = rules.secret
        if secret is not None and any(each is not None and secret.matches(each) for each in given):
            return True
        return bool(rules.allow and tx.client) and rules.admission.permits(tx.client)

    def _answered(self, tx: Transaction, found: object) -> Response | None:
        was, self._exists, self._asked_at = self._exists, bool(found), self.now
        if was is not self._exists:
            if self._exists:
                self.log(f"maintenance: {self.options.file} exists: requests are answered by 503")
            else:
                self.log(f"maintenance: {self.options.file} is gone: requests pass")
        return self._response() if self._exists else None

    def _response(self) -> Response:
        rules = self.options
        fields = {"Cache-Control": "no-store"}
        content = b""
        if rules.page is not None:
            fields["Content-Type"] = rules.content_type
            content = rules.page.value
        return refusal(503, "maintenance", fields, rules.retry_after, content)


def exists(file: Path) -> bool:
    """Whether a file exists; False if that cannot be found out."""
    try:
        return file.exists()
    except OSError:
        return False
